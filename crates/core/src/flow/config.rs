//! Sizes and times of the coordinator.

use std::sync::Arc;
use std::time::Duration;

use stt_schema::DetailLevel;

use crate::Limits;

/// Sizes and times of the coordinator, and what its messages say.
#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// Jobs transcribed at once. Default 1.
    pub concurrency: usize,
    /// Jobs that are downloaded and decoded ahead of the engine, beyond those being transcribed. Default 4.
    pub queue_max: usize,
    /// Jobs that download from one site at once. Default `None`: all places of the window but one, so that no site has them all.
    pub site_downloads_max: Option<usize>,
    /// Most records held in memory that are not waiting for a retry time. The working limit adapts below it to a few
    /// seconds of work. Default 512.
    pub intake_records_max: usize,
    /// Most bytes of them. Default 32 MiB.
    pub intake_bytes_max: usize,
    /// Most records that wait for their retry time. When one more comes, the one that is due first runs at once. Default
    /// 1,000.
    pub delayed_records_max: usize,
    /// Most bytes of them. Default 64 MiB.
    pub delayed_bytes_max: usize,
    /// Ceilings of one job.
    pub limits: Limits,
    /// Whether outcomes and commits go together in transactions; see [`crate::Sink::is_transactional`].
    pub transactional: bool,
    /// The topic whose records run before those of any other: the retry topic. Default none.
    pub priority_topic: Option<Arc<str>>,
    /// How much results say beyond the text. Default nothing.
    pub detail: DetailLevel,
    /// `modelVersion` of the results.
    pub model_version: Arc<str>,
    /// Least time between two commits of finished work. Default 250 ms.
    pub commit_interval: Duration,
    /// Least time between two commits when jobs wait for their start marker. Default 5 ms.
    pub marker_interval: Duration,
    /// Longest a job waits for the broker to acknowledge its start marker; then it starts without, unless it is a crash
    /// suspect. Default 1 s.
    pub marker_wait: Duration,
    /// Session timeout of the group: after a longer silence of this process, others may own its partitions. Default 45 s.
    pub session_timeout: Duration,
    /// How long a completed job is remembered, so that a duplicate is not processed; never when zero. Default 1 h.
    pub idempotency_ttl: Duration,
    /// How many completed jobs are remembered. Default 10,000.
    pub idempotency_entries_max: usize,
    /// How long running jobs may go on after a stop was asked for. Default 25 s.
    pub shutdown_grace: Duration,
    /// How long each of these may take: finishing a partition that is revoked; on a stop, cancelled jobs; last commits.
    /// Default 5 s.
    pub leave_wait: Duration,
    /// How far a job may exceed its time limits before the process counts as hung and ends. Default 60 s.
    pub hung_after: Duration,
    /// Seed of the jitter of retry waits.
    pub seed: u64,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self {
            concurrency: 1,
            queue_max: 4,
            site_downloads_max: None,
            intake_records_max: 512,
            intake_bytes_max: 32 << 20,
            delayed_records_max: 1_000,
            delayed_bytes_max: 64 << 20,
            limits: Limits::default(),
            transactional: false,
            priority_topic: None,
            detail: DetailLevel::None,
            model_version: "".into(),
            commit_interval: Duration::from_millis(250),
            marker_interval: Duration::from_millis(5),
            marker_wait: Duration::from_secs(1),
            session_timeout: Duration::from_secs(45),
            idempotency_ttl: Duration::from_secs(3600),
            idempotency_entries_max: 10_000,
            shutdown_grace: Duration::from_secs(25),
            leave_wait: Duration::from_secs(5),
            hung_after: Duration::from_secs(60),
            seed: 0,
        }
    }
}

impl CoordinatorConfig {
    /// Jobs handed to workers at once: those being transcribed and those prepared ahead.
    #[must_use]
    pub fn window(&self) -> usize {
        self.concurrency.max(1) + self.queue_max
    }

    /// Jobs that download from one site at once.
    pub(crate) fn downloads_per_site(&self) -> usize {
        self.site_downloads_max.unwrap_or(self.window() - 1).max(1)
    }
}
