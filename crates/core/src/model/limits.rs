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
    /// Attempts before a transient failure becomes final. Default 3.
    pub attempts_max: u32,
    /// How many processes may end while they work on a job before it becomes a dead letter. Its own limit, not
    /// `attempts_max`: a job that ran at the moment of one `kill -9` is hardly the cause. The last time it runs alone, so
    /// that the verdict is certain. Default 3; at least 2.
    pub crashes_max: u32,
    /// Waits between attempts; no Retry-After and no header of a record has a job wait longer than its `max`.
    pub backoff: Backoff,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            job_bytes_max: 256 * 1024,
            download: Duration::from_secs(30),
            transcribe: Duration::from_secs(120),
            attempts_max: 3,
            crashes_max: 3,
            backoff: Backoff::default(),
        }
    }
}
