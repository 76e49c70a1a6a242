//! When each word of a window is said, and what seems invented.

use stt_core::{Failure, Language};

use super::Pass;
use crate::backend::{Alignment, Backend};
use crate::batch::{Request, Response};
use crate::hallucination::{self, Verdict};
use crate::mel::FRAMES_PER_SECOND;
use crate::split::{Split, Window};
use crate::unicode;
use crate::words::{self, Spoken};

impl<B: Backend> Pass<'_, B> {
    /// The pieces with their words, and where to go on; no pieces when they seem invented.
    pub(super) fn place(
        &mut self,
        split: Split,
        window: Window,
        task: &[u32],
        language: Language,
        last_speech: &mut f64,
    ) -> Result<(Option<Vec<Spoken>>, usize), Failure> {
        let (tokens, options) = (&self.engine.tokens, self.options);
        let offset = window.seek as f64 / FRAMES_PER_SECOND as f64;
        let mut next = split.next;
        let mut pieces: Vec<Spoken> = split.pieces.into_iter().map(Spoken::from).collect();
        let texts: Vec<Vec<u32>> = pieces.iter().map(|piece| tokens.text(&piece.tokens)).collect();
        let text = texts.concat();
        if !text.is_empty() {
            let alignment = self.align(window, task, &text)?;
            let lens: Vec<usize> = texts.iter().map(Vec::len).collect();
            let spellings = unicode::split(&text, language.code(), tokens);
            words::place(&mut pieces, spellings, &alignment, &lens, options, offset, *last_speech);
        }
        if !split.single_ending
            && let Some(end) = words::end(&pieces).filter(|end| *end > offset)
        {
            next = (end * FRAMES_PER_SECOND as f64).round_ties_even() as usize;
        }
        if let Some(threshold) = options.hallucination_silence_threshold {
            let content = self.mel.content_frames();
            match hallucination::judge(&pieces, window, self.window_frames, content, threshold, *last_speech) {
                Verdict::Keep => {}
                Verdict::Skip(seek) => return Ok((None, seek.max(window.seek + 1))),
                Verdict::Cut { from, seek } => {
                    pieces.truncate(from);
                    next = seek;
                }
            }
        }
        if let Some(end) = words::end(&pieces) {
            *last_speech = end;
        }
        // A window that would be begun again for ever is passed.
        let next = if next > window.seek {
            next
        } else {
            window.seek + window.frames
        };
        Ok((Some(pieces), next))
    }

    pub(super) fn align(&mut self, window: Window, task: &[u32], text: &[u32]) -> Result<Alignment, Failure> {
        let call = Request::Align {
            start: self.engine.tokens.start(task),
            text: text.to_vec(),
            frames: window.frames,
        };
        match self.ask(window, call)? {
            Response::Alignment(alignment) => Ok(alignment),
            _ => unreachable!("an alignment was asked for"),
        }
    }
}
