use std::collections::BTreeSet;

use super::*;

fn fresh() -> PartitionOffsets {
    PartitionOffsets::new(None, &BTreeMap::new())
}

fn owned(committed: CommittedOffset) -> PartitionOffsets {
    PartitionOffsets::new(Some(committed), &BTreeMap::new())
}

fn committed(next_offset: i64, metadata: &str) -> CommittedOffset {
    let metadata = metadata.to_owned();
    CommittedOffset { next_offset, metadata }
}

/// Admits an offset that is open; how many processes ended after they had started it.
fn open(offsets: &mut PartitionOffsets, offset: i64) -> u32 {
    match offsets.admit(offset, JobId(offset.unsigned_abs())) {
        Admission::Open { crashes } => crashes,
        other => panic!("{offset} is {other:?}"),
    }
}

/// Makes the commit that is due; what the broker has then.
fn commit(offsets: &mut PartitionOffsets) -> Option<CommittedOffset> {
    let due = offsets.take_commit(&[])?;
    assert!(offsets.commit_answered(&due, true));
    Some(due)
}

#[test]
fn a_refused_commit_is_due_again_and_gaps_are_normal() {
    let mut offsets = fresh();
    open(&mut offsets, 3);
    open(&mut offsets, 9);
    assert_eq!(offsets.admit(9, JobId(0)), Admission::Redelivered);
    assert!(offsets.close(3) && !offsets.close(3));
    let due = offsets.take_commit(&[]).unwrap();
    assert_eq!(due.next_offset, 9, "there is nothing between 3 and 9");
    offsets.close(9);
    assert_eq!(offsets.take_commit(&[]), None, "one at a time");
    offsets.commit_answered(&due, false);
    assert_eq!(commit(&mut offsets), Some(committed(10, "")));
    assert!(offsets.is_committed());
}

#[test]
fn an_answer_of_an_earlier_assignment_changes_nothing() {
    let mut before = fresh();
    open(&mut before, 7);
    before.close(7);
    let late = before.take_commit(&[]).unwrap();
    let mut offsets = fresh();
    open(&mut offsets, 7);
    assert!(!offsets.commit_answered(&late, true));
    assert_eq!(offsets.committed_offset(), Some(7), "where reading began");
}

#[test]
fn what_is_done_above_an_open_offset_survives_a_crash() {
    let mut offsets = fresh();
    for offset in [0, 1, 2, 4, 5] {
        open(&mut offsets, offset);
    }
    assert_eq!([5, 4, 1].map(|offset| offsets.close(offset)), [true; 3]);
    let known = commit(&mut offsets).unwrap();
    assert_eq!(known, committed(0, "s1;1,4-5;"));

    let mut next = owned(known);
    open(&mut next, 0);
    assert_eq!(next.admit(1, JobId(1)), Admission::DoneBefore);
    open(&mut next, 2);
    next.close(0);
    let known = commit(&mut next);
    assert_eq!(
        known,
        Some(committed(2, "s1;2-3;")),
        "what was not delivered yet is named still"
    );
    next.close(2);
    let again = [4, 5].map(|offset| next.admit(offset, JobId(0)));
    assert_eq!(again, [Admission::DoneBefore; 2]);
    assert_eq!(commit(&mut next).map(|known| known.next_offset), Some(6));
}

#[test]
fn crashes_are_counted_and_leaving_in_order_is_none() {
    let mut offsets = fresh();
    open(&mut offsets, 0);
    open(&mut offsets, 1);
    offsets.start(0);
    assert!(!offsets.is_marked(0), "the broker does not know yet");
    let mut known = commit(&mut offsets).unwrap();
    assert_eq!(known.metadata, "s1;;0x1");
    assert!(offsets.is_marked(0) && !offsets.is_marked(1));
    for found in 1..3 {
        // The process is killed, and the next one starts the same job.
        let mut next = owned(known);
        assert_eq!(open(&mut next, 0), found);
        next.start(0);
        known = commit(&mut next).unwrap();
        assert_eq!(known.metadata, format!("s1;;0x{}", found + 1));
        offsets = next;
    }
    offsets.unmark_all();
    let left = commit(&mut offsets).unwrap();
    assert_eq!(left.metadata, "s1;;0x2", "only the two crashes are remembered");
}

#[test]
fn own_starts_of_an_earlier_assignment_are_no_crashes() {
    let mut offsets = fresh();
    open(&mut offsets, 0);
    offsets.start(0);
    let known = commit(&mut offsets).unwrap();
    let own = offsets.started();
    let mut back = PartitionOffsets::new(Some(known), &own);
    assert_eq!(open(&mut back, 0), 0);

    // Another owner had it in between, and was killed.
    let mut back = PartitionOffsets::new(Some(committed(0, "s1;;0x2")), &own);
    assert_eq!(open(&mut back, 0), 2);
}

#[test]
fn a_marker_taken_back_is_known_until_the_broker_has_that() {
    let mut offsets = fresh();
    open(&mut offsets, 0);
    assert!(offsets.is_unmarked(0));
    offsets.start(0);
    let due = offsets.take_commit(&[]).unwrap();
    assert!(!offsets.is_unmarked(0), "the broker may have it already");
    offsets.commit_answered(&due, true);
    offsets.unstart(0);
    assert!(!offsets.is_unmarked(0) && offsets.started().contains_key(&0));
    commit(&mut offsets);
    assert!(offsets.is_unmarked(0) && offsets.started().is_empty());
}

#[test]
fn a_job_started_again_is_marked_with_nothing_to_commit() {
    let mut offsets = owned(committed(0, "s1;;0x1"));
    open(&mut offsets, 0);
    offsets.start(0);
    let known = commit(&mut offsets).unwrap();
    assert_eq!(known.metadata, "s1;;0x2");

    let mut back = PartitionOffsets::new(Some(known), &offsets.started());
    open(&mut back, 0);
    back.start(0);
    assert_eq!(commit(&mut back), None, "the broker has just this from before");
    assert!(back.is_marked(0));
}

#[test]
fn a_log_that_begins_below_the_commit_is_read_anew() {
    let mut offsets = owned(committed(90, "s1;1-3;0x2"));
    open(&mut offsets, 0);
    offsets.close(0);
    assert_eq!(commit(&mut offsets), Some(committed(1, "")));
    assert_eq!(open(&mut offsets, 90), 0, "the metadata was about another record");
}

#[test]
fn a_new_log_is_committed_before_its_first_record() {
    let mut offsets = fresh();
    open(&mut offsets, 40);
    open(&mut offsets, 41);
    offsets.close(41);
    commit(&mut offsets);
    offsets.restart_log();
    assert_eq!(offsets.open_count(), 0);
    assert_eq!(commit(&mut offsets), Some(committed(0, "")));
    assert_eq!(open(&mut offsets, 0), 0);
}

#[test]
fn a_transaction_commits_what_it_closes() {
    let mut offsets = fresh();
    open(&mut offsets, 0);
    open(&mut offsets, 1);
    let due = offsets.take_commit(&[1]).unwrap();
    assert_eq!(due, committed(0, "s1;1;"));
    offsets.commit_answered(&due, false);
    assert_eq!(
        commit(&mut offsets),
        Some(committed(0, "")),
        "nothing was closed; the broker may have stored it all the same"
    );
    assert_eq!(offsets.take_commit(&[]), None);
    let due = offsets.take_commit(&[0, 1]).unwrap();
    assert_eq!(due, committed(2, ""));
    assert_eq!([0, 1].map(|offset| offsets.close(offset)), [true; 2]);
    offsets.commit_answered(&due, true);
    assert!(offsets.is_committed() && offsets.open_count() == 0);
}

/// A few records and everything that can happen to their partition, in every order.
struct Walk {
    offsets: PartitionOffsets,
    /// Offsets admitted and not closed since the last change of owner, kept apart from what is tested.
    open: BTreeSet<i64>,
    /// Offsets that were closed, ever.
    done: BTreeSet<i64>,
    next: i64,
    in_flight: Option<CommittedOffset>,
    /// What the broker has, with the offsets that were started, and those that were done, when the commit was made.
    broker: Option<CommittedOffset>,
    known: Known,
    asked: Known,
    /// What the owner can know: since it owns the partition, and by the metadata that it found.
    here: Known,
    /// Offsets that must be suspects when they are admitted.
    suspects: BTreeSet<i64>,
}

/// How a partition leaves its owner.
#[derive(Clone, Copy)]
enum Leaves {
    /// The process crashes, and another one begins.
    Crash,
    /// It is given up in good order, and comes back.
    Revoked,
    /// It is taken away unasked, and comes back.
    Lost,
}

#[derive(Clone, Default)]
struct Known {
    started: BTreeSet<i64>,
    done: BTreeSet<i64>,
}

const EVENTS: [fn(&mut Walk); 11] = [
    Walk::admit,
    |walk| walk.close(true),
    |walk| walk.close(false),
    Walk::start,
    Walk::unstart,
    Walk::ask,
    |walk| walk.answer(false),
    |walk| walk.answer(true),
    |walk| walk.change_hands(Leaves::Crash),
    |walk| walk.change_hands(Leaves::Revoked),
    |walk| walk.change_hands(Leaves::Lost),
];

impl Walk {
    fn replay(history: &[usize]) -> Self {
        let mut walk = Self {
            offsets: fresh(),
            open: BTreeSet::new(),
            done: BTreeSet::new(),
            next: 0,
            in_flight: None,
            broker: None,
            known: Known::default(),
            asked: Known::default(),
            here: Known::default(),
            suspects: BTreeSet::new(),
        };
        history.iter().for_each(|event| EVENTS[*event](&mut walk));
        walk
    }

    fn admit(&mut self) {
        let (offset, next) = (self.next, self.next + 2);
        match self.offsets.admit(offset, JobId(offset.unsigned_abs())) {
            Admission::Open { crashes } => {
                assert!(!self.known.done.contains(&offset), "{offset} is done: nothing twice");
                let suspect = self.suspects.contains(&offset);
                assert!(crashes > 0 || !suspect, "{offset} was started: nothing forgotten");
                self.open.insert(offset);
            }
            Admission::DoneBefore => assert!(self.done.contains(&offset), "no loss"),
            Admission::Redelivered => panic!("{offset} is new"),
        }
        self.next = next;
    }

    fn close(&mut self, oldest: bool) {
        let offset = if oldest { self.open.first() } else { self.open.last() };
        if let Some(offset) = offset.copied() {
            assert!(self.offsets.close(offset), "{offset} was open");
            self.open.remove(&offset);
            self.done.insert(offset);
            self.here.done.insert(offset);
        }
    }

    fn start(&mut self) {
        if let Some(offset) = self.open.first() {
            self.offsets.start(*offset);
            self.here.started.insert(*offset);
        }
    }

    fn unstart(&mut self) {
        if let Some(offset) = self.open.first() {
            self.offsets.unstart(*offset);
            if !self.suspects.contains(offset) {
                self.here.started.remove(offset);
            }
        }
    }

    fn ask(&mut self) {
        let Some(due) = self.offsets.take_commit(&[]) else {
            return;
        };
        assert!(self.in_flight.is_none(), "one at a time");
        assert!(self.open.first().is_none_or(|open| due.next_offset <= *open), "no loss");
        let before = self.broker.as_ref().map_or(0, |broker| broker.next_offset);
        assert!(due.next_offset >= before, "no rewind");
        self.asked = self.here.clone();
        self.asked.started.retain(|offset| !self.here.done.contains(offset));
        self.in_flight = Some(due);
    }

    fn answer(&mut self, accepted: bool) {
        let Some(due) = self.in_flight.take() else { return };
        self.offsets.commit_answered(&due, accepted);
        if accepted {
            self.broker = Some(due);
            self.known = self.asked.clone();
        }
    }

    fn change_hands(&mut self, leaves: Leaves) {
        let mut own_starts = BTreeMap::new();
        match leaves {
            Leaves::Crash => self.suspects.clone_from(&self.known.started),
            Leaves::Revoked => {
                self.offsets.unmark_all();
                self.answer(true);
                self.ask();
                self.answer(true);
                self.known.started.clear();
                self.suspects.clear();
            }
            Leaves::Lost => {
                own_starts = self.offsets.started();
                self.suspects.retain(|offset| !own_starts.contains_key(offset));
            }
        }
        self.in_flight = None;
        self.here = Known {
            started: self.suspects.clone(),
            done: self.known.done.clone(),
        };
        self.offsets = PartitionOffsets::new(self.broker.clone(), &own_starts);
        self.next = self.broker.as_ref().map_or(0, |broker| broker.next_offset);
        self.next += self.next % 2; // offsets are even here
        assert!(self.open.first().is_none_or(|open| self.next <= *open), "no loss");
        self.open.clear();
    }

    /// All that is open is started; whether the broker knows of each, once it has answered.
    fn marks(&mut self) -> bool {
        self.open.iter().for_each(|offset| self.offsets.start(*offset));
        self.answer(true);
        self.ask();
        self.answer(true);
        self.open.iter().all(|offset| self.offsets.is_marked(*offset))
    }
}

#[test]
fn every_history_of_six_events_keeps_the_invariants() {
    let (mut committed, mut skipped) = (0, 0);
    for code in 0..EVENTS.len().pow(6) {
        let history: Vec<usize> = (0..6)
            .map(|place| code / EVENTS.len().pow(place) % EVENTS.len())
            .collect();
        let mut walk = Walk::replay(&history);
        if walk.open.is_empty() && walk.in_flight.is_none() {
            walk.ask();
            walk.answer(true);
            assert!(walk.offsets.is_committed(), "progress: {history:?}");
            committed += usize::from(walk.broker.is_some());
        }
        assert!(Walk::replay(&history).marks(), "marking: {history:?}");
        // Whatever happened: after a crash, everything that is not done comes again.
        walk.change_hands(Leaves::Crash);
        let before: BTreeSet<i64> = walk.done.clone();
        (0..3).for_each(|_| walk.admit());
        let is_skipped = |offset: &&i64| **offset >= walk.next - 6 && !walk.open.contains(*offset);
        skipped += before.iter().filter(is_skipped).count();
    }
    assert!(committed > 10_000, "the walk committed only {committed} times");
    assert!(skipped > 500, "only {skipped} times was something done not done again");
}
