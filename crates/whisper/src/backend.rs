//! The boundary between the algorithm and the network.

use std::sync::Arc;

use stt_core::{ErrorCode, Failure};
pub(crate) use stt_ctranslate2::{Alignment, Generated};

use crate::Options;

/// Positions of the decoder: prompt and text of one window together.
pub(crate) const POSITIONS: usize = 448;

/// Positions that an alignment needs beside start sequence and text: `<|notimestamps|>`, `<|endoftext|>`, and reserve.
const ALIGNMENT_ROOM: usize = 5;

/// Seconds between two timestamp tokens.
pub(crate) const TIME_PRECISION: f64 = 0.02;

/// A Whisper network: what the algorithm asks of CTranslate2, and of a script in tests. Every call is for a batch: so many
/// windows, in the same order in what it takes and in what it returns. `threads` is how many threads the call may use.
pub(crate) trait Backend: Send + Sync {
    /// One window as the encoder gives it; clones are cheap.
    type Encoded: Clone + Send + Sync;

    /// Encodes windows of equal length, each band by band.
    fn encode(&self, windows: &[&[f32]], threads: usize) -> Result<Vec<Self::Encoded>, BackendError>;

    /// The language tokens of each window, most probable first.
    fn languages(&self, windows: &[&Self::Encoded], threads: usize) -> Result<Vec<Vec<(u32, f32)>>, BackendError>;

    /// Generates the text of each window after its prompt. Prompts of one batch have the same [`PromptShape`].
    fn generate(
        &self,
        windows: &[&Self::Encoded],
        prompts: &[&[u32]],
        search: &Search,
        threads: usize,
    ) -> Result<Vec<Generated>, BackendError>;

    /// Finds the times of each window's text tokens in its first `frames` frames. `start`: `<|startoftranscript|>` and
    /// what follows it of language and task.
    fn align(
        &self,
        windows: &[&Self::Encoded],
        start: &[u32],
        texts: &[&[u32]],
        frames: &[usize],
        threads: usize,
    ) -> Result<Vec<Alignment>, BackendError>;
}

/// How text is searched for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Search {
    pub beam_size: usize,
    pub patience: f32,
    pub hypotheses: usize,
    /// 0 takes the best; above, tokens are sampled from the whole distribution.
    pub temperature: f32,
    pub length_penalty: f32,
    pub repetition_penalty: f32,
    pub no_repeat_ngram_size: usize,
    /// Of prompt and text together, see [`PromptShape::room`].
    pub max_length: usize,
    pub max_initial_timestamp_index: usize,
    pub suppress_blank: bool,
    pub suppress_tokens: Arc<[u32]>,
}

impl Search {
    /// The search of one temperature.
    pub(crate) fn at(temperature: f32, max_length: usize, options: &Options, suppress_tokens: &Arc<[u32]>) -> Self {
        let sampled = temperature > 0.0;
        Self {
            beam_size: if sampled { 1 } else { options.beam_size },
            patience: if sampled { 1.0 } else { options.patience },
            hypotheses: if sampled { options.best_of } else { 1 },
            temperature,
            length_penalty: options.length_penalty,
            repetition_penalty: options.repetition_penalty,
            no_repeat_ngram_size: options.no_repeat_ngram_size,
            max_length,
            max_initial_timestamp_index: (options.max_initial_timestamp / TIME_PRECISION).round_ties_even() as usize,
            suppress_blank: options.suppress_blank,
            suppress_tokens: Arc::clone(suppress_tokens),
        }
    }
}

/// What the prompts of one batch have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PromptShape {
    /// Number of tokens.
    pub len: usize,
    /// Index of the last token of `<|startoftranscript|>` language task `<|notimestamps|>`; a prefix may follow.
    pub start: usize,
    /// Whether `<|notimestamps|>` is among them.
    pub without_timestamps: bool,
}

impl PromptShape {
    /// Tokens that CTranslate2 generates at most, those of a prefix included.
    pub(crate) fn room(self, max_length: usize) -> usize {
        (max_length / 2).min(max_length.saturating_sub(self.start))
    }

    /// The `max_length` with which [`PromptShape::room`] is `room`.
    pub(crate) fn with_room(self, room: usize) -> usize {
        (2 * room).max(room + self.start)
    }

    /// The most text that may stand behind the prompt: all positions, but for those that an alignment needs beside it.
    pub(crate) fn room_max(self) -> usize {
        POSITIONS.saturating_sub(self.start + ALIGNMENT_ROOM)
    }
}

/// The engine failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BackendError(pub String);

impl BackendError {
    /// Whether the device had too little memory, so that less at once may succeed.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.is_any(&["out of memory", "alloc_failed", "bad_alloc"])
    }

    fn is_any(&self, words: &[&str]) -> bool {
        let text = self.0.to_ascii_lowercase();
        words.iter().any(|word| text.contains(word))
    }
}

impl From<BackendError> for Failure {
    /// A CUDA error other than a full memory stays for the life of the process.
    fn from(error: BackendError) -> Self {
        let message = "the engine failed on this audio";
        let failure = if error.is_any(&["cuda", "cublas", "cudnn"]) && !error.is_out_of_memory() {
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
    fn there_is_as_much_room_as_is_asked_for_whatever_the_prompt() {
        for start in [0, 2, 224, 300, 440] {
            let shape = PromptShape {
                len: start + 1,
                start,
                without_timestamps: false,
            };
            for room in [1, 100, shape.room_max()] {
                assert_eq!(shape.room(shape.with_room(room)), room, "{start}");
            }
            assert!(start + shape.room_max() <= POSITIONS);
        }
        let plain = PromptShape {
            len: 3,
            start: 2,
            without_timestamps: false,
        };
        assert_eq!(
            (plain.room(POSITIONS), plain.room_max()),
            (224, 441),
            "half, and the whole"
        );
    }

    #[test]
    fn a_broken_gpu_ends_the_process_and_a_full_one_does_not() {
        for (text, fatal) in [
            ("CUDA failed with error unspecified launch failure", true),
            ("cuBLAS failed with status CUBLAS_STATUS_EXECUTION_FAILED", true),
            ("cuDNN failed with status CUDNN_STATUS_INTERNAL_ERROR", true),
            ("CUDA failed with error out of memory", false),
            ("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED", false),
            ("std::bad_alloc", false),
            ("prompts must have the same length", false),
        ] {
            let failure = Failure::from(BackendError(text.into()));
            assert_eq!(failure.fault == Fault::Fatal, fatal, "{text}");
            assert!(failure.error_chain().ends_with(text));
        }
    }
}
