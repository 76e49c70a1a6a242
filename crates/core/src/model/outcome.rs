//! What is published about a job.

use crate::{Header, JobId};

/// One way for a job to leave this worker: records that must all be acknowledged before its offset is passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose.
    pub job: JobId,
    /// Which kind.
    pub kind: OutcomeKind,
    /// The records.
    pub records: Vec<OutcomeRecord>,
}

/// Kinds of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// A result.
    Completed,
    /// A FAILED result and a dead letter.
    Failed,
    /// The job again, for its next attempt.
    Retry,
}

/// Which topic a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// Results, completed or failed.
    Results,
    /// Dead letters.
    DeadLetters,
    /// Jobs to be tried again: the retry topic, or the jobs topic where there is none.
    Retries,
}

/// One record of an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRecord {
    /// Where it goes.
    pub destination: Destination,
    /// Its key; empty for none.
    pub key: Vec<u8>,
    /// Its value.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Whether the broker has it. Set by sinks; such a record is not written again when another one of the outcome was
    /// refused and the outcome is sent again.
    pub acknowledged: bool,
}

impl OutcomeRecord {
    /// About how many bytes of a message it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let header = |header: &Header| header.key.len() + header.value.as_ref().map_or(0, Vec::len);
        self.payload.len() + self.key.len() + self.headers.iter().map(header).sum::<usize>()
    }
}
