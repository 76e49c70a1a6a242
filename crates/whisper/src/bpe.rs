//! A tokenizer made from a vocabulary alone, for models that come without `tokenizer.json`.
//!
//! Whisper's vocabularies list the bytes, then each merge in order of its rank, so the merges can be derived: a token is
//! the merge of the two parts that remain when all merges of lower rank have been applied to it. faster-whisper fetches
//! `openai/whisper-tiny`'s tokenizer from the hub instead, which also has the wrong language tokens for large-v3.

use std::collections::HashMap;

use serde_json::json;
use tokenizers::Tokenizer;

/// The tokenizer of a vocabulary in the order of ids. `None` when it has no `<|endoftext|>` or is no byte-level BPE.
pub(crate) fn tokenizer(vocabulary: &[String]) -> Option<Tokenizer> {
    let mut ranks: HashMap<&str, usize> = HashMap::with_capacity(vocabulary.len());
    for (rank, token) in vocabulary.iter().enumerate() {
        ranks.entry(token).or_insert(rank);
    }
    let (text_end, last_special) = (*ranks.get("<|endoftext|>")?, *ranks.get("<|notimestamps|>")?);
    let merges = vocabulary[..text_end]
        .iter()
        .enumerate()
        .filter(|(_, token)| token.chars().nth(1).is_some())
        .map(|(rank, token)| merged_from(token, rank, &ranks))
        .collect::<Option<Vec<_>>>()?;
    let special = |id: usize| {
        json!({
            "id": id, "content": vocabulary[id], "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let byte_level = |prefix: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true});
    // As in openai/whisper-tiny's tokenizer.json, but for the post-processor, which is not asked.
    let file = json!({
        "version": "1.0",
        "added_tokens": (text_end..=last_special).map(special).collect::<Vec<_>>(),
        "pre_tokenizer": byte_level(false),
        "decoder": byte_level(true),
        "model": {"type": "BPE", "vocab": ranks, "merges": merges},
    });
    Tokenizer::from_bytes(file.to_string()).ok()
}

/// The two parts that a token of this rank is merged from.
fn merged_from<'a>(token: &'a str, rank: usize, ranks: &HashMap<&str, usize>) -> Option<(&'a str, &'a str)> {
    // Where each part begins, and the end.
    let mut cuts: Vec<usize> = token.char_indices().map(|(at, _)| at).chain([token.len()]).collect();
    while cuts.len() > 3 {
        let lowest = cuts
            .windows(3)
            .enumerate()
            .filter_map(|(at, cut)| Some((*ranks.get(&token[cut[0]..cut[2]])?, at + 1)))
            .filter(|(found, _)| *found < rank)
            .min()?;
        cuts.remove(lowest.1);
    }
    Some((&token[..cuts[1]], &token[cuts[1]..]))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::ModelDir;

    #[test]
    fn texts_have_the_tokens_that_tokenizer_json_gives_them() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/model");
        let dir = ModelDir(&model);
        let vocabulary = dir.vocabulary().unwrap();
        let real = Tokenizer::from_file(model.join("tokenizer.json")).unwrap();
        let made = tokenizer(&vocabulary).expect("a byte-level vocabulary");
        for text in [
            " Call Meera on Monday, please.",
            "गुरुवार को दवा लाओ।",
            " नमस्कार, मी रवी.",
            "  two  spaces\n and a line",
            "don't I'm 1234 \u{1f600}",
            "",
        ] {
            let ids = |tokenizer: &Tokenizer| tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec();
            assert_eq!(ids(&made), ids(&real), "{text:?}");
            assert_eq!(made.decode(&ids(&made), true).unwrap(), text);
        }
        for token in ["<|endoftext|>", "<|mr|>", "<|notimestamps|>", "<|0.00|>"] {
            assert_eq!(made.token_to_id(token), real.token_to_id(token), "{token}");
        }
    }

    #[test]
    fn a_vocabulary_of_another_kind_gives_none() {
        let words = ["a", "b", "abc", "<|endoftext|>", "<|notimestamps|>"].map(str::to_owned);
        assert!(tokenizer(&words).is_none(), "abc has no two parts");
        assert!(tokenizer(&[]).is_none());
    }
}
