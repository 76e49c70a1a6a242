//! The seam between the algorithm and the network.

use stt_core::{ErrorCode, Failure};

use crate::Options;

/// Positions of the decoder: prompt and text of one window together.
pub(crate) const POSITIONS: usize = 448;

/// Seconds between two timestamp tokens.
pub(crate) const TIME_PRECISION: f64 = 0.02;

/// A Whisper network: what the algorithm asks of CTranslate2, and of a script in tests.
pub(crate) trait Net {
    /// The encoder's view of a window.
    type Encoded;

    /// Encodes one window of [`crate::WINDOW_FRAMES`] frames, mel by mel.
    fn encode(&self, window: Vec<f32>) -> Result<Self::Encoded, NetError>;

    /// The language tokens, most probable first.
    fn languages(&self, encoded: &Self::Encoded) -> Result<Vec<(u32, f32)>, NetError>;

    /// Generates the text of a window after `prompt`.
    fn generate(&self, encoded: &Self::Encoded, prompt: &[u32], search: &Search<'_>) -> Result<Generated, NetError>;
}

/// How text is searched for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Search<'a> {
    pub beam_size: usize,
    pub patience: f32,
    pub hypotheses: usize,
    /// 0 takes the best; above, tokens are sampled from the whole distribution.
    pub temperature: f32,
    pub length_penalty: f32,
    pub repetition_penalty: f32,
    pub no_repeat_ngram_size: usize,
    pub max_length: usize,
    pub max_initial_timestamp_index: usize,
    pub suppress_blank: bool,
    pub suppress_tokens: &'a [u32],
}

impl<'a> Search<'a> {
    /// The search of one temperature.
    pub(crate) fn at(temperature: f32, options: &Options, prompt_len: usize, suppress_tokens: &'a [u32]) -> Self {
        let sampled = temperature > 0.0;
        let most = options.max_new_tokens.map_or(POSITIONS, |most| prompt_len + most);
        Self {
            beam_size: if sampled { 1 } else { options.beam_size },
            patience: if sampled { 1.0 } else { options.patience },
            hypotheses: if sampled { options.best_of } else { 1 },
            temperature,
            length_penalty: options.length_penalty,
            repetition_penalty: options.repetition_penalty,
            no_repeat_ngram_size: options.no_repeat_ngram_size,
            max_length: most.min(POSITIONS),
            max_initial_timestamp_index: (options.max_initial_timestamp / TIME_PRECISION).round_ties_even() as usize,
            suppress_blank: options.suppress_blank,
            suppress_tokens,
        }
    }
}

/// The best hypothesis of a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Generated {
    pub tokens: Vec<u32>,
    /// Sum of the log-probabilities over the length to the power of the length penalty.
    pub score: f32,
    pub no_speech_prob: f32,
}

/// The engine failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NetError(pub String);

impl From<NetError> for Failure {
    /// A CUDA error other than a full memory stays for the life of the process.
    fn from(error: NetError) -> Self {
        let text = error.0.to_ascii_lowercase();
        let message = "the engine failed on this audio";
        let failure = if text.contains("cuda") && !text.contains("out of memory") {
            Self::fatal(ErrorCode::TranscribeFailed, message)
        } else {
            Self::transient(ErrorCode::TranscribeFailed, message)
        };
        failure.because(error)
    }
}

#[cfg(test)]
mod tests {
    use stt_core::Fault;

    use super::*;

    #[test]
    fn a_broken_gpu_ends_the_process_and_a_full_one_does_not() {
        for (text, fatal) in [
            ("CUDA failed with error unspecified launch failure", true),
            ("CUDA failed with error out of memory", false),
            ("prompts must have the same length", false),
        ] {
            let failure = Failure::from(NetError(text.into()));
            assert_eq!(failure.fault == Fault::Fatal, fatal, "{text}");
            assert!(failure.story().ends_with(text));
        }
    }
}
