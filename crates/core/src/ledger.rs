//! Which offsets are open, and how far each partition may be committed.

mod note;
mod ranges;
mod track;

use std::collections::BTreeMap;

use self::track::Track;
use crate::outcome::Published;
use crate::record::{Partition, Ticket};

/// The offsets of the partitions owned by this process.
///
/// Jobs end out of order, and a commit is one number: it goes up to the lowest open offset. What is done above it, and
/// what was begun, is written beside it as a note that the next owner reads, so that a crash costs only the jobs that were
/// really in hand, and a job that ends the process again and again is known.
///
/// Invariants, walked exhaustively in the tests:
/// * **No loss**: a commit never passes an open offset, and a note names none as done.
/// * **No rewind**: what is due for a partition in one epoch only grows.
/// * **Fencing**: a ticket of an earlier epoch changes nothing.
/// * **Progress**: when nothing is open, everything admitted is due.
/// * **Nothing twice**: what a committed note names as done is not open again after a crash.
/// * **Nothing forgotten**: what the broker knows as begun is a suspect after a crash, until it is done.
/// * **Marking**: what was begun is marked once the broker has answered, or knows it already.
#[derive(Debug, Default)]
pub struct Ledger {
    epoch: u64,
    owned: BTreeMap<Partition, Track>,
    /// What this process had begun in partitions that it lost. Should they come back, those were no crashes.
    lost: BTreeMap<Partition, BTreeMap<i64, u32>>,
}

/// What the broker keeps for a partition of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Everything below is done.
    pub next_offset: i64,
    /// What is known of the offsets above; ASCII, at most 3,500 bytes, empty when there is nothing to say.
    pub note: String,
}

/// A partition that came into this process's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Partition.
    pub partition: Partition,
    /// What was committed for it last, if anything.
    pub committed: Option<Committed>,
}

impl From<Partition> for Assignment {
    /// For which nothing is committed.
    fn from(partition: Partition) -> Self {
        let committed = None;
        Self { partition, committed }
    }
}

/// A commit that may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Partition.
    pub partition: Partition,
    /// What the broker is to keep for it.
    pub committed: Committed,
}

/// What a record is to the ledger.
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is to be worked on.
    Open {
        /// The right to settle it.
        ticket: Ticket,
        /// How often a process ended after it had begun this record and before it was done with it.
        crashes: u32,
    },
    /// An earlier owner was done with it. It counts as passed.
    Done,
    /// The partition is not owned, or the record was admitted before in this epoch (delivered twice, as after a resumed
    /// pause).
    Ignored,
}

impl Admitted {
    /// The ticket of a record that is to be worked on.
    #[must_use]
    pub fn ticket(self) -> Option<Ticket> {
        match self {
            Self::Open { ticket, .. } => Some(ticket),
            Self::Done | Self::Ignored => None,
        }
    }
}

/// What settling did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The offset is closed.
    Closed,
    /// The partition was given up since: nothing changed.
    Stale,
}

impl Ledger {
    /// Takes a partition over, under a new epoch, with what its last owner noted.
    pub fn assign(&mut self, assignment: Assignment) {
        self.epoch += 1;
        let Assignment { partition, committed } = assignment;
        let ours = self.lost.remove(&partition).unwrap_or_default();
        self.owned.insert(partition, Track::new(self.epoch, committed, &ours));
    }

    /// Gives a partition up: its tickets become stale.
    pub fn revoke(&mut self, partition: &Partition) {
        if let Some(track) = self.owned.remove(partition) {
            self.lost.insert(partition.clone(), track.begun());
        }
    }

    /// A partition will be given up with jobs begun that are not going to end here: the next commit takes their marks back,
    /// so that nobody takes them for crashes.
    pub fn retire(&mut self, partition: &Partition) {
        if let Some(track) = self.owned.get_mut(partition) {
            track.retire();
        }
    }

    /// Opens the offset of a record.
    pub fn admit(&mut self, partition: &Partition, offset: i64) -> Admitted {
        match self.owned.get_mut(partition) {
            Some(track) => track.admit(partition, offset),
            None => Admitted::Ignored,
        }
    }

    /// Marks a job as begun, in the next commit. Should the process end before it is done, its next owner will know.
    pub fn begin(&mut self, ticket: &Ticket) {
        if let Some(track) = self.current(ticket) {
            track.begin(ticket.offset);
        }
    }

    /// Whether the broker knows that the job was begun.
    #[must_use]
    pub fn is_marked(&self, ticket: &Ticket) -> bool {
        let track = self.owned.get(&ticket.partition);
        track.is_some_and(|track| track.epoch == ticket.epoch && track.is_marked(ticket.offset))
    }

    /// Whether a ticket may still be settled.
    #[must_use]
    pub fn is_current(&self, ticket: &Ticket) -> bool {
        let track = self.owned.get(&ticket.partition);
        track.is_some_and(|track| track.epoch == ticket.epoch)
    }

    /// Closes the offset of a published outcome.
    pub fn settle(&mut self, published: Published) -> Settled {
        let ticket = published.ticket;
        let closed = self.current(&ticket).is_some_and(|track| track.settle(ticket.offset));
        if closed { Settled::Closed } else { Settled::Stale }
    }

    /// The commits that may be made and were not asked for yet. They count as asked for until [`Ledger::committed`] or
    /// [`Ledger::refused`] says what became of them; of a partition there is one at a time.
    pub fn due(&mut self) -> Vec<Due> {
        self.due_with(&[])
    }

    /// As [`Ledger::due`], should the outcomes of these tickets be published along with the commits, in one transaction.
    pub fn due_with(&mut self, closing: &[&Ticket]) -> Vec<Due> {
        let mut due = Vec::new();
        for (partition, track) in &mut self.owned {
            let of_track = |ticket: &&&Ticket| ticket.epoch == track.epoch && ticket.partition == *partition;
            let offsets: Vec<i64> = closing.iter().filter(of_track).map(|ticket| ticket.offset).collect();
            if let Some(committed) = track.due(&offsets) {
                due.push(Due {
                    partition: partition.clone(),
                    committed,
                });
            }
        }
        due
    }

    /// The broker has a commit.
    pub fn committed(&mut self, due: &Due) {
        self.answered(due, true);
    }

    /// The broker refused a commit: it is due again.
    pub fn refused(&mut self, due: &Due) {
        self.answered(due, false);
    }

    fn answered(&mut self, due: &Due, taken: bool) {
        if let Some(track) = self.owned.get_mut(&due.partition) {
            track.answered(&due.committed, taken);
        }
    }

    /// Whether the broker has every commit that may be made for these partitions.
    #[must_use]
    pub fn is_committed<'a>(&self, partitions: impl IntoIterator<Item = &'a Partition>) -> bool {
        partitions
            .into_iter()
            .filter_map(|partition| self.owned.get(partition))
            .all(Track::is_committed)
    }

    /// How many offsets are open, over all partitions.
    #[must_use]
    pub fn open(&self) -> usize {
        self.owned.values().map(Track::open).sum()
    }

    /// The partitions owned.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.owned.keys()
    }

    fn current(&mut self, ticket: &Ticket) -> Option<&mut Track> {
        let track = self.owned.get_mut(&ticket.partition)?;
        (track.epoch == ticket.epoch).then_some(track)
    }
}

#[cfg(test)]
mod tests;
