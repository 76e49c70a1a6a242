//! What goes into the coordinator and what comes out.

use std::time::Duration;

use stt_schema::ErrorCode;

use crate::{
    Batch, BatchResult, Commit, Failure, Fault, JobId, Partition, ResetCause, SourceEvent, StageTimes, WorkItem,
    WorkStage, WorkerEvent,
};

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// An event of the source.
    Source(SourceEvent),
    /// An event of the workers.
    Worker(WorkerEvent),
    /// A batch is finished.
    Published(BatchResult),
    /// A stop is asked for.
    Stop,
    /// Time passed, or a series of other inputs is over: what can be done now is done. Outputs appear only here.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Hand a job to the workers.
    Start(WorkItem),
    /// Ask a running job to stop.
    Cancel(JobId),
    /// Publish a batch.
    Publish(Batch),
    /// Commit offsets.
    Commit(Vec<Commit>),
    /// Pause delivery of partitions.
    Pause(Vec<Partition>),
    /// Resume delivery of partitions.
    Resume(Vec<Partition>),
    /// Give partitions up.
    Release(Vec<Partition>),
    /// For logs and metrics.
    Event(FlowEvent),
    /// Leave the group and end.
    Exit(Exit),
}

/// How it ends.
#[derive(Debug)]
pub enum Exit {
    /// As asked.
    Stopped(Report),
    /// A part reported that this process cannot go on.
    Fatal(Failure),
    /// A job exceeded its time limits by far and cannot be stopped. Its start marker stays, so the next owner counts a
    /// crash.
    Hung {
        /// Which job.
        job: JobLabel,
        /// In which step.
        stage: WorkStage,
        /// For how long.
        elapsed: Duration,
    },
}

/// What was done until the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Outcomes acknowledged by the broker: results, dead letters, retries.
    pub published: u64,
    /// Jobs left for other workers.
    pub abandoned: u64,
    /// Whether the broker has every commit that could be made.
    pub committed: bool,
}

/// Which job an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLabel {
    /// The job's id, as far as it can be read.
    pub job_id: String,
    /// Its correlation id, if it is a job.
    pub correlation_id: Option<String>,
    /// Partition of its record.
    pub partition: Partition,
    /// Offset of its record.
    pub offset: i64,
    /// Which attempt.
    pub attempt: u32,
    /// The trace that it belongs to, if its record names one.
    pub trace_id: Option<u128>,
}

impl std::fmt::Display for JobLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            job_id,
            partition,
            offset,
            attempt,
            trace_id,
            ..
        } = self;
        write!(f, "job {job_id} ({partition}@{offset}, attempt {attempt}")?;
        if let Some(trace_id) = trace_id {
            write!(f, ", trace {trace_id:032x}")?;
        }
        f.write_str(")")
    }
}

/// A failure as events carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureLabel {
    /// Code.
    pub code: ErrorCode,
    /// What to do about it.
    pub fault: Fault,
    /// The error and its causes.
    pub message: String,
}

impl From<&Failure> for FailureLabel {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code,
            fault: failure.fault,
            message: failure.error_chain(),
        }
    }
}

/// Why a delivered record was not admitted. It is delivered again to whoever owns the partition then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IgnoredReason {
    /// Its partition is not owned (any more), or is being given up.
    NotOwned,
    /// The worker is stopping.
    Stopping,
    /// It was delivered before.
    Redelivered,
}

impl IgnoredReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NotOwned, Self::Stopping, Self::Redelivered];

    /// Label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotOwned => "not-owned",
            Self::Stopping => "stopping",
            Self::Redelivered => "redelivered",
        }
    }
}

/// Something that logs and metrics record.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowEvent {
    /// A record was taken in.
    Received,
    /// A record was not taken in.
    Ignored(IgnoredReason),
    /// A record was passed because an earlier owner of the partition was done with it.
    DoneBefore,
    /// A record was passed because the same job is active, or was completed recently.
    Duplicate {
        /// Which job.
        job: JobLabel,
        /// Whether the other record was completed already.
        of_completed: bool,
    },
    /// A record whose job was started by processes that ended before it was done.
    CrashSuspect {
        /// Which job.
        job: JobLabel,
        /// How many.
        crashes: u32,
    },
    /// A job was started although the broker did not acknowledge its start marker in time.
    StartedUnmarked,
    /// A retry runs before its time, because too many wait.
    DelayCutShort,
    /// Outcome published: a result.
    Completed {
        /// Which job.
        job: JobLabel,
        /// What its steps took.
        times: StageTimes,
        /// From the finished work to the broker's acknowledgement.
        publish: Duration,
        /// Whisper's language code.
        language: Option<&'static str>,
        /// Length of the audio in seconds.
        audio_seconds: f64,
        /// As in the result.
        confidence: f64,
        /// From admission to the acknowledgement.
        elapsed: Duration,
        /// Whether the detail was left out, as the broker did not take it.
        reduced: bool,
    },
    /// Outcome published: a FAILED result and a dead letter.
    Failed {
        /// Which job.
        job: JobLabel,
        /// What its steps took.
        times: StageTimes,
        /// From the finished work to the broker's acknowledgement.
        publish: Duration,
        /// Why.
        failure: FailureLabel,
        /// Whether the payload was left out of the dead letter, as the broker did not take it.
        reduced: bool,
    },
    /// Outcome published: a retry.
    Retried {
        /// Which job.
        job: JobLabel,
        /// What its steps took.
        times: StageTimes,
        /// From the finished work to the broker's acknowledgement.
        publish: Duration,
        /// Why.
        failure: FailureLabel,
        /// How long it waits.
        wait: Duration,
    },
    /// A job waits for a fault of this worker to pass; it costs the job no attempt.
    Held {
        /// Which job.
        job: JobLabel,
        /// Why.
        failure: FailureLabel,
        /// How long.
        wait: Duration,
        /// How many times in a row.
        count: u32,
    },
    /// The broker did not take an outcome; it is published again.
    PublishRefused {
        /// Which job.
        job: JobLabel,
        /// Why.
        failure: FailureLabel,
        /// How long until the next try.
        wait: Duration,
        /// How many times in a row.
        count: u32,
    },
    /// A job was left for another worker.
    Abandoned {
        /// Which job.
        job: JobLabel,
    },
    /// An outcome was acknowledged after its partition was given up: another worker may publish a second one.
    LateOutcome {
        /// Which job.
        job: JobLabel,
    },
    /// The set of owned partitions changed.
    PartitionsChanged {
        /// `assigned`, `revoked`, `lost` or `reset`.
        kind: &'static str,
        /// Which partitions.
        partitions: Vec<Partition>,
        /// How many are owned now.
        owned: usize,
    },
    /// The position in a partition no longer exists.
    LogReset {
        /// Which.
        partition: Partition,
        /// Why.
        cause: ResetCause,
        /// Jobs in memory whose records are gone; they are finished and published, without offsets.
        jobs: usize,
    },
    /// The broker answered a commit.
    CommitAnswered {
        /// Why it was refused.
        error: Option<String>,
    },
    /// A transaction ended.
    Transaction {
        /// Why it was aborted.
        failure: Option<FailureLabel>,
    },
    /// A problem that the Kafka client reported and goes on from.
    BrokerError(String),
    /// A worker-local fault stops new starts, or no longer does.
    Breaker {
        /// Whether starts are stopped.
        open: bool,
    },
}
