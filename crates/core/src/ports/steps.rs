//! The three steps from a URL to a text.

use stt_schema::{AudioUrl, Language};

use crate::{Budget, Failure, Fetched, Pcm, Transcript};

/// Brings the bytes behind a URL.
pub trait Fetch: Send + Sync {
    /// Downloads within `budget` and within the byte limit that the implementation was made with.
    ///
    /// # Errors
    /// Codes of the stage DOWNLOAD. A cancelled budget gives a transient failure.
    fn fetch(&self, url: &AudioUrl, budget: &Budget<'_>) -> Result<Fetched, Failure>;
}

/// Turns encoded audio into samples.
pub trait Decode: Send + Sync {
    /// Decodes the first audio stream, down-mixed and resampled.
    ///
    /// # Errors
    /// Codes `AUDIO_*` and `TRANSCRIBE_TIMEOUT` of the stage TRANSCRIBE.
    fn decode(&self, media: &Fetched, budget: &Budget<'_>) -> Result<Pcm, Failure>;
}

/// Turns samples into text.
pub trait Transcribe: Send + Sync {
    /// Transcribes the whole audio. The budget is checked before every window and every further try at it, and often while
    /// the audio is prepared, so it is overrun by at most one of these tries.
    ///
    /// # Errors
    /// Codes `TRANSCRIBE_*` of the stage TRANSCRIBE.
    fn transcribe(&self, pcm: &Pcm, request: &TranscribeRequest, budget: &Budget<'_>) -> Result<Transcript, Failure>;
}

/// What one job asks of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranscribeRequest {
    /// The language spoken; detected when `None`.
    pub language: Option<Language>,
    /// Whether word timestamps are wanted: [`crate::Segment::words`]. They cost an alignment per window.
    pub words: bool,
}
