//! Which language an audio is in.

use stt_core::{ErrorCode, Failure, Language};

use super::Pass;
use crate::backend::Backend;
use crate::batch::{Request, Response};
use crate::detect::{self, Guess, Vote};
use crate::engine::{NO_DETECTION, NONE_KNOWN};
use crate::mel::FRAMES_PER_SECOND;
use crate::split::Window;

impl<B: Backend> Pass<'_, B> {
    /// The language asked for, or heard; with a probability only when heard. `None` when there is nothing to hear.
    pub(crate) fn language(&mut self) -> Result<Option<(Language, Option<f32>)>, Failure> {
        if let Some(language) = self.engine.given(self.options) {
            return Ok(Some((language, None)));
        }
        let content = self.mel.content_frames();
        let first = self.options.clip_timestamps.first().copied().unwrap_or_default();
        let start = (first * FRAMES_PER_SECOND as f64) as usize;
        let start = if start < content { start } else { 0 };
        // faster-whisper hears one frame of the padding, too.
        let end = if self.options.encode_once {
            content
        } else {
            self.mel.frames()
        };
        let mut vote = Vote::default();
        for number in 0..self.options.language_detection_segments.max(1) {
            let seek = start + number * self.window_frames;
            if seek >= end || content == 0 {
                break;
            }
            let frames = self.window_frames.min(end - seek);
            if let Some(guess) = self.hear(Window { seek, frames })?
                && let Some((language, probability)) = vote.hear(guess, self.options.language_detection_threshold)
            {
                return Ok(Some((language, Some(probability))));
            }
        }
        let winner = vote.majority();
        if winner.is_none() && content > 0 {
            return Err(Failure::permanent(ErrorCode::UnsupportedLanguage, NONE_KNOWN));
        }
        Ok(winner.map(|(language, probability)| (language, Some(probability))))
    }

    pub(super) fn hear(&mut self, window: Window) -> Result<Option<Guess>, Failure> {
        if !self.engine.detects {
            return Err(Failure::permanent(ErrorCode::UnsupportedLanguage, NO_DETECTION));
        }
        let Response::Languages(found) = self.ask(window, Request::Languages)? else {
            unreachable!("languages were asked for")
        };
        let tokens = &self.engine.tokens;
        self.language_probs = found
            .into_iter()
            .filter_map(|(token, probability)| Some((tokens.language_of(token)?, probability)))
            .collect();
        Ok(detect::likeliest(
            self.language_probs.iter().copied(),
            &self.options.languages,
        ))
    }
}
