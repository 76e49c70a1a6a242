//! Which offsets are open, and how far each partition may be committed.

use std::collections::{BTreeMap, BTreeSet};

use crate::outcome::Published;
use crate::record::{Partition, Ticket};

/// The offsets of the partitions owned by this process.
///
/// Invariants, walked exhaustively in the tests:
/// * **No loss**: a commit never passes an open offset.
/// * **No rewind**: what is due for a partition in one epoch only grows.
/// * **Fencing**: a ticket of an earlier epoch changes nothing.
/// * **Progress**: when nothing is open, everything admitted is due.
#[derive(Debug, Default)]
pub struct Ledger {
    epoch: u64,
    owned: BTreeMap<Partition, Track>,
}

/// What is known of a partition since it was assigned. Offsets are those to read next, as Kafka commits them.
#[derive(Debug)]
struct Track {
    epoch: u64,
    open: BTreeSet<i64>,
    marks: Option<Marks>,
}

#[derive(Debug)]
struct Marks {
    /// One past the highest offset admitted.
    next: i64,
    /// What the broker was asked to commit last.
    asked: i64,
    /// What the broker has: its last answer, or where reading began.
    acknowledged: i64,
}

impl Track {
    fn admit(&mut self, offset: i64) -> bool {
        let marks = self.marks.get_or_insert(Marks {
            next: offset,
            asked: offset,
            acknowledged: offset,
        });
        if offset < marks.next {
            return false;
        }
        marks.next = offset + 1;
        self.open.insert(offset)
    }
}

/// A commit that may be made: the next offset to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Partition.
    pub partition: Partition,
    /// Everything below is done.
    pub next_offset: i64,
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
    /// Takes a partition over, under a new epoch; what was known of it is forgotten.
    pub fn assign(&mut self, partition: Partition) {
        self.epoch += 1;
        let track = Track {
            epoch: self.epoch,
            open: BTreeSet::new(),
            marks: None,
        };
        self.owned.insert(partition, track);
    }

    /// Gives a partition up: its tickets become stale.
    pub fn revoke(&mut self, partition: &Partition) {
        self.owned.remove(partition);
    }

    /// Opens an offset. `None` when the partition is not owned, or the offset was admitted before in this epoch (a
    /// record that was delivered twice, as after a resumed pause).
    pub fn admit(&mut self, partition: &Partition, offset: i64) -> Option<Ticket> {
        let track = self.owned.get_mut(partition)?;
        track.admit(offset).then(|| Ticket {
            partition: partition.clone(),
            offset,
            epoch: track.epoch,
        })
    }

    /// Closes the offset of a published outcome.
    pub fn settle(&mut self, published: Published) -> Settled {
        let Ticket {
            partition,
            offset,
            epoch,
        } = published.ticket;
        let closed = self
            .owned
            .get_mut(&partition)
            .is_some_and(|track| track.epoch == epoch && track.open.remove(&offset));
        if closed { Settled::Closed } else { Settled::Stale }
    }

    /// The commits that may be made and were not asked for yet; they count as asked for from now on.
    pub fn due(&mut self) -> Vec<Due> {
        let mut due = Vec::new();
        for (partition, track) in &mut self.owned {
            let Some(marks) = &mut track.marks else { continue };
            let next_offset = track.open.first().copied().unwrap_or(marks.next);
            if next_offset > marks.asked {
                marks.asked = next_offset;
                due.push(Due {
                    partition: partition.clone(),
                    next_offset,
                });
            }
        }
        due
    }

    /// The broker has a commit.
    pub fn committed(&mut self, due: &Due) {
        if let Some(marks) = self.marks(due) {
            marks.acknowledged = marks.acknowledged.max(due.next_offset);
        }
    }

    /// The broker refused a commit: unless a later one is on its way, it is due again.
    pub fn refused(&mut self, due: &Due) {
        if let Some(marks) = self.marks(due)
            && marks.asked == due.next_offset
        {
            marks.asked = marks.acknowledged;
        }
    }

    /// Whether the broker has every commit that may be made for these partitions.
    #[must_use]
    pub fn is_committed<'a>(&self, partitions: impl IntoIterator<Item = &'a Partition>) -> bool {
        partitions
            .into_iter()
            .filter_map(|partition| self.owned.get(partition))
            .all(|track| {
                let Some(marks) = &track.marks else { return true };
                marks.acknowledged >= track.open.first().copied().unwrap_or(marks.next)
            })
    }

    fn marks(&mut self, due: &Due) -> Option<&mut Marks> {
        self.owned.get_mut(&due.partition)?.marks.as_mut()
    }

    /// How many offsets are open, over all partitions.
    #[must_use]
    pub fn open(&self) -> usize {
        self.owned.values().map(|track| track.open.len()).sum()
    }

    /// The partitions owned.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.owned.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, OutcomeKind};

    fn partition() -> Partition {
        Partition {
            topic: "stt.jobs".into(),
            id: 0,
        }
    }

    fn publish(ticket: Ticket) -> Published {
        Outcome::new(ticket, vec![], OutcomeKind::Completed { result: vec![] }).acknowledged()
    }

    fn next_offsets(ledger: &mut Ledger) -> Vec<i64> {
        ledger.due().iter().map(|due| due.next_offset).collect()
    }

    #[test]
    fn a_ticket_of_a_lost_partition_changes_nothing_after_it_comes_back() {
        let mut ledger = Ledger::default();
        ledger.assign(partition());
        let old = ledger.admit(&partition(), 7).unwrap();
        ledger.revoke(&partition());
        assert!(ledger.admit(&partition(), 8).is_none());
        ledger.assign(partition());
        let new = ledger.admit(&partition(), 7).unwrap();
        assert_eq!(ledger.settle(publish(old)), Settled::Stale);
        assert_eq!(next_offsets(&mut ledger), [0_i64; 0]);
        assert_eq!(ledger.settle(publish(new)), Settled::Closed);
        assert_eq!(next_offsets(&mut ledger), [8]);
    }

    #[test]
    fn a_refused_commit_is_due_again_and_gaps_between_offsets_are_normal() {
        let mut ledger = Ledger::default();
        ledger.assign(partition());
        let (first, second) = (
            ledger.admit(&partition(), 3).unwrap(),
            ledger.admit(&partition(), 9).unwrap(),
        );
        assert!(ledger.admit(&partition(), 9).is_none(), "delivered twice");
        ledger.settle(publish(second));
        assert_eq!(next_offsets(&mut ledger), [0_i64; 0], "3 is still open");
        ledger.settle(publish(first));
        let due = ledger.due().pop().unwrap();
        assert_eq!(due.next_offset, 10);
        assert_eq!(next_offsets(&mut ledger), [0_i64; 0], "asked for already");
        ledger.refused(&due);
        assert_eq!(next_offsets(&mut ledger), [10]);
        ledger.committed(&due);
        assert!(ledger.is_committed([&partition()]) && ledger.open() == 0);
    }

    /// A few jobs and everything that can happen to them, in every order.
    struct Walk {
        ledger: Ledger,
        tickets: Vec<Ticket>,
        /// Offsets admitted and not settled in this epoch, kept apart from the ledger.
        open: BTreeSet<i64>,
        next: i64,
        due: Vec<Due>,
        highest_due: i64,
    }

    impl Walk {
        fn replay(history: &[u8]) -> Self {
            let mut ledger = Ledger::default();
            ledger.assign(partition());
            let open = BTreeSet::new();
            let mut walk = Self {
                ledger,
                tickets: vec![],
                open,
                next: 0,
                due: vec![],
                highest_due: 0,
            };
            history.iter().for_each(|event| walk.take(*event));
            walk
        }

        fn take(&mut self, event: u8) {
            match event {
                0 => {
                    let ticket = self.ledger.admit(&partition(), self.next).expect("owned and new");
                    self.open.insert(self.next);
                    self.tickets.push(ticket);
                    self.next += 2;
                }
                1 | 2 if !self.tickets.is_empty() => {
                    let ticket = if event == 1 {
                        self.tickets.remove(0)
                    } else {
                        self.tickets.pop().unwrap()
                    };
                    let fresh = ticket.epoch == self.ledger.epoch;
                    let offset = ticket.offset;
                    let settled = self.ledger.settle(publish(ticket));
                    assert_eq!(settled == Settled::Closed, fresh, "fencing");
                    if fresh {
                        self.open.remove(&offset);
                    }
                }
                3 => {
                    let due = self.ledger.due();
                    for due in &due {
                        assert!(self.open.first().is_none_or(|open| due.next_offset <= *open), "no loss");
                        assert!(due.next_offset >= self.highest_due, "no rewind");
                        self.highest_due = due.next_offset;
                    }
                    self.due.extend(due);
                }
                4 => self.due.drain(..).for_each(|due| self.ledger.refused(&due)),
                5 => self.due.drain(..).for_each(|due| self.ledger.committed(&due)),
                6 => {
                    // Taken away and given back: reading begins at the lowest offset that was not passed.
                    self.ledger.revoke(&partition());
                    self.ledger.assign(partition());
                    self.next = self.open.first().copied().unwrap_or(self.next).max(self.highest_due);
                    self.open.clear();
                    self.due.clear();
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_history_of_six_events_keeps_the_invariants() {
        let mut committed = 0;
        for code in 0..7_u32.pow(6) {
            let history: Vec<u8> = (0..6).map(|place| (code / 7_u32.pow(place) % 7) as u8).collect();
            let mut walk = Walk::replay(&history);
            if walk.open.is_empty() {
                (3..=3).chain([5]).for_each(|event| walk.take(event));
                assert!(walk.ledger.is_committed([&partition()]), "progress: {history:?}");
                committed += usize::from(walk.highest_due > 0);
            }
        }
        assert!(committed > 1_000, "the walk committed only {committed} times");
    }
}
