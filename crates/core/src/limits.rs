//! The ceilings of one job.

use std::time::Duration;

use crate::Backoff;

/// The ceilings of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message taken as a job, in bytes. Default 262,144.
    pub job_bytes_max: usize,
    /// Time for the download, redirects included. Default 30 s.
    pub download: Duration,
    /// Time for decoding and transcription together. Default 120 s.
    pub transcribe: Duration,
    /// Tries before a transient failure becomes final. Default 3.
    pub attempts_max: u32,
    /// Waits between tries.
    pub backoff: Backoff,
    /// Longest Retry-After that is honoured. Default 60 s.
    pub retry_after_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            job_bytes_max: 256 * 1024,
            download: Duration::from_secs(30),
            transcribe: Duration::from_secs(120),
            attempts_max: 3,
            backoff: Backoff::default(),
            retry_after_max: Duration::from_secs(60),
        }
    }
}
