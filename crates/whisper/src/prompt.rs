//! What stands before a window's text.

use crate::backend::{POSITIONS, PromptShape};
use crate::tokens::Tokens;

/// Most tokens of the text so far, of hotwords, and of a prefix, each.
const PART_MAX: usize = POSITIONS / 2 - 1;

/// Positions that are left to the next text where hotwords and the text so far would leave none: there faster-whisper fails.
const TEXT_MIN: usize = 64;

/// The parts of a window's prompt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt<'a> {
    /// The tokens so far.
    pub previous: &'a [u32],
    /// Language and task, where the model knows several.
    pub task: &'a [u32],
    pub without_timestamps: bool,
    pub prefix: Option<&'a str>,
    pub hotwords: Option<&'a str>,
}

/// A prompt, and what it has in common with those that may go in one batch with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Built {
    pub tokens: Vec<u32>,
    pub shape: PromptShape,
}

impl Prompt<'_> {
    /// `<|startofprev|>` hotwords previous `<|startoftranscript|>` language task [`<|notimestamps|>`] prefix.
    ///
    /// Source: `get_prompt` of faster-whisper.
    pub(crate) fn build(&self, tokens: &Tokens) -> Built {
        let part = |text: &str| {
            let mut ids = tokens.encode(&format!(" {}", text.trim()));
            ids.truncate(PART_MAX);
            ids
        };
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(part);
        let (prefix, hotwords) = (text(self.prefix), text(self.hotwords));
        let hotwords = if prefix.is_some() { None } else { hotwords };

        let mut start = tokens.start(self.task);
        if self.without_timestamps {
            start.push(tokens.no_timestamps);
        }
        let task_len = start.len();
        if let Some(prefix) = prefix {
            if !self.without_timestamps {
                start.push(tokens.timestamp_begin());
            }
            start.extend(prefix);
        }
        let mut prompt = vec![];
        if !self.previous.is_empty() || hotwords.is_some() {
            let hotwords = hotwords.unwrap_or_default();
            let mut kept = self.previous.len().min(PART_MAX);
            let others = 1 + hotwords.len() + start.len();
            if others + kept >= POSITIONS {
                kept = kept.min((POSITIONS - TEXT_MIN).saturating_sub(others));
            }
            prompt.push(tokens.sot_prev);
            prompt.extend(hotwords);
            prompt.extend(&self.previous[self.previous.len() - kept..]);
        }
        let start_at = prompt.len() + task_len - 1;
        prompt.extend(start);
        Built {
            shape: PromptShape {
                len: prompt.len(),
                start: start_at,
                without_timestamps: self.without_timestamps,
            },
            tokens: prompt,
        }
    }
}
