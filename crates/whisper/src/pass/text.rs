//! What is said in a window.

use stt_core::{Failure, Language};

use super::{CONTEXT_STEP, Pass};
use crate::backend::{Backend, Generated, POSITIONS, Search};
use crate::batch::{Request, Response};
use crate::fallback::{self, Decoded};
use crate::mel::{FRAMES_PER_SECOND, WINDOW_FRAMES};
use crate::prompt::Built;
use crate::split::{self, Window};
use crate::{unicode, words};

/// A text that was cut off has to reach this far into its window, in frames, for the next window to begin where it ends.
/// 224 tokens in less than 10 s are more than anybody says (the fastest Marathi takes 12 s for them). It also keeps the
/// cost of 30 s of audio below 1.5 times the worst that they cost faster-whisper: two more windows at one temperature
/// against six temperatures.
const REACH_MIN: usize = 1000;

/// What a text of a short context must have to stand. Texts that full contexts give have less, too; those cost both.
const SHORT_LOGPROB_MIN: f64 = -0.7;
const SHORT_REPETITION_MAX: f64 = 2.0;
/// Tokens for a window in a short context: fast English has 6 a second. A text that goes on behind the end of the audio, or repeats
/// itself, ends here.
const SHORT_TOKENS: usize = 12;
const SHORT_TOKENS_PER_SEC: usize = 8;
/// Frames of a rest behind the text that are not transcribed for themselves: no word is so short.
const SHORT_REST: usize = 10;

impl<B: Backend> Pass<'_, B> {
    /// The window's text, at the first temperature that gives a good one.
    pub(super) fn decode(&mut self, window: Window, prompt: &Built) -> Result<Decoded, Failure> {
        let (engine, options) = (self.engine, self.options);
        let max_length = self.max_length(prompt);
        if self.context(window) < WINDOW_FRAMES {
            if let Some(decoded) = self.decode_short(window, prompt, max_length)? {
                return Ok(decoded);
            }
            self.full = Some(window);
        }
        let mut tries = 0;
        let mut decoded = fallback::decode(&engine.tokens, options, |temperature| {
            tries += 1;
            self.generate(window, prompt, temperature, max_length)
        })?;
        engine.scheduler.counts.fallbacks.add(usize::from(tries > 1));
        if options.whole_context && decoded.tokens.len() >= prompt.shape.room(max_length) {
            engine.tokens.drop_broken_end(&mut decoded.tokens);
        }
        Ok(decoded)
    }

    /// The window's text in a short context, or none when anything speaks against it.
    fn decode_short(&mut self, window: Window, prompt: &Built, max_length: usize) -> Result<Option<Decoded>, Failure> {
        let (engine, options) = (self.engine, self.options);
        engine.scheduler.counts.short_contexts.add(1);
        if window.seek > 0 && window.frames <= SHORT_REST {
            return Ok(Some(Decoded::default()));
        }
        let most = SHORT_TOKENS + SHORT_TOKENS_PER_SEC * window.frames / FRAMES_PER_SECOND;
        let room = most.min(prompt.shape.room(max_length));
        let temperature = options.temperatures[0];
        let generated = self.generate(window, prompt, temperature, prompt.shape.with_room(room))?;
        let decoded = Decoded::new(generated, temperature, &engine.tokens, options);
        let begin = engine.tokens.timestamp_begin();
        // Timestamps are steps of 0.02 s, two frames.
        let latest = decoded.tokens.iter().filter(|token| **token >= begin).max();
        let ends_inside = latest.is_none_or(|latest| 2 * (latest - begin) as usize <= window.frames + CONTEXT_STEP);
        let stands = ends_inside
            && decoded.tokens.len() < room
            && decoded.avg_logprob > SHORT_LOGPROB_MIN
            && decoded.repetition < SHORT_REPETITION_MAX
            && !decoded.is_poor(options)
            && !decoded.is_silent(options);
        if !stands {
            engine.scheduler.counts.short_contexts_redone.add(1);
        }
        Ok(stands.then_some(decoded))
    }

    fn max_length(&self, prompt: &Built) -> usize {
        let shape = prompt.shape;
        match self.options.max_new_tokens {
            Some(most) if self.options.whole_context => shape.with_room(most.min(shape.room_max())),
            Some(most) => (shape.len + most).min(POSITIONS),
            None => POSITIONS,
        }
    }

    /// Where a text that was cut off ends, in frames of the window: at the beginning of its last word, which is taken off,
    /// as it may not be whole. `None` when the text was not cut off, says by its timestamps where to go on, or is bad:
    /// loops and guesses fill their room, too, and are not worth another window.
    ///
    /// faster-whisper passes the whole window and loses what was not written; with word timestamps it goes on at the last
    /// word, as here.
    pub(super) fn reach(
        &mut self,
        window: Window,
        prompt: &Built,
        task: &[u32],
        language: Language,
        decoded: &mut Decoded,
    ) -> Result<Option<usize>, Failure> {
        let (engine, options) = (self.engine, self.options);
        let may_be_cut_off = options.whole_context && options.max_new_tokens.is_none() && !options.word_timestamps;
        let room = prompt.shape.room(self.max_length(prompt));
        // The characters that `decode` dropped at the end take up to three tokens.
        if !may_be_cut_off || !engine.aligns || window.frames <= REACH_MIN || decoded.tokens.len() + 3 < room {
            return Ok(None);
        }
        let first_try = options.temperatures.first() == Some(&decoded.drawn_at);
        let goes_on = split::has_pair(&decoded.tokens, engine.tokens.timestamp_begin());
        if goes_on || !first_try || decoded.is_poor(options) || decoded.is_silent(options) {
            return Ok(None);
        }
        engine.scheduler.counts.capped.add(1);
        let text = engine.tokens.text(&decoded.tokens);
        let alignment = self.align(window, task, &text)?;
        let spellings = unicode::split(&text, language.code(), &engine.tokens);
        let Some((start, len)) = words::last(spellings, &alignment) else {
            return Ok(None);
        };
        let reach = (start * FRAMES_PER_SECOND as f64).round_ties_even() as usize;
        if !(REACH_MIN..window.frames).contains(&reach) || len >= text.len() {
            return Ok(None);
        }
        decoded.tokens.truncate(decoded.tokens.len() - len);
        Ok(Some(reach))
    }

    fn generate(
        &mut self,
        window: Window,
        prompt: &Built,
        temperature: f32,
        max_length: usize,
    ) -> Result<Generated, Failure> {
        let call = Request::Generate {
            prompt: prompt.tokens.clone(),
            shape: prompt.shape,
            search: Search::at(temperature, max_length, self.options, &self.suppress),
        };
        match self.ask(window, call)? {
            Response::Generated(generated) => Ok(generated),
            _ => unreachable!("text was asked for"),
        }
    }
}
