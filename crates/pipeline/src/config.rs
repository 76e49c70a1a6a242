//! What the pipeline is made with.

use std::sync::Arc;
use std::time::Duration;

use stt_core::{Clock, Decode, DetailLevel, Fetch, Limits, Transcribe};

/// The machinery that the workers share.
#[derive(Clone)]
pub struct Parts {
    /// Brings the bytes.
    pub fetch: Arc<dyn Fetch>,
    /// Makes samples of them.
    pub decode: Arc<dyn Decode>,
    /// Makes text of those.
    pub transcribe: Arc<dyn Transcribe>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// A number in [0, 1) for each call, to spread the waits before retries.
    pub dice: fn() -> f64,
    /// `modelVersion` of the results.
    pub model_version: Arc<str>,
}

/// Sizes and times of the pipeline, and what its results tell.
#[derive(Clone, Debug)]
pub struct Config {
    /// Jobs worked on at once; a thread each. Default 1.
    pub concurrency: usize,
    /// Jobs taken in beyond those worked on. Default 4.
    pub queue_max: usize,
    /// Records that wait for their retry before intake pauses. Default 256.
    pub delayed_max: usize,
    /// Ceilings of one job.
    pub limits: Limits,
    /// How much results tell beyond the text. Default nothing.
    pub detail: DetailLevel,
    /// Longest the poll thread waits for one event. Default 100 ms.
    pub poll_wait: Duration,
    /// Least time between two commits. Default 250 ms.
    pub commit_every: Duration,
    /// The session of the group's members: after a longer silence, partitions may have new owners. Default 45 s.
    pub session_timeout: Duration,
    /// Longest a job waits for the broker to know that it was begun; then it begins all the same, unless it is a suspect.
    /// Default 1 s.
    pub mark_wait: Duration,
    /// How long a job is remembered after its outcome was published, so that a duplicate is not done again; none when zero.
    /// Default 1 h.
    pub idempotency_ttl: Duration,
    /// How many jobs are remembered. Default 10,000.
    pub idempotency_entries_max: usize,
    /// How long running jobs may go on after a stop was asked for. Default 25 s.
    pub shutdown_grace: Duration,
    /// How long last commits, and then leaving the group, may take. Default 5 s each.
    pub leave_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 1,
            queue_max: 4,
            delayed_max: 256,
            limits: Limits::default(),
            detail: DetailLevel::None,
            poll_wait: Duration::from_millis(100),
            commit_every: Duration::from_millis(250),
            session_timeout: Duration::from_secs(45),
            mark_wait: Duration::from_secs(1),
            idempotency_ttl: Duration::from_secs(3600),
            idempotency_entries_max: 10_000,
            shutdown_grace: Duration::from_secs(25),
            leave_wait: Duration::from_secs(5),
        }
    }
}
