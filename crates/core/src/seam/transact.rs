//! Outcomes and commits in one.

use crate::{Due, Failure, NotPublished, Outcome, Published};

/// Publishes outcomes and commits offsets in one transaction: who reads only what is committed sees each job's outcome
/// once, whatever dies in between.
///
/// Used by one thread, and never blocks it. One transaction at a time.
pub trait Transact: Send {
    /// Begins a transaction; its end comes from [`Transact::ended`].
    fn begin(&mut self, transaction: Transaction);

    /// The end of the transaction that was begun last, once.
    fn ended(&mut self) -> Option<Transacted>;
}

/// What happens together or not at all.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Their records are written. None is a transaction that only commits.
    pub outcomes: Vec<Outcome>,
    /// Commits of this process's partitions, with those outcomes counted as done.
    pub due: Vec<Due>,
}

/// How a transaction ended.
#[derive(Debug)]
pub enum Transacted {
    /// It is committed.
    Committed {
        /// Proofs for its outcomes, in their order.
        published: Vec<Published>,
        /// Its commits.
        due: Vec<Due>,
    },
    /// Nothing of it happened, as far as readers of committed records can see.
    Aborted {
        /// Its outcomes, in their order. Those that were not the cause come back with [`crate::Fault::Transient`]: they
        /// may be tried again at once. One that never fits has [`crate::Fault::Permanent`] with
        /// [`crate::ErrorCode::ResultTooLarge`], one that has to wait [`crate::Fault::WorkerLocal`].
        not_published: Vec<NotPublished>,
        /// Its commits.
        due: Vec<Due>,
        /// What ended it. [`crate::Fault::Fatal`] when this process can publish nothing more, as after it was fenced.
        failure: Failure,
    },
}
