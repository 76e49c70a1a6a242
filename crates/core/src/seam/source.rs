//! Where jobs come from.

use std::time::Duration;

use crate::{Assignment, Delivery, Due, Partition};

/// Delivers records of the partitions that this member of the group owns, and takes commits for them.
///
/// Used by one thread. Never blocks longer than the wait it is given, whatever the broker does.
pub trait Source {
    /// The next event, or [`SourceEvent::Idle`] after `wait`. Must be called often, also while paused: it is what keeps
    /// the membership alive.
    ///
    /// # Errors
    /// Only what ends the source for good; passing broker troubles are [`SourceEvent::Trouble`].
    fn poll(&mut self, wait: Duration) -> Result<SourceEvent, SourceError>;

    /// Hands commits over; the broker's answer comes as [`SourceEvent::Committed`]. Partitions that are not owned are
    /// left out: a late commit would rewind their new owner.
    fn commit(&mut self, due: &[Due]);

    /// Stops delivery from partitions. Records already on their way may still come.
    fn pause(&mut self, partitions: &[Partition]);

    /// Starts delivery again where the last record delivered left off.
    fn resume(&mut self, partitions: &[Partition]);

    /// Gives up the partitions of a [`SourceEvent::Revoked`], once their last commits are out.
    fn release(&mut self, partitions: &[Partition]);

    /// Leaves the group, waiting no longer than `wait`.
    fn close(&mut self, wait: Duration);
}

/// What a source has to say.
#[derive(Debug)]
pub enum SourceEvent {
    /// Nothing within the wait.
    Idle,
    /// A record.
    Delivered(Delivery),
    /// Partitions are owned from now on, each with what is committed for it. (An incremental assignment: those owned
    /// before stay. The first may be empty: this is a member of the group, and others have all partitions.)
    Assigned(Vec<Assignment>),
    /// Partitions are to be given up by [`Source::release`]; or, when `lost`, belong to somebody else already, so that
    /// nothing may be committed for them.
    Revoked {
        /// Which.
        partitions: Vec<Partition>,
        /// Whether the ownership is gone already.
        lost: bool,
    },
    /// The broker's answer to a commit.
    Committed {
        /// What was committed.
        due: Vec<Due>,
        /// Why it was not.
        error: Option<String>,
    },
    /// The broker is in trouble; the client goes on trying.
    Trouble(String),
}

/// The source is gone for good.
#[derive(Debug, thiserror::Error)]
#[error("the source of jobs ended: {message}")]
pub struct SourceError {
    /// What the client said.
    pub message: String,
}
