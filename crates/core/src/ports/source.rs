//! Where jobs come from.

use std::sync::Arc;
use std::time::Duration;

use crate::{Delivery, Partition};

/// Ends a [`Source::poll`] that is waiting, or makes the next one return at once. Callable from any thread, never blocks.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Delivers the records of the partitions that this consumer group member owns, and takes offset commits for them.
///
/// Called by one thread. No call blocks longer than the wait it is given, whatever the broker does.
pub trait Source {
    /// A handle that interrupts [`Source::poll`]: workers and the sink call it when they have news for the polling thread.
    fn waker(&self) -> Waker;

    /// The next event, or [`SourceEvent::Idle`] after `wait` or when woken. Must be called often, also while everything is
    /// paused: polling keeps the group membership alive.
    ///
    /// # Errors
    /// Only what ends the source for good; temporary broker problems are [`SourceEvent::BrokerError`].
    fn poll(&mut self, wait: Duration) -> Result<SourceEvent, SourceError>;

    /// Commits offsets asynchronously; the answer is a [`SourceEvent::CommitAnswered`]. Partitions that are not owned are
    /// left out: a broker accepts a late commit of a live member for a partition that has a new owner, and rewinds it.
    fn commit(&mut self, commits: &[Commit]);

    /// Stops delivery from partitions. Records that were fetched before may still come.
    fn pause(&mut self, partitions: &[Partition]);

    /// Resumes delivery behind the last record delivered.
    fn resume(&mut self, partitions: &[Partition]);

    /// Gives up partitions of a [`SourceEvent::Revoked`] that was not `lost`, once their last commits are answered. The
    /// partitions of one revocation may be released one by one.
    fn release(&mut self, partitions: &[Partition]);

    /// Leaves the group, waiting at most `wait`.
    fn close(&mut self, wait: Duration);
}

/// What a source reports.
#[derive(Debug)]
pub enum SourceEvent {
    /// Nothing within the wait, or woken.
    Idle,
    /// A record.
    Delivered(Delivery),
    /// Partitions that are owned from now on, each with what is committed for it. Assignments are incremental: partitions
    /// owned before stay. An empty list says that this consumer is a member of the group without new partitions.
    Assigned(Vec<Assignment>),
    /// Partitions that must be given up.
    Revoked {
        /// Which.
        partitions: Vec<Partition>,
        /// `false`: they stay owned until [`Source::release`], so last commits can be made. `true`: others may own them
        /// already, nothing may be committed for them any more, and there is nothing to release. After a loss this consumer
        /// is not a group member until the next [`SourceEvent::Assigned`].
        lost: bool,
    },
    /// The broker's answer to [`Source::commit`].
    CommitAnswered {
        /// What was to be committed.
        commits: Vec<Commit>,
        /// Why it was not, in which case the broker keeps what it had.
        error: Option<String>,
    },
    /// The position in a partition no longer exists in its log; reading continues at the log's beginning.
    LogReset {
        /// Which.
        partition: Partition,
        /// Why.
        cause: ResetCause,
    },
    /// A problem with a broker, which the client goes on trying to solve.
    BrokerError(String),
}

/// Why a position no longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// Retention deleted records that were not read yet. Offsets keep their meaning.
    Retention {
        /// How many offsets were skipped.
        skipped: u64,
    },
    /// The topic was deleted and created again, or the log lost its end in an unclean leader election: offsets now mean
    /// other records.
    NewLog,
}

/// The source ended for good.
#[derive(Debug, thiserror::Error)]
#[error("the job source ended: {message}")]
pub struct SourceError {
    /// What the client said.
    pub message: String,
}

/// What the broker keeps for a partition of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Every offset below is done.
    pub next_offset: i64,
    /// What is known of the offsets above; ASCII, at most 3,500 bytes, empty when there is nothing to say. See
    /// `CommitMetadata`.
    pub metadata: String,
}

/// A partition that this consumer owns from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Partition.
    pub partition: Partition,
    /// What was committed for it last, if anything.
    pub committed: Option<CommittedOffset>,
}

impl From<Partition> for Assignment {
    /// Nothing is committed.
    fn from(partition: Partition) -> Self {
        let committed = None;
        Self { partition, committed }
    }
}

/// An offset commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Partition.
    pub partition: Partition,
    /// What the broker is to keep for it.
    pub committed: CommittedOffset,
}
