//! Where outcomes go.

use std::time::Duration;

use crate::{Commit, Failure, Outcome, Waker};

/// Publishes outcomes, and in exactly-once mode commits offsets with them.
///
/// One trait for both guarantees. A sink that is not transactional takes any number of batches at once, each without
/// commits, and answers for each outcome on its own. A transactional one takes one batch at a time, and its outcomes and
/// commits become visible together or not at all to consumers with `isolation.level=read_committed`.
///
/// Called by one thread, the one that polls the source; no call blocks.
pub trait Sink: Send {
    /// Called once before the first batch: what to call when [`Sink::poll`] has something.
    fn set_waker(&mut self, waker: Waker);

    /// Whether batches are transactions.
    fn is_transactional(&self) -> bool;

    /// Starts to publish a batch. Records that are [`crate::OutcomeRecord::acknowledged`] already are left out.
    fn send(&mut self, batch: Batch);

    /// The next batch that is finished. A write in doubt is waited for, not reported: after a result every record is either
    /// acknowledged by all in-sync replicas or certainly not written by this batch.
    fn poll(&mut self) -> Option<BatchResult>;

    /// Gives up what is not finished, waiting at most `wait` for records on their way.
    fn close(&mut self, wait: Duration);
}

/// Identifies a batch within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// What is published together.
#[derive(Debug)]
pub struct Batch {
    /// Identity.
    pub id: BatchId,
    /// Outcomes; may be empty in a transaction that only commits.
    pub outcomes: Vec<Outcome>,
    /// Commits of this member's partitions, with the outcomes counted as done; empty unless the sink is transactional.
    pub commits: Vec<Commit>,
}

/// What became of a batch.
#[derive(Debug)]
pub struct BatchResult {
    /// Which.
    pub id: BatchId,
    /// Its outcomes in their order, each with its own answer. In an aborted transaction none is published; outcomes that
    /// were not the cause fail with [`crate::Fault::Transient`].
    pub outcomes: Vec<OutcomeResult>,
    /// Its commits.
    pub commits: Vec<Commit>,
    /// Why a transaction was aborted; `None` when it was committed, and always without transactions unless the sink is
    /// broken. [`crate::Fault::Fatal`]: this process can publish nothing more (fenced, say).
    pub failure: Option<Failure>,
}

/// What became of one outcome.
#[derive(Debug)]
pub struct OutcomeResult {
    /// The outcome, with its acknowledged records marked.
    pub outcome: Outcome,
    /// Whether the broker has every record of it. Failures: [`crate::Fault::Permanent`] with
    /// [`crate::ErrorCode::ResultTooLarge`] when a record will never be accepted as it is, [`crate::Fault::WorkerLocal`] when
    /// it should be tried again here later (topic missing, not authorized), [`crate::Fault::Transient`] when at once,
    /// [`crate::Fault::Fatal`] when this process can publish nothing more.
    pub result: Result<(), Failure>,
}
