//! One snapshot of the delivery state, for `/readyz`, metrics and tests.

use serde::Serialize;
use stt_schema::ErrorCode;

/// The state of a coordinator at one moment. Holds no URL, no job id, no payload: anyone who reaches the health port may
/// read it. Ages in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Why the worker should not count as ready; empty when it is.
    pub not_ready: Vec<NotReady>,
    /// Whether this consumer is a member of its group.
    pub member: bool,
    /// Whether a stop was asked for.
    pub stopping: bool,
    /// Whether intake is paused because enough is in memory.
    pub intake_paused: bool,
    /// How many records are in memory.
    pub open: usize,
    /// How many of them wait for a worker.
    pub queued: usize,
    /// How many run.
    pub running: usize,
    /// How many wait for their retry time, or for a fault of this worker to pass.
    pub delayed: usize,
    /// How many outcomes wait for the broker's acknowledgement.
    pub publishing: usize,
    /// Jobs that may run at once, those prepared ahead included.
    pub window: usize,
    /// How many jobs of partitions that were lost are kept in case these come back.
    pub kept: usize,
    /// The job that exceeded its time limits by far, if there is one.
    pub hung: Option<JobStatus>,
    /// The worker-local fault that stops new starts, if there is one.
    pub breaker: Option<ErrorCode>,
    /// Owned partitions.
    pub partitions: Vec<PartitionStatus>,
    /// The oldest jobs in memory that do not wait in the queue, at most 100.
    pub jobs: Vec<JobStatus>,
    /// The oldest outcomes without acknowledgement, at most 100.
    pub outcomes: Vec<OutcomeStatus>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// Topic.
    pub topic: String,
    /// Number.
    pub partition: i32,
    /// Next offset that the broker has as committed.
    pub committed: Option<i64>,
    /// Next offset expected.
    pub next: Option<i64>,
    /// How many offsets are open.
    pub open: usize,
    /// Age of the oldest open one, since it was taken in.
    pub oldest_age: Option<f64>,
    /// How many crash suspects it has.
    pub suspects: usize,
    /// Whether it is being given up.
    pub draining: bool,
    /// Whether its delivery is paused.
    pub paused: bool,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Attempt.
    pub attempt: u32,
    /// `delayed`, `marking`, `following`, a step of the work, or `publishing`.
    pub stage: &'static str,
    /// Time in this stage.
    pub stage_age: f64,
    /// Time since it was taken in.
    pub age: f64,
    /// Why it is held, if it is.
    pub held: Option<ErrorCode>,
}

/// One outcome that the broker has not acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeStatus {
    /// Topic of the job's record.
    pub topic: String,
    /// Partition of the job's record.
    pub partition: i32,
    /// Offset of the job's record.
    pub offset: i64,
    /// Time since the work was finished.
    pub age: f64,
    /// How many times it was refused.
    pub refusals: u32,
    /// Whether it is on its way to the broker now.
    pub in_flight: bool,
}

/// A reason not to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotReady {
    /// Not a member of the consumer group: not joined yet, or the membership was lost.
    NotMember,
    /// Shutting down.
    Stopping,
    /// An outcome waits for the broker's acknowledgement for longer than [`Status::BLOCKED_AFTER`].
    PublishBlocked,
    /// Commits get no answer, or are refused, for longer than [`Status::COMMIT_BLOCKED_AFTER`].
    CommitBlocked,
    /// A fault of this worker (disk full, say) keeps jobs from being started.
    WorkerFault,
    /// A job exceeded its time limits by far and cannot be stopped.
    Hung,
}

impl NotReady {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NotMember,
        Self::Stopping,
        Self::PublishBlocked,
        Self::CommitBlocked,
        Self::WorkerFault,
        Self::Hung,
    ];

    /// Name in `/readyz` and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotMember => "not-member",
            Self::Stopping => "stopping",
            Self::PublishBlocked => "publish-blocked",
            Self::CommitBlocked => "commit-blocked",
            Self::WorkerFault => "worker-fault",
            Self::Hung => "hung",
        }
    }
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotMember => "not a member of the consumer group",
            Self::Stopping => "shutting down",
            Self::PublishBlocked => "the broker does not acknowledge an outcome",
            Self::CommitBlocked => "the broker does not accept offset commits",
            Self::WorkerFault => "a fault of this worker keeps jobs from being started",
            Self::Hung => "a job exceeded its time limits and cannot be stopped",
        })
    }
}
