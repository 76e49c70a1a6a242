//! What is to be published about a job, and the proof that it was.

use crate::record::{Header, Partition, Ticket};

/// One way for a job to leave this worker: the records that must all be acknowledged before its offset is passed.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub(crate) ticket: Ticket,
    /// Key of every record: the job's own key.
    pub key: Vec<u8>,
    /// What to publish.
    pub kind: OutcomeKind,
}

/// The records of an outcome, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// A result, to the results topic.
    Completed {
        /// A `JobResult`.
        result: Vec<u8>,
    },
    /// A FAILED result to the results topic, and the dead letter to its topic.
    Failed {
        /// A `JobResult`.
        result: Vec<u8>,
        /// A `DeadLetter`.
        dead_letter: Vec<u8>,
        /// The job's headers, for the dead letter.
        headers: Vec<Header>,
    },
    /// The job again, to the jobs topic.
    Retry {
        /// The job's own payload.
        payload: Vec<u8>,
        /// The job's headers with the next `attempt` and the time to wait.
        headers: Vec<Header>,
    },
}

impl Outcome {
    /// An outcome of the job that holds `ticket`.
    #[must_use]
    pub fn new(ticket: Ticket, key: Vec<u8>, kind: OutcomeKind) -> Self {
        Self { ticket, key, kind }
    }

    /// The record that the outcome is of.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Replaces the records, for example when the broker finds them too large.
    #[must_use]
    pub fn replaced(self, kind: OutcomeKind) -> Self {
        Self { kind, ..self }
    }

    /// For implementors of [`crate::Publish`] only: to be called when the broker has acknowledged every record.
    pub fn acknowledged(self) -> Published {
        let is_final = !matches!(self.kind, OutcomeKind::Retry { .. });
        Published {
            ticket: self.ticket,
            receipt: Receipt { is_final },
        }
    }
}

/// Proof that the broker has the whole outcome of a job.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the job's offset passes only when this is settled"]
pub struct Published {
    pub(crate) ticket: Ticket,
    receipt: Receipt,
}

/// Proof that an outcome of a job was published once, for whom the offset does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    is_final: bool,
}

impl Receipt {
    /// Whether the job is over; it is not when it will be tried again.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.is_final
    }

    /// Another record of the same job needs no outcome of its own.
    pub fn covers(self, twin: Ticket) -> Published {
        Published {
            ticket: twin,
            receipt: self,
        }
    }
}

impl Published {
    /// The proof without the offset.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// The partition of the job's record.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.ticket.partition
    }

    /// The offset of the job's record.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.ticket.offset
    }
}
