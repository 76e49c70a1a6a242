//! The offsets of one partition since it was assigned.

use std::collections::{BTreeMap, BTreeSet};

use super::commit_metadata::CommitMetadata;
use super::ranges::Ranges;
use crate::{CommittedOffset, JobId};

/// Which offsets of a partition are open, and how far it may be committed.
///
/// Jobs end out of order, and a committed offset is one number: it goes up to the lowest open offset. What is done above it,
/// and what was started, goes into the commit's metadata, which the next owner reads. So a crash repeats only the jobs that
/// were really running, and a job that ends the process again and again is recognised.
///
/// Invariants, walked exhaustively in the tests:
/// * **No loss**: a commit never passes an open offset, and its metadata names none as done.
/// * **No rewind**: what may be committed only grows.
/// * **Progress**: when nothing is open, everything admitted may be committed.
/// * **Nothing twice**: what committed metadata names as done is not opened again after a crash.
/// * **Nothing forgotten**: what the broker knows as started is a crash suspect after a crash, until it is done.
/// * **Marking**: a started job counts as marked once the broker has answered, or knew it already.
#[derive(Debug)]
pub(crate) struct PartitionOffsets {
    open: BTreeMap<i64, OpenOffset>,
    /// Done, above what may be committed.
    done: Ranges,
    /// From the last owner's metadata and not delivered yet: started and not done, and how many processes ended so.
    suspects: BTreeMap<i64, u32>,
    /// One past the highest offset delivered.
    next: Option<i64>,
    /// What the broker has.
    acknowledged: Option<CommittedOffset>,
    /// Whether a commit failed since: a broker may have stored it all the same, with its answer lost.
    uncertain: bool,
    /// A commit without an answer yet, with the offsets that are marked in it as started.
    in_flight: Option<(CommittedOffset, Vec<i64>)>,
    /// Offsets that the acknowledged commit names as started by this process.
    marked: BTreeSet<i64>,
    /// The partition will be given up: what is started here will not end here, and that is no crash.
    unmarked: bool,
}

/// Most start markers in the metadata of one partition; with offsets of seven digits they take 1,650 of its bytes.
const MARKERS_MAX: usize = 150;

#[derive(Clone, Copy, Debug)]
struct OpenOffset {
    job: JobId,
    /// How many processes ended after they had started it.
    crashes: u32,
    started: bool,
    /// The broker knows that it was started.
    marked: bool,
}

/// What a delivered record is to its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is to be processed.
    Open {
        /// How many processes ended after they had started it.
        crashes: u32,
    },
    /// An earlier owner was done with it.
    DoneBefore,
    /// It was delivered before.
    Redelivered,
}

impl PartitionOffsets {
    /// `own_starts`: what this process itself had started when it lost the partition earlier; those are no crashes.
    pub(crate) fn new(committed: Option<CommittedOffset>, own_starts: &BTreeMap<i64, u32>) -> Self {
        let metadata = committed.as_ref().map_or_else(CommitMetadata::default, |committed| {
            CommitMetadata::parse(&committed.metadata, committed.next_offset)
        });
        let mut suspects = metadata.started;
        for (offset, count) in own_starts {
            if suspects.get(offset) == Some(count) {
                suspects.insert(*offset, count - 1);
            }
        }
        suspects.retain(|_, count| *count > 0);
        Self {
            open: BTreeMap::new(),
            done: metadata.done,
            suspects,
            next: None,
            acknowledged: committed,
            uncertain: false,
            in_flight: None,
            marked: BTreeSet::new(),
            unmarked: false,
        }
    }

    pub(crate) fn admit(&mut self, offset: i64, job: JobId) -> Admission {
        if self.next.is_some_and(|next| offset < next) {
            return Admission::Redelivered;
        }
        if self.next.is_none() {
            self.begin_reading_at(offset);
        }
        self.next = Some(offset + 1);
        if self.done.contains(offset) {
            return Admission::DoneBefore;
        }
        self.suspects = self.suspects.split_off(&offset);
        let crashes = self.suspects.remove(&offset).unwrap_or(0);
        let open = OpenOffset {
            job,
            crashes,
            started: false,
            marked: false,
        };
        self.open.insert(offset, open);
        Admission::Open { crashes }
    }

    fn begin_reading_at(&mut self, offset: i64) {
        // A log that begins below what was committed is a new one, or lost its end: what is known is about other records.
        let of_another_log = self
            .acknowledged
            .as_ref()
            .is_some_and(|known| offset < known.next_offset);
        if of_another_log {
            (self.done, self.suspects) = (Ranges::default(), BTreeMap::new());
        }
        if self.acknowledged.is_none() {
            let metadata = String::new();
            self.acknowledged = Some(CommittedOffset {
                next_offset: offset,
                metadata,
            });
        }
    }

    /// Marks a job as started, in the next commit. Should the process end before it is done, the next owner will know.
    pub(crate) fn start(&mut self, offset: i64) {
        if let Some(open) = self.open.get_mut(&offset) {
            open.started = true;
        }
    }

    /// Whether commit metadata can take the start marker of an offset beside those that it has. A crash suspect is named in
    /// it anyway.
    pub(crate) fn has_room_for_marker(&self, offset: i64) -> bool {
        let is_named = |open: &OpenOffset| open.started || open.crashes > 0;
        let named = self.open.values().filter(|open| is_named(open)).count();
        self.open.get(&offset).is_some_and(is_named) || named + self.suspects.len() < MARKERS_MAX
    }

    /// Takes a start marker back: the job waits again.
    pub(crate) fn unstart(&mut self, offset: i64) {
        if let Some(open) = self.open.get_mut(&offset) {
            (open.started, open.marked) = (false, false);
        }
    }

    /// Whether the broker certainly knows of no start by this process.
    pub(crate) fn is_unmarked(&self, offset: i64) -> bool {
        let in_flight = self.in_flight.as_ref();
        !self.marked.contains(&offset) && !in_flight.is_some_and(|(_, marked)| marked.contains(&offset))
    }

    /// Whether the broker knows that the job was started.
    pub(crate) fn is_marked(&self, offset: i64) -> bool {
        self.open.get(&offset).is_some_and(|open| open.marked)
    }

    /// Closes an offset. False when it was not open.
    pub(crate) fn close(&mut self, offset: i64) -> bool {
        let closed = self.open.remove(&offset).is_some();
        if closed {
            self.done.insert(offset);
            let reached = self.reached(&[]);
            self.done.remove_below(reached);
        }
        closed
    }

    /// The log is another one: what is known of offsets is about other records. The broker still has the old commit, so the
    /// first position in the new log is committed at once, lest a crash before the first finished job skips its beginning.
    pub(crate) fn restart_log(&mut self) {
        let known = self.in_flight.take().map(|(sent, _)| sent).or(self.acknowledged.take());
        *self = Self::new(None, &BTreeMap::new());
        self.acknowledged = known;
        self.uncertain = true;
        self.next = Some(0); // before the first record comes, if one ever does; a broker takes it for the log's beginning
    }

    /// Leaves start markers out of the commits from now on.
    pub(crate) fn unmark_all(&mut self) {
        self.unmarked = true;
    }

    /// What was started here and not done, as the broker may know it.
    pub(crate) fn started(&self) -> BTreeMap<i64, u32> {
        let started = self
            .open
            .iter()
            .filter(|(offset, open)| (open.started && !self.unmarked) || !self.is_unmarked(**offset));
        started.map(|(offset, open)| (*offset, open.crashes + 1)).collect()
    }

    /// Open offsets with their jobs, in order.
    pub(crate) fn open(&self) -> impl Iterator<Item = (i64, JobId)> {
        self.open.iter().map(|(offset, open)| (*offset, open.job))
    }

    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn suspect_count(&self) -> usize {
        self.suspects.len() + self.open.values().filter(|open| open.crashes > 0).count()
    }

    pub(crate) fn next_offset(&self) -> Option<i64> {
        self.next
    }

    pub(crate) fn committed_offset(&self) -> Option<i64> {
        self.acknowledged.as_ref().map(|committed| committed.next_offset)
    }

    pub(crate) fn is_commit_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// What is to be committed when `closing` are done, too; `None` when the broker has it (and so knows what was started),
    /// or did not answer to the last commit yet. There is one commit in flight at a time.
    pub(crate) fn take_commit(&mut self, closing: &[i64]) -> Option<CommittedOffset> {
        if self.in_flight.is_some() {
            return None;
        }
        let position = self.position(closing)?;
        let is_named = |offset: &i64, open: &OpenOffset| open.started && !self.unmarked && !closing.contains(offset);
        let started = self.open.iter().filter(|(offset, open)| is_named(offset, open));
        let marked: Vec<i64> = started.map(|(offset, _)| *offset).collect();
        if self.acknowledged.as_ref() == Some(&position) && !self.uncertain {
            self.mark(&marked); // they were started before, while this process owned the partition earlier
            return None;
        }
        self.in_flight = Some((position.clone(), marked));
        Some(position)
    }

    /// The broker's answer to a commit. One of an earlier assignment changes nothing, and gives false.
    pub(crate) fn commit_answered(&mut self, committed: &CommittedOffset, accepted: bool) -> bool {
        let Some((position, marked)) = self.in_flight.take_if(|(sent, _)| sent == committed) else {
            return false;
        };
        self.uncertain = !accepted;
        if accepted {
            self.acknowledged = Some(position);
            self.mark(&marked);
        }
        true
    }

    fn mark(&mut self, offsets: &[i64]) {
        self.marked = offsets.iter().copied().collect();
        for offset in offsets {
            if let Some(open) = self.open.get_mut(offset) {
                open.marked = open.started;
            }
        }
    }

    /// Whether the broker has everything that may be committed.
    pub(crate) fn is_committed(&self) -> bool {
        self.in_flight.is_none()
            && !self.uncertain
            && self
                .position(&[])
                .is_none_or(|position| self.acknowledged == Some(position))
    }

    /// How full the commit metadata is, from 0 to 1; above 1 something is left out of it.
    pub(crate) fn metadata_fill(&self) -> f64 {
        // Cheap bound first: the exact size is needed only where many offsets are open at once.
        if self.open.len() + self.suspects.len() < 64 {
            return 0.0;
        }
        self.metadata(&[]).map_or(0.0, |(base, metadata)| metadata.fill(base))
    }

    /// The lowest open offset, or where delivery continues.
    fn reached(&self, closing: &[i64]) -> i64 {
        let open = self.open.keys().find(|offset| !closing.contains(offset));
        open.copied().or(self.next).unwrap_or_default()
    }

    fn position(&self, closing: &[i64]) -> Option<CommittedOffset> {
        let (next_offset, metadata) = self.metadata(closing)?;
        let metadata = metadata.to_text(next_offset);
        Some(CommittedOffset { next_offset, metadata })
    }

    fn metadata(&self, closing: &[i64]) -> Option<(i64, CommitMetadata)> {
        let delivered = self.next?;
        let next_offset = self.reached(closing);
        let mut done = self.done.clone();
        closing.iter().for_each(|offset| done.insert(*offset));
        done.remove_below(next_offset);
        let mut started = self.suspects.clone();
        for (offset, open) in &self.open {
            let count = open.crashes + u32::from(open.started && !self.unmarked);
            if count > 0 && !closing.contains(offset) {
                started.insert(*offset, count);
            }
        }
        let done = self.bridged(&done, closing, delivered);
        Some((next_offset, CommitMetadata { done, started }))
    }

    /// Joins ranges with nothing open between them: what lies there was never delivered and never will be (transaction
    /// markers, records removed by compaction). Not so where delivery has not come yet.
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

#[cfg(test)]
mod tests;
