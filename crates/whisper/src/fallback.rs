//! A window's text at the first temperature that gives a good one.

use stt_core::Failure;

use crate::backend::Generated;
use crate::compression::{compression_ratio, compression_ratio_of_characters};
use crate::options::{CompressionUnit, Options};
use crate::tokens::Tokens;

/// A window's text and what speaks for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decoded {
    pub tokens: Vec<u32>,
    pub avg_logprob: f64,
    pub compression_ratio: f64,
    /// The ratio that decides: in the unit that was asked for.
    pub repetition: f64,
    pub no_speech_prob: f64,
    /// The temperature tried last, as faster-whisper reports it.
    pub temperature: f32,
    /// The one that gave the text.
    pub drawn_at: f32,
}

impl Decoded {
    pub(crate) fn new(generated: Generated, temperature: f32, tokens: &Tokens, options: &Options) -> Self {
        let len = generated.tokens.len() as f64;
        let sum = f64::from(generated.score) * len.powf(f64::from(options.length_penalty));
        let text = tokens.decode(&generated.tokens);
        let compression_ratio = compression_ratio(text.trim());
        Self {
            avg_logprob: sum / (len + 1.0),
            compression_ratio,
            repetition: match options.compression_unit {
                CompressionUnit::Bytes => compression_ratio,
                CompressionUnit::Characters => compression_ratio_of_characters(text.trim()),
            },
            no_speech_prob: f64::from(generated.no_speech_prob),
            tokens: generated.tokens,
            temperature,
            drawn_at: temperature,
        }
    }

    pub(crate) fn repeats_itself(&self, options: &Options) -> bool {
        options
            .compression_ratio_threshold
            .is_some_and(|most| self.repetition > most)
    }

    fn is_doubted(&self, options: &Options) -> bool {
        options.log_prob_threshold.is_some_and(|least| self.avg_logprob < least)
    }

    /// Whether the next temperature is to be tried. Not for silence, where no temperature helps.
    pub(crate) fn is_poor(&self, options: &Options) -> bool {
        let doubted = self.is_doubted(options);
        let silent = doubted
            && options
                .no_speech_threshold
                .is_some_and(|most| self.no_speech_prob > most);
        (doubted || self.repeats_itself(options)) && !silent
    }

    /// Whether the window holds no speech, whatever its text.
    pub(crate) fn is_silent(&self, options: &Options) -> bool {
        let trusted = options.log_prob_threshold.is_some_and(|least| self.avg_logprob > least);
        options
            .no_speech_threshold
            .is_some_and(|most| self.no_speech_prob > most)
            && !trusted
    }
}

/// Decodes a window at one temperature after another, until the text is good. When none is, the most probable text of
/// those that do not repeat themselves is taken, or of all.
///
/// Source: `generate_with_fallback` of faster-whisper; Whisper paper, section 4.5.
pub(crate) fn decode(
    tokens: &Tokens,
    options: &Options,
    mut generate: impl FnMut(f32) -> Result<Generated, Failure>,
) -> Result<Decoded, Failure> {
    let mut tried: Vec<Decoded> = Vec::new();
    for temperature in &options.temperatures {
        let decoded = Decoded::new(generate(*temperature)?, *temperature, tokens, options);
        if !decoded.is_poor(options) {
            return Ok(decoded);
        }
        tried.push(decoded);
    }
    Ok(least_poor(tried, options))
}

fn least_poor(tried: Vec<Decoded>, options: &Options) -> Decoded {
    let last = tried.last().map_or(0.0, |decoded| decoded.temperature);
    let any_plain = tried.iter().any(|decoded| !decoded.repeats_itself(options));
    let plain = tried
        .into_iter()
        .filter(|decoded| !any_plain || !decoded.repeats_itself(options));
    // The first of equals, as Python's max.
    let best = plain.reduce(|best, next| {
        if next.avg_logprob > best.avg_logprob {
            next
        } else {
            best
        }
    });
    Decoded {
        temperature: last,
        ..best.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(temperature: f32, avg_logprob: f64, compression_ratio: f64, no_speech_prob: f64) -> Decoded {
        Decoded {
            tokens: vec![],
            avg_logprob,
            compression_ratio,
            repetition: compression_ratio,
            no_speech_prob,
            temperature,
            drawn_at: temperature,
        }
    }

    #[test]
    fn the_three_conditions_of_the_fallback() {
        let options = Options::default();
        for (avg_logprob, ratio, no_speech, poor, silent) in [
            (-0.3, 1.0, 0.0, false, false),
            (-1.2, 1.0, 0.0, true, false),
            (-0.3, 3.0, 0.0, true, false),
            (-1.2, 3.0, 0.9, false, true),
            (-0.3, 3.0, 0.9, true, false),
            (-1.0, 1.0, 0.9, false, true),
        ] {
            let found = decoded(0.0, avg_logprob, ratio, no_speech);
            assert_eq!(
                (found.is_poor(&options), found.is_silent(&options)),
                (poor, silent),
                "{avg_logprob} {ratio} {no_speech}"
            );
        }
    }

    #[test]
    fn when_all_are_poor_the_most_probable_that_does_not_repeat_itself_is_taken() {
        let options = Options::default();
        let loops = decoded(0.0, -0.1, 9.0, 0.0);
        let (doubtful, worse) = (decoded(0.2, -1.5, 1.0, 0.0), decoded(0.4, -2.0, 1.0, 0.0));
        let found = least_poor(vec![loops.clone(), doubtful, worse], &options);
        assert_eq!(
            (found.avg_logprob, found.temperature),
            (-1.5, 0.4),
            "with the last temperature"
        );
        assert_eq!(found.drawn_at, 0.2);
        assert_eq!(least_poor(vec![loops], &options).avg_logprob, -0.1);
    }
}
