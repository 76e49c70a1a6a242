//! What the engine did so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// Only ever rises.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub windows: Count,
    pub encoded: Count,
    pub batches: Count,
    pub generated: Count,
    pub steps: Count,
    pub aligned: Count,
    pub batches_failed: Count,
    pub fallbacks: Count,
    pub silent: Count,
    pub capped: Count,
    pub no_speech: Count,
    pub short_contexts: Count,
    pub short_contexts_redone: Count,
}

/// What an engine did since it was loaded: counters that only rise, to be shown as metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Windows (of up to 30 s) transcribed.
    pub windows: u64,
    /// Windows encoded. More than transcribed by detection without [`crate::Options::encode_once`].
    pub encoded: u64,
    /// Calls that generated text.
    pub batches: u64,
    /// Windows in those calls; over `batches`, the mean size of a batch.
    pub generated: u64,
    /// Decoder steps in those calls: tokens generated, of the best hypothesis, one more for the end of each.
    pub steps: u64,
    /// Windows whose text was aligned with the audio: one pass of the decoder over the text.
    pub aligned: u64,
    /// Batches that failed and were tried again in parts.
    pub batches_failed: u64,
    /// Windows decoded again at a further temperature.
    pub fallbacks: u64,
    /// Windows passed as silent, by the model's own probability.
    pub silent: u64,
    /// Windows whose text filled half of the positions and was good, so that the next window begins where the text ends.
    pub capped: u64,
    /// Audios in which voice activity detection found nobody speak.
    pub no_speech: u64,
    /// Windows decoded in less than 30 s of context.
    pub short_contexts: u64,
    /// Of these, the windows that were encoded and decoded again in 30 s.
    pub short_contexts_redone: u64,
}

impl Counts {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            windows: self.windows.get(),
            encoded: self.encoded.get(),
            batches: self.batches.get(),
            generated: self.generated.get(),
            steps: self.steps.get(),
            aligned: self.aligned.get(),
            batches_failed: self.batches_failed.get(),
            fallbacks: self.fallbacks.get(),
            silent: self.silent.get(),
            capped: self.capped.get(),
            no_speech: self.no_speech.get(),
            short_contexts: self.short_contexts.get(),
            short_contexts_redone: self.short_contexts_redone.get(),
        }
    }
}
