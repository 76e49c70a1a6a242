//! Whisper's tokens: text, specials, timestamps.

use std::collections::{HashMap, HashSet};

use stt_core::Language;
use tokenizers::Tokenizer;

use crate::Task;
use crate::files::{LoadError, ModelDir};

/// Timestamps that Whisper has: 0 to 30 s by 0.02 s.
const TIMESTAMPS: usize = 1501;

/// The tokens of one model. Ids below `eot` are text, those from [`Tokens::timestamp_begin`] on are timestamps.
pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    /// Number of tokens that CTranslate2 knows.
    len: usize,
    languages: HashMap<&'static str, u32>,
    languages_by_token: HashMap<u32, Language>,
    pub eot: u32,
    pub sot: u32,
    pub sot_prev: u32,
    sot_lm: u32,
    no_speech: u32,
    pub no_timestamps: u32,
    transcribe: u32,
    translate: u32,
}

impl Tokens {
    /// Reads the tokens of a model, and checks that CTranslate2's vocabulary has each special token that prompts hold where
    /// the tokenizer has it: CTranslate2 takes a string that it does not know for the end of the text, and says nothing.
    pub(crate) fn load(dir: &ModelDir<'_>) -> Result<Self, LoadError> {
        let vocabulary = dir.vocabulary()?;
        let tokenizer = dir.tokenizer(&vocabulary)?;
        let id = |token: &str| {
            tokenizer
                .token_to_id(token)
                .ok_or_else(|| dir.mismatch(format!("the tokenizer has no {token}, so this is no Whisper model")))
        };
        let find = |token: &str| {
            let id = id(token)?;
            match vocabulary.get(id as usize) {
                Some(known) if known == token => Ok(id),
                other => Err(dir.mismatch(format!(
                    "token {id} is {token:?} for the tokenizer and {:?} for the vocabulary",
                    other.map_or("missing", String::as_str)
                ))),
            }
        };
        let (eot, no_timestamps) = (find("<|endoftext|>")?, find("<|notimestamps|>")?);
        // CTranslate2 finds the first of equal strings. The converter repeats timestamps behind the last one where a
        // vocabulary is padded: those are never part of a prompt.
        let end = vocabulary.len().min(no_timestamps as usize + 1 + TIMESTAMPS);
        let mut known = HashSet::new();
        let specials = vocabulary.get(eot as usize..end).unwrap_or_default();
        if let Some(twice) = specials.iter().find(|token| !known.insert(*token)) {
            return Err(dir.mismatch(format!("the vocabulary has {twice:?} twice")));
        }
        if vocabulary.get(no_timestamps as usize + 1).map(String::as_str) != Some("<|0.00|>") {
            return Err(dir.mismatch("the vocabulary has no timestamps behind <|notimestamps|>"));
        }
        let languages: HashMap<_, _> = Language::all()
            .map(|language| (language.code(), format!("<|{language}|>")))
            .filter(|(_, token)| tokenizer.token_to_id(token).is_some())
            .map(|(code, token)| Ok((code, find(&token)?)))
            .collect::<Result<_, LoadError>>()?;
        let by_token = |(code, token): (&&str, &u32)| Some((*token, Language::from_tag(code).ok()?));
        Ok(Self {
            eot,
            sot: find("<|startoftranscript|>")?,
            sot_prev: find("<|startofprev|>")?,
            // These are suppressed, by id: what the vocabulary calls them does not matter.
            sot_lm: id("<|startoflm|>")?,
            no_speech: id("<|nospeech|>").or_else(|error| id("<|nocaptions|>").map_err(|_| error))?,
            transcribe: find("<|transcribe|>")?,
            translate: find("<|translate|>")?,
            no_timestamps,
            languages_by_token: languages.iter().filter_map(by_token).collect(),
            languages,
            tokenizer,
            len: vocabulary.len(),
        })
    }

    /// `<|0.00|>`; each further timestamp is 0.02 s later.
    pub(crate) fn timestamp_begin(&self) -> u32 {
        self.no_timestamps + 1
    }

    /// The token of a language, where the model knows it.
    pub(crate) fn language(&self, language: Language) -> Option<u32> {
        self.languages.get(language.code()).copied()
    }

    /// The language of a token.
    pub(crate) fn language_of(&self, token: u32) -> Option<Language> {
        self.languages_by_token.get(&token).copied()
    }

    pub(crate) fn task(&self, task: Task) -> u32 {
        match task {
            Task::Transcribe => self.transcribe,
            Task::Translate => self.translate,
        }
    }

    /// What a prompt without its text begins with: the start of the transcript, with language and task.
    pub(crate) fn start(&self, task: &[u32]) -> Vec<u32> {
        [&[self.sot], task].concat()
    }

    /// The specials that never belong into a text.
    pub(crate) fn never_generated(&self) -> [u32; 6] {
        [
            self.transcribe,
            self.translate,
            self.sot,
            self.sot_prev,
            self.sot_lm,
            self.no_speech,
        ]
    }

    /// The text tokens of a text.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        let encoding = self.tokenizer.encode_fast(text, false);
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .unwrap_or_else(|error| {
                log::warn!("a prompt cannot be tokenized and is left out: {error}");
                vec![]
            })
    }

    /// Those of them that are text.
    pub(crate) fn text(&self, tokens: &[u32]) -> Vec<u32> {
        tokens.iter().copied().filter(|token| *token < self.eot).collect()
    }

    /// Those of them that the model knows.
    pub(crate) fn known(&self, tokens: &[u32]) -> Vec<u32> {
        tokens
            .iter()
            .copied()
            .filter(|token| (*token as usize) < self.len())
            .collect()
    }

    /// Takes tokens off the end until no character is broken off there.
    pub(crate) fn drop_broken_end(&self, tokens: &mut Vec<u32>) {
        while self.decode(tokens).ends_with('\u{fffd}') {
            tokens.pop();
        }
    }

    /// The text of tokens; specials and timestamps give none.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(&self.text(tokens), true).unwrap_or_else(|error| {
            log::error!("tokens that cannot be decoded: {error}");
            String::new()
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}
