//! One partition, since it was assigned.

use std::collections::BTreeMap;

use super::note::Note;
use super::ranges::Ranges;
use super::{Admitted, Committed};
use crate::record::{Partition, Ticket};

/// What is known of a partition since it was assigned.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) epoch: u64,
    open: BTreeMap<i64, Open>,
    /// Done, above what may be committed.
    done: Ranges,
    /// From the note of the last owner, and not delivered yet: begun and not ended, and how often.
    suspects: BTreeMap<i64, u32>,
    /// One past the highest offset delivered.
    next: Option<i64>,
    /// What the broker has.
    acknowledged: Option<Committed>,
    /// What the broker was asked to keep and did not answer to, with the offsets that are marked in it as begun.
    asked: Option<(Committed, Vec<i64>)>,
    /// To be given up: what is begun here is not going to end here, and that is no crash.
    retired: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// How often it was begun by processes that never ended it.
    crashes: u32,
    begun: bool,
    /// The broker knows that it was begun.
    marked: bool,
}

impl Track {
    pub(super) fn new(epoch: u64, committed: Option<Committed>, ours: &BTreeMap<i64, u32>) -> Self {
        let note = committed.as_ref().map_or_else(Note::default, |committed| {
            Note::read(&committed.note, committed.next_offset)
        });
        let mut suspects = note.begun;
        // What this process had begun when it lost the partition has not crashed it.
        for (offset, count) in ours {
            if suspects.get(offset) == Some(count) {
                suspects.insert(*offset, count - 1);
            }
        }
        suspects.retain(|_, count| *count > 0);
        Self {
            epoch,
            open: BTreeMap::new(),
            done: note.done,
            suspects,
            next: None,
            acknowledged: committed,
            asked: None,
            retired: false,
        }
    }

    pub(super) fn admit(&mut self, partition: &Partition, offset: i64) -> Admitted {
        if self.next.is_some_and(|next| offset < next) {
            return Admitted::Ignored;
        }
        if self.next.is_none() {
            self.begin_reading_at(offset);
        }
        self.next = Some(offset + 1);
        if self.done.contains(offset) {
            return Admitted::Done;
        }
        self.suspects = self.suspects.split_off(&offset);
        let crashes = self.suspects.remove(&offset).unwrap_or(0);
        self.open.insert(
            offset,
            Open {
                crashes,
                ..Open::default()
            },
        );
        let ticket = Ticket {
            partition: partition.clone(),
            offset,
            epoch: self.epoch,
        };
        Admitted::Open { ticket, crashes }
    }

    fn begin_reading_at(&mut self, offset: i64) {
        // A log that begins below what was committed is a new one, or was cut: what is known is about other records.
        let about_others = self
            .acknowledged
            .as_ref()
            .is_some_and(|known| offset < known.next_offset);
        if about_others {
            (self.done, self.suspects) = (Ranges::default(), BTreeMap::new());
        }
        if about_others || self.acknowledged.is_none() {
            self.acknowledged = Some(Committed {
                next_offset: offset,
                note: String::new(),
            });
        }
    }

    pub(super) fn begin(&mut self, offset: i64) {
        if let Some(open) = self.open.get_mut(&offset) {
            open.begun = true;
        }
    }

    pub(super) fn is_marked(&self, offset: i64) -> bool {
        self.open.get(&offset).is_some_and(|open| open.marked)
    }

    pub(super) fn settle(&mut self, offset: i64) -> bool {
        let closed = self.open.remove(&offset).is_some();
        if closed {
            self.done.insert(offset);
            let reached = self.reached(&[]);
            self.done.forget_below(reached);
        }
        closed
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    /// What was begun here, as the broker may know it.
    pub(super) fn begun(&self) -> BTreeMap<i64, u32> {
        let begun = self.open.iter().filter(|(_, open)| open.begun && !self.retired);
        begun.map(|(offset, open)| (*offset, open.crashes + 1)).collect()
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// What is to be committed when `closing` are done, too; `None` when the broker has it (and so knows what was begun),
    /// or did not answer to the last commit yet.
    pub(super) fn due(&mut self, closing: &[i64]) -> Option<Committed> {
        if self.asked.is_some() {
            return None;
        }
        let position = self.position(closing)?;
        let begun = self.open.iter().filter(|(_, open)| open.begun);
        let marked: Vec<i64> = begun.map(|(offset, _)| *offset).collect();
        if self.acknowledged.as_ref() == Some(&position) {
            self.mark(&marked); // it was begun before, in an earlier epoch of ours
            return None;
        }
        self.asked = Some((position.clone(), marked));
        Some(position)
    }

    /// The broker's answer to a commit. One that was asked for in an earlier epoch changes nothing.
    pub(super) fn answered(&mut self, committed: &Committed, taken: bool) {
        let Some((position, marked)) = self.asked.take_if(|(asked, _)| asked == committed) else {
            return;
        };
        if taken {
            self.acknowledged = Some(position);
            self.mark(&marked);
        }
    }

    fn mark(&mut self, offsets: &[i64]) {
        for offset in offsets {
            if let Some(open) = self.open.get_mut(offset) {
                open.marked = true;
            }
        }
    }

    pub(super) fn is_committed(&self) -> bool {
        self.asked.is_none()
            && self
                .position(&[])
                .is_none_or(|position| self.acknowledged == Some(position))
    }

    /// The lowest open offset, or where delivery goes on.
    fn reached(&self, closing: &[i64]) -> i64 {
        let open = self.open.keys().find(|offset| !closing.contains(offset));
        open.copied().or(self.next).unwrap_or_default()
    }

    fn position(&self, closing: &[i64]) -> Option<Committed> {
        let delivered = self.next?;
        let next_offset = self.reached(closing);
        let mut done = self.done.clone();
        closing.iter().for_each(|offset| done.insert(*offset));
        done.forget_below(next_offset);
        let mut begun = self.suspects.clone();
        for (offset, open) in &self.open {
            let count = open.crashes + u32::from(open.begun && !self.retired);
            if count > 0 && !closing.contains(offset) {
                begun.insert(*offset, count);
            }
        }
        let note = Note {
            done: self.bridged(&done, closing, delivered),
            begun,
        };
        Some(Committed {
            next_offset,
            note: note.write(next_offset),
        })
    }

    /// Ranges with nothing open between them are one: what lies there was never delivered, and never will be (marks of
    /// transactions, records that were compacted away). Where delivery has not come yet, it may be.
    fn bridged(&self, done: &Ranges, closing: &[i64], delivered: i64) -> Ranges {
        let mut bridged = Ranges::default();
        let mut before: Option<i64> = None;
        for (first, last) in done.iter() {
            let nothing_open = |from: i64| {
                let mut between = self.open.range(from..first).map(|(offset, _)| offset);
                first <= delivered && between.all(|offset| closing.contains(offset))
            };
            match before.filter(|before| nothing_open(before + 1)) {
                Some(before) => bridged.insert_range(before, last),
                None => bridged.insert_range(first, last),
            }
            before = Some(last);
        }
        bridged
    }
}
