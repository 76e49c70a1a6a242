//! What is said in a window, all of it.

use stt_core::{Failure, Fault};

use super::Pass;
use crate::batch::{Answer, Call};
use crate::fallback::{self, Decoded};
use crate::net::{Generated, Net, POSITIONS, Search};
use crate::prompt::Built;
use crate::split::{self, Window};

impl<N: Net> Pass<'_, N> {
    /// The window's text, and whether it is cut off although it had all the room there is.
    pub(super) fn decode(&mut self, window: Window, prompt: &Built) -> Result<(Decoded, bool), Failure> {
        let (engine, options, shape) = (self.engine, self.options, prompt.shape);
        let max_length = match options.max_new_tokens {
            Some(most) if options.whole_context => shape.with_room(most.min(shape.room_max())),
            Some(most) => (shape.len + most).min(POSITIONS),
            None => POSITIONS,
        };
        let mut tries = 0;
        let mut decoded = fallback::decode(&engine.tokens, options, |temperature| {
            tries += 1;
            self.generate(window, prompt, temperature, max_length)
        })?;
        let counts = &engine.desk.counts;
        counts.fallbacks.add(usize::from(tries > 1));
        if !options.whole_context || decoded.tokens.len() < shape.room(max_length) {
            return Ok((decoded, false));
        }
        // Behind a pair of timestamps the next window goes on; a loop, and what silence is taken for, are no loss.
        let goes_on = |decoded: &Decoded| split::has_pair(&decoded.tokens, engine.tokens.timestamp_begin());
        let lift = options.max_new_tokens.is_none() && !goes_on(&decoded);
        if !lift || decoded.repeats_itself(options) || decoded.is_silent(options) {
            engine.tokens.drop_broken_end(&mut decoded.tokens);
            return Ok((decoded, false));
        }
        counts.capped.add(1);
        if shape.room_max() > shape.room(max_length)
            && let Some(longer) = self.longer(window, prompt, decoded.drawn_at)?
        {
            if longer.tokens.len() < shape.room_max() || goes_on(&longer) {
                return Ok((longer, false));
            }
            decoded = longer;
        }
        engine.tokens.drop_broken_end(&mut decoded.tokens);
        Ok((decoded, true))
    }

    /// The text with all the room there is; `None` when it is poor, or when there is too little memory for it.
    fn longer(&mut self, window: Window, prompt: &Built, temperature: f32) -> Result<Option<Decoded>, Failure> {
        let all = prompt.shape.with_room(prompt.shape.room_max());
        let generated = match self.generate(window, prompt, temperature, all) {
            Ok(generated) => generated,
            Err(failure) if failure.fault == Fault::Fatal || self.budget.check().is_err() => return Err(failure),
            Err(failure) => {
                log::warn!("a text that was cut off cannot be made whole: {}", failure.story());
                return Ok(None);
            }
        };
        let longer = Decoded::new(generated, temperature, &self.engine.tokens, self.options);
        let good = !longer.is_poor(self.options) && !longer.is_silent(self.options);
        Ok(good.then_some(longer))
    }

    fn generate(
        &mut self,
        window: Window,
        prompt: &Built,
        temperature: f32,
        max_length: usize,
    ) -> Result<Generated, Failure> {
        let call = Call::Generate {
            prompt: prompt.tokens.clone(),
            shape: prompt.shape,
            search: Search::at(temperature, max_length, self.options, &self.suppress),
        };
        match self.ask(window, call)? {
            Answer::Generated(generated) => Ok(generated),
            _ => unreachable!("text was asked for"),
        }
    }
}
