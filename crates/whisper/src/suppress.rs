//! Tokens that are never generated.

use crate::tokens::Tokens;

/// Symbols that stand for no speech, each suppressed where it is one token, alone or behind a space.
const SYMBOLS: &[&str] = &[
    "\"",
    "#",
    "(",
    ")",
    "*",
    "+",
    "/",
    ":",
    ";",
    "<",
    "=",
    ">",
    "@",
    "[",
    "\\",
    "]",
    "^",
    "_",
    "`",
    "{",
    "|",
    "}",
    "~",
    "「",
    "」",
    "『",
    "』",
    "<<",
    ">>",
    "<<<",
    ">>>",
    "--",
    "---",
    "-(",
    "-[",
    "('",
    "(\"",
    "((",
    "))",
    "(((",
    ")))",
    "[[",
    "]]",
    "{{",
    "}}",
    "♪♪",
    "♪♪♪",
];

/// Musical symbols; their first token is suppressed even when they take several.
const MUSICAL: &[&str] = &["♩", "♪", "♫", "♬", "♭", "♮", "♯"];

/// The tokens that `asked` stands for, in order: -1 for the symbols that are not spoken. The specials that never belong
/// into a text come on top, unless `asked` is empty.
///
/// Source: `get_suppressed_tokens` of faster-whisper, `non_speech_tokens` of Whisper's tokenizer.
pub(crate) fn suppressed(tokens: &Tokens, asked: &[i32]) -> Vec<u32> {
    if asked.is_empty() {
        return vec![];
    }
    let mut all: Vec<u32> = asked.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
    if asked.contains(&-1) {
        all.extend(non_speech(tokens));
    }
    all.extend(tokens.never_generated());
    all.sort_unstable();
    all.dedup();
    // CTranslate2 checks no bounds.
    tokens.known(&all)
}

fn non_speech(tokens: &Tokens) -> Vec<u32> {
    // A hyphen or a quote inside a word is speech, at its beginning it is not.
    let mut found: Vec<u32> = [" -", " '"]
        .iter()
        .filter_map(|text| tokens.encode(text).first().copied())
        .collect();
    for (symbols, several) in [(SYMBOLS, false), (MUSICAL, true)] {
        for symbol in symbols {
            for text in [(*symbol).to_owned(), format!(" {symbol}")] {
                let ids = tokens.encode(&text);
                if ids.len() == 1 || several {
                    found.extend(ids.first());
                }
            }
        }
    }
    found
}

/// Of faster-whisper's tests/test_tokenizer.py.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::ModelDir;

    fn tiny_en() -> Tokens {
        Tokens::load(&ModelDir(&crate::real_model("tiny.en"))).expect("a real model")
    }

    #[test]
    #[ignore = "needs a real model: make test-real"]
    fn test_suppressed_tokens_minus_1() {
        let expected = [
            1, 2, 7, 8, 9, 10, 14, 25, 26, 27, 28, 29, 31, 58, 59, 60, 61, 62, 63, 90, 91, 92, 93, 357, 366, 438, 532,
            685, 705, 796, 930, 1058, 1220, 1267, 1279, 1303, 1343, 1377, 1391, 1635, 1782, 1875, 2162, 2361, 2488,
            3467, 4008, 4211, 4600, 4808, 5299, 5855, 6329, 7203, 9609, 9959, 10563, 10786, 11420, 11709, 11907, 13163,
            13697, 13700, 14808, 15306, 16410, 16791, 17992, 19203, 19510, 20724, 22305, 22935, 27007, 30109, 30420,
            33409, 34949, 40283, 40493, 40549, 47282, 49146, 50257, 50357, 50358, 50359, 50360, 50361,
        ];
        assert_eq!(suppressed(&tiny_en(), &[-1]), expected);
    }

    #[test]
    #[ignore = "needs a real model: make test-real"]
    fn test_suppressed_tokens_minus_value() {
        let expected = [13, 50_257, 50_357, 50_358, 50_359, 50_360, 50_361];
        assert_eq!(suppressed(&tiny_en(), &[13]), expected);
    }
}
