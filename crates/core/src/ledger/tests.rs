use std::collections::BTreeSet;

use super::*;
use crate::{Outcome, OutcomeKind};

fn partition() -> Partition {
    Partition {
        topic: "stt.jobs".into(),
        id: 0,
    }
}

fn assigned(committed: Option<Committed>) -> Assignment {
    let partition = partition();
    Assignment { partition, committed }
}

fn fresh() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.assign(assigned(None));
    ledger
}

fn open(ledger: &mut Ledger, offset: i64) -> Ticket {
    match ledger.admit(&partition(), offset) {
        Admitted::Open { ticket, .. } => ticket,
        other => panic!("{offset} is {other:?}"),
    }
}

fn crashes(ledger: &mut Ledger, offset: i64) -> u32 {
    match ledger.admit(&partition(), offset) {
        Admitted::Open { crashes, .. } => crashes,
        other => panic!("{offset} is {other:?}"),
    }
}

fn publish(ticket: Ticket) -> Published {
    Outcome::new(ticket, vec![], OutcomeKind::Completed { result: vec![] }).acknowledged()
}

/// Makes the commits that are due; what the broker has then.
fn commit(ledger: &mut Ledger) -> Option<Committed> {
    let due = ledger.due().pop()?;
    ledger.committed(&due);
    Some(due.committed)
}

fn next_offsets(ledger: &mut Ledger) -> Vec<i64> {
    ledger.due().iter().map(|due| due.committed.next_offset).collect()
}

#[test]
fn a_ticket_of_a_lost_partition_changes_nothing_after_it_comes_back() {
    let mut ledger = fresh();
    let old = open(&mut ledger, 7);
    ledger.revoke(&partition());
    assert_eq!(ledger.admit(&partition(), 8), Admitted::Ignored);
    ledger.assign(assigned(None));
    let new = open(&mut ledger, 7);
    assert!(!ledger.is_current(&old) && ledger.is_current(&new));
    assert_eq!(ledger.settle(publish(old)), Settled::Stale);
    assert_eq!(next_offsets(&mut ledger), [0_i64; 0]);
    assert_eq!(ledger.settle(publish(new)), Settled::Closed);
    assert_eq!(next_offsets(&mut ledger), [8]);
}

#[test]
fn a_refused_commit_is_due_again_and_gaps_between_offsets_are_normal() {
    let mut ledger = fresh();
    let (first, second) = (open(&mut ledger, 3), open(&mut ledger, 9));
    assert_eq!(ledger.admit(&partition(), 9), Admitted::Ignored, "delivered twice");
    ledger.settle(publish(first));
    let due = ledger.due().pop().unwrap();
    assert_eq!(due.committed.next_offset, 9, "there is nothing between 3 and 9");
    ledger.settle(publish(second));
    assert_eq!(next_offsets(&mut ledger), [0_i64; 0], "one at a time");
    ledger.refused(&due);
    assert_eq!(next_offsets(&mut ledger), [10]);
}

#[test]
fn what_is_done_above_an_open_offset_is_not_done_again_after_a_crash() {
    let mut ledger = fresh();
    let mut tickets: Vec<_> = [0, 1, 2, 4, 5].map(|offset| open(&mut ledger, offset)).into();
    ledger.settle(publish(tickets.remove(4)));
    ledger.settle(publish(tickets.remove(3)));
    ledger.settle(publish(tickets.remove(1)));
    let committed = commit(&mut ledger).unwrap();
    assert_eq!((committed.next_offset, committed.note.as_str()), (0, "s1;1,4-5;"));

    let mut next = Ledger::default();
    next.assign(assigned(Some(committed)));
    let first = open(&mut next, 0);
    assert_eq!(next.admit(&partition(), 1), Admitted::Done);
    let third = open(&mut next, 2);
    next.settle(publish(first));
    let committed = commit(&mut next).unwrap();
    assert_eq!(
        (committed.next_offset, committed.note.as_str()),
        (2, "s1;2-3;"),
        "what was not delivered yet is still noted"
    );
    next.settle(publish(third));
    assert_eq!(
        [4, 5].map(|offset| next.admit(&partition(), offset)),
        [Admitted::Done, Admitted::Done]
    );
    assert_eq!(commit(&mut next).map(|committed| committed.next_offset), Some(6));
}

#[test]
fn a_job_that_ends_the_process_is_counted_and_one_that_is_given_up_is_not() {
    let mut ledger = fresh();
    let (poison, mate) = (open(&mut ledger, 0), open(&mut ledger, 1));
    ledger.begin(&poison);
    assert!(!ledger.is_marked(&poison), "the broker does not know yet");
    let mut committed = commit(&mut ledger).unwrap();
    assert_eq!(committed.note, "s1;;0x1");
    assert!(ledger.is_marked(&poison) && !ledger.is_marked(&mate));
    for found in 1..3 {
        // The process dies; the next one begins the same job.
        let mut next = Ledger::default();
        next.assign(assigned(Some(committed)));
        let Admitted::Open { ticket, crashes } = next.admit(&partition(), 0) else {
            panic!()
        };
        assert_eq!(crashes, found);
        next.begin(&ticket);
        committed = commit(&mut next).unwrap();
        assert_eq!(committed.note, format!("s1;;0x{}", found + 1));
        ledger = next;
    }
    ledger.retire(&partition());
    let left = commit(&mut ledger).unwrap();
    assert_eq!(
        left.note, "s1;;0x2",
        "given up in good order: only the two crashes are remembered"
    );
}

#[test]
fn a_partition_that_was_lost_and_comes_back_makes_no_crash_of_what_was_running() {
    let mut ledger = fresh();
    let running = open(&mut ledger, 0);
    ledger.begin(&running);
    let committed = commit(&mut ledger).unwrap();
    ledger.revoke(&partition());
    ledger.assign(assigned(Some(committed.clone())));
    assert_eq!(crashes(&mut ledger, 0), 0);

    // Another owner had it meanwhile, and died of it.
    ledger.revoke(&partition());
    let note = "s1;;0x2".to_owned();
    ledger.assign(assigned(Some(Committed { note, ..committed })));
    assert_eq!(crashes(&mut ledger, 0), 2);
}

#[test]
fn a_job_begun_again_after_its_partition_came_back_is_marked_though_nothing_is_left_to_commit() {
    let note = "s1;;0x1".to_owned();
    let mut ledger = Ledger::default();
    ledger.assign(assigned(Some(Committed { next_offset: 0, note })));
    let suspect = open(&mut ledger, 0);
    ledger.begin(&suspect);
    let committed = commit(&mut ledger).unwrap();
    assert_eq!(committed.note, "s1;;0x2");

    ledger.revoke(&partition());
    ledger.assign(assigned(Some(committed)));
    let suspect = open(&mut ledger, 0);
    ledger.begin(&suspect);
    assert_eq!(commit(&mut ledger), None, "the broker has just this from before");
    assert!(ledger.is_marked(&suspect), "a suspect waits for its mark for ever");
}

#[test]
fn a_log_that_begins_anew_is_read_anew() {
    let mut ledger = Ledger::default();
    let note = "s1;1-3;0x2".to_owned();
    ledger.assign(assigned(Some(Committed { next_offset: 90, note })));
    let first = open(&mut ledger, 0);
    ledger.settle(publish(first));
    let committed = commit(&mut ledger).unwrap();
    assert_eq!((committed.next_offset, committed.note.as_str()), (1, ""));
    assert_eq!(crashes(&mut ledger, 90), 0, "the note was about another record");
}

#[test]
fn a_transaction_commits_what_it_closes_and_a_failed_one_changes_nothing() {
    let mut ledger = fresh();
    let (first, second) = (open(&mut ledger, 0), open(&mut ledger, 1));
    let due = ledger.due_with(&[&second]).pop().unwrap();
    assert_eq!((due.committed.next_offset, due.committed.note.as_str()), (0, "s1;1;"));
    ledger.refused(&due);
    assert_eq!(next_offsets(&mut ledger), [0_i64; 0], "nothing was closed");
    let due = ledger.due_with(&[&first, &second]).pop().unwrap();
    assert_eq!((due.committed.next_offset, due.committed.note.as_str()), (2, ""));
    ledger.settle(publish(first));
    ledger.settle(publish(second));
    ledger.committed(&due);
    assert!(ledger.is_committed([&partition()]) && ledger.open() == 0);
}

/// A few jobs and everything that can happen to them, in every order.
struct Walk {
    ledger: Ledger,
    tickets: Vec<Ticket>,
    /// Offsets admitted and not settled since the last crash, kept apart from the ledger.
    open: BTreeSet<i64>,
    /// Offsets whose outcome was published, ever.
    done: BTreeSet<i64>,
    next: i64,
    due: Vec<Due>,
    /// What the broker has, with the offsets that were begun, and those that were done, when it was asked.
    broker: Option<Committed>,
    known: Known,
    asked: Known,
    /// What the ledger of this process can know: since the last crash, and by the note it found.
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
    begun: BTreeSet<i64>,
    done: BTreeSet<i64>,
}

const EVENTS: [fn(&mut Walk); 10] = [
    Walk::admit,
    |walk| walk.settle(true),
    |walk| walk.settle(false),
    Walk::begin,
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
            ledger: fresh(),
            tickets: vec![],
            open: BTreeSet::new(),
            done: BTreeSet::new(),
            next: 0,
            due: vec![],
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
        match self.ledger.admit(&partition(), offset) {
            Admitted::Open { ticket, crashes } => {
                assert!(!self.known.done.contains(&offset), "{offset} is done: nothing twice");
                let suspect = self.suspects.contains(&offset);
                assert!(crashes > 0 || !suspect, "{offset} was begun: nothing forgotten");
                self.open.insert(offset);
                self.tickets.push(ticket);
            }
            Admitted::Done => assert!(self.done.contains(&offset), "no loss"),
            Admitted::Ignored => panic!("{offset} is owned and new"),
        }
        self.next = next;
    }

    fn settle(&mut self, oldest: bool) {
        if self.tickets.is_empty() {
            return;
        }
        let place = if oldest { 0 } else { self.tickets.len() - 1 };
        let ticket = self.tickets.remove(place);
        let (current, offset) = (self.ledger.is_current(&ticket), ticket.offset);
        let settled = self.ledger.settle(publish(ticket));
        assert_eq!(settled == Settled::Closed, current, "fencing");
        if current {
            self.open.remove(&offset);
            self.done.insert(offset);
            self.here.done.insert(offset);
        }
    }

    fn begin(&mut self) {
        if let Some(ticket) = self.tickets.first() {
            self.ledger.begin(ticket);
            if self.ledger.is_current(ticket) {
                self.here.begun.insert(ticket.offset);
            }
        }
    }

    fn ask(&mut self) {
        let due = self.ledger.due();
        for due in &due {
            let next_offset = due.committed.next_offset;
            assert!(self.open.first().is_none_or(|open| next_offset <= *open), "no loss");
            let before = self.broker.as_ref().map_or(0, |broker| broker.next_offset);
            assert!(next_offset >= before, "no rewind");
        }
        if !due.is_empty() {
            self.asked = self.here.clone();
            self.asked.begun.retain(|offset| !self.here.done.contains(offset));
        }
        self.due.extend(due);
    }

    fn answer(&mut self, taken: bool) {
        for due in self.due.drain(..) {
            if taken {
                self.ledger.committed(&due);
                self.broker = Some(due.committed);
                self.known = self.asked.clone();
            } else {
                self.ledger.refused(&due);
            }
        }
    }

    fn change_hands(&mut self, leaves: Leaves) {
        match leaves {
            Leaves::Crash => {
                self.ledger = Ledger::default();
                self.tickets.clear();
                self.suspects.clone_from(&self.known.begun);
            }
            Leaves::Revoked => {
                self.ledger.retire(&partition());
                self.ask();
                self.answer(true);
                self.known.begun.clear();
                self.ledger.revoke(&partition());
                self.suspects.clear();
            }
            Leaves::Lost => {
                self.ledger.revoke(&partition());
                self.suspects.retain(|offset| !self.here.begun.contains(offset));
            }
        }
        self.here = Known {
            begun: self.suspects.clone(),
            done: self.known.done.clone(),
        };
        self.due.clear();
        self.ledger.assign(assigned(self.broker.clone()));
        self.next = self.broker.as_ref().map_or(0, |broker| broker.next_offset);
        self.next += self.next % 2; // offsets are even here
        assert!(self.open.first().is_none_or(|open| self.next <= *open), "no loss");
        self.open.clear();
    }

    /// All that waits is begun; whether the broker knows of each, once it has answered.
    fn marks(&mut self) -> bool {
        for ticket in &self.tickets {
            self.ledger.begin(ticket);
        }
        self.answer(true);
        self.ask();
        self.answer(true);
        let mut current = self.tickets.iter().filter(|ticket| self.ledger.is_current(ticket));
        current.all(|ticket| self.ledger.is_marked(ticket))
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
        if walk.open.is_empty() && walk.due.is_empty() {
            walk.ask();
            walk.answer(true);
            assert!(walk.ledger.is_committed([&partition()]), "progress: {history:?}");
            committed += usize::from(walk.broker.is_some());
        }
        assert!(Walk::replay(&history).marks(), "marking: {history:?}");
        // Whatever happened: after a crash, everything that is not done comes again.
        walk.change_hands(Leaves::Crash);
        let before: BTreeSet<i64> = walk.done.clone();
        (0..3).for_each(|_| walk.admit());
        skipped += before
            .iter()
            .filter(|offset| **offset >= walk.next - 6 && !walk.open.contains(offset))
            .count();
    }
    assert!(committed > 10_000, "the walk committed only {committed} times");
    assert!(skipped > 500, "only {skipped} times was something done not done again");
}
