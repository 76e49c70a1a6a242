//! What goes between the poll loop and the workers.

use stt_core::{Cancel, Case, Failure, JobKey, Partition, Published, Receipt, Ticket, Transcript, Verdict};

/// A job for a worker.
#[derive(Debug)]
pub(crate) struct Task {
    pub case: Case,
    pub ticket: Ticket,
    /// What it has in common with its twins.
    pub key: Option<JobKey>,
    pub wanted: Wanted,
    /// What an earlier run of it found and could not publish.
    pub finding: Option<Finding>,
}

impl Task {
    pub(crate) fn new(case: Case, ticket: Ticket, key: Option<JobKey>, wanted: Wanted) -> Self {
        let finding = None;
        Self {
            case,
            ticket,
            key,
            wanted,
            finding,
        }
    }
}

/// How much the jobs of a partition are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Raised when they are not to be run any further.
    pub run: Cancel,
    /// Raised when their outcomes are not to be published any more.
    pub publish: Cancel,
}

/// What a run of a job found.
#[derive(Debug)]
pub(crate) struct Finding {
    pub verdict: Verdict,
    pub transcript: Option<Transcript>,
}

/// What a worker says when it is done with a task.
#[derive(Debug)]
pub(crate) struct Done {
    pub partition: Partition,
    pub key: Option<JobKey>,
    /// Which try it was.
    pub number: u32,
    pub end: End,
}

/// How a task ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The outcome is with the broker, the offset is still to be settled.
    Published(Published),
    /// Outcome and offset are with the broker, and settled.
    Settled(Receipt),
    /// The offset stays open. What was found, if it came so far.
    Abandoned(Option<Finding>),
    /// The process must end.
    Died(Failure),
}
