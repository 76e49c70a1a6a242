//! What is said in a window, all of it.

use stt_core::Failure;

use super::Pass;
use crate::batch::{Answer, Call};
use crate::fallback::{self, Decoded};
use crate::net::{Generated, Net, POSITIONS, Search};
use crate::prompt::Built;
use crate::split::Window;

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
        let room = shape.room(max_length);
        let lift = options.whole_context && options.max_new_tokens.is_none();
        if !lift || decoded.tokens.len() < room || decoded.repeats_itself(options) {
            return Ok((decoded, false));
        }
        counts.capped.add(1);
        if shape.room_max() > room {
            let all = shape.with_room(shape.room_max());
            let longer = self.generate(window, prompt, decoded.drawn_at, all)?;
            let longer = Decoded::new(longer, decoded.drawn_at, &engine.tokens, options);
            let good = !longer.is_poor(options) && !longer.is_silent(options);
            if good && longer.tokens.len() < shape.room_max() {
                return Ok((longer, false));
            }
            if good {
                decoded = longer;
            }
        }
        engine.tokens.drop_broken_end(&mut decoded.tokens);
        Ok((decoded, true))
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
