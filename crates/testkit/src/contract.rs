//! What every [`Source`], [`Publish`] and [`Transact`] owes, whatever stands behind it: the same stories for the broker in
//! memory and for Kafka. A test calls each with a broker of its own.

use std::time::{Duration, Instant};

use stt_core::{
    Cancel, Committed, Delivery, Due, Fault, Header, Ledger, Outcome, OutcomeKind, Partition, Publish, Source,
    SourceEvent, Ticket, Transact, Transacted, Transaction,
};

use crate::Role;

/// A broker with the topics of a worker, jobs with one partition.
pub trait Bench {
    /// Writes a job record.
    fn produce(&self, payload: &[u8]);

    /// A new member of the group.
    fn join(&self) -> Box<dyn Source>;

    /// A publisher.
    fn publish(&self) -> Box<dyn Publish>;

    /// Values of what is in a topic, in order, as readers of committed records see it.
    fn values(&self, role: Role) -> Vec<Vec<u8>>;

    /// What is committed. Asked when no member is left.
    fn committed(&self) -> Option<Committed>;
}

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How long something must not come.
const QUIET: Duration = Duration::from_millis(700);

/// A member and what it was told.
struct Member {
    source: Box<dyn Source>,
    partitions: Vec<(Partition, Option<Committed>)>,
    delivered: Vec<Delivery>,
    answers: Vec<(Vec<Due>, Option<String>)>,
}

impl Member {
    fn join(bench: &dyn Bench) -> Self {
        let mut member = Self {
            source: bench.join(),
            partitions: vec![],
            delivered: vec![],
            answers: vec![],
        };
        member.until("an assignment", |member| !member.partitions.is_empty());
        member
    }

    fn poll(&mut self) {
        match self.source.poll(POLL).expect("the source lives") {
            SourceEvent::Assigned(assignments) => {
                let pairs = assignments
                    .into_iter()
                    .map(|assignment| (assignment.partition, assignment.committed));
                self.partitions.extend(pairs);
            }
            SourceEvent::Delivered(delivery) => self.delivered.push(delivery),
            SourceEvent::Committed { due, error } => self.answers.push((due, error)),
            SourceEvent::Idle | SourceEvent::Revoked { .. } | SourceEvent::Trouble(_) => {}
        }
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "no {what}; delivered: {:?}", self.delivered);
            self.poll();
        }
    }

    fn quiet(&mut self) {
        let began = Instant::now();
        while began.elapsed() < QUIET {
            self.poll();
        }
    }

    fn delivered(&mut self, count: usize) -> Vec<(i64, Vec<u8>)> {
        self.until("delivery", |member| member.delivered.len() >= count);
        let pair = |delivery: &Delivery| (delivery.offset, delivery.payload.clone().unwrap_or_default());
        self.delivered.iter().map(pair).collect()
    }

    fn commit(&mut self, partition: &Partition, next_offset: i64, note: &str) -> Due {
        let note = note.to_owned();
        let due = Due {
            partition: partition.clone(),
            committed: Committed { next_offset, note },
        };
        self.source.commit(std::slice::from_ref(&due));
        due
    }

    fn partition(&self) -> Partition {
        self.partitions[0].0.clone()
    }
}

fn numbered(count: usize) -> Vec<(i64, Vec<u8>)> {
    (0..count)
        .map(|number| (number as i64, number.to_string().into_bytes()))
        .collect()
}

fn produce(bench: &dyn Bench, count: usize) {
    numbered(count).iter().for_each(|(_, payload)| bench.produce(payload));
}

/// Records come in order from the beginning, after their partition was assigned; a pause withholds them and loses none.
pub fn delivers_in_order_and_a_pause_loses_nothing(bench: &dyn Bench) {
    produce(bench, 2);
    let mut member = Member::join(bench);
    assert_eq!(
        (member.partitions.len(), &member.partitions[0].1),
        (1, &None),
        "nothing is committed yet"
    );
    assert_eq!(member.delivered(2), numbered(2));
    let partition = member.partition();
    member.source.pause(std::slice::from_ref(&partition));
    (2..5).for_each(|number| bench.produce(number.to_string().as_bytes()));
    member.quiet();
    assert_eq!(member.delivered.len(), 2, "delivered while paused");
    member.source.resume(&[partition]);
    assert_eq!(member.delivered(5), numbered(5));
    member.quiet();
    assert_eq!(member.delivered.len(), 5, "delivered twice");
}

/// A commit is answered; the next member is told all of it, and goes on there.
pub fn goes_on_where_the_last_member_committed_and_tells_its_note(bench: &dyn Bench) {
    produce(bench, 4);
    let mut first = Member::join(bench);
    first.delivered(4);
    let partition = first.partition();
    let due = first.commit(&partition, 2, "s1;1;0x1");
    first.until("answer", |member| !member.answers.is_empty());
    assert_eq!(first.answers, [(vec![due.clone()], None)]);
    first.source.close(CLOSE_WAIT);
    drop(first);
    let mut second = Member::join(bench);
    assert_eq!(second.partitions[0].1, Some(due.committed));
    assert_eq!(second.delivered(2), numbered(4)[2..]);
}

/// What is not owned is not committed: its owner would be rewound.
pub fn commits_for_nobody_elses_partition(bench: &dyn Bench) {
    produce(bench, 2);
    let mut member = Member::join(bench);
    member.delivered(2);
    let mut foreign = member.partition();
    foreign.id = 7;
    member.commit(&foreign, 1, "");
    member.quiet();
    assert_eq!(member.answers, []);
    let own = member.partition();
    member.commit(&own, 1, "");
    member.until("answer", |member| !member.answers.is_empty());
    member.source.close(CLOSE_WAIT);
    assert_eq!(bench.committed().map(|committed| committed.next_offset), Some(1));
}

/// A ticket as the ledger gives it.
fn ticket(ledger: &mut Ledger, partition: &Partition, offset: i64) -> Ticket {
    ledger.admit(partition, offset).ticket().expect("owned and new")
}

fn outcomes(ledger: &mut Ledger, partition: &Partition) -> [Outcome; 3] {
    let header = Header {
        key: "attempt".to_owned(),
        value: Some(b"2".to_vec()),
    };
    let kinds = [
        OutcomeKind::Completed {
            result: b"completed".to_vec(),
        },
        OutcomeKind::Failed {
            result: b"failed".to_vec(),
            dead_letter: b"dead letter".to_vec(),
            headers: vec![header.clone()],
        },
        OutcomeKind::Retry {
            payload: b"again".to_vec(),
            headers: vec![header],
        },
    ];
    let mut offset = -1;
    kinds.map(|kind| {
        offset += 1;
        Outcome::new(ticket(ledger, partition, offset), b"key".to_vec(), kind)
    })
}

fn assert_outcomes_are_there(bench: &dyn Bench, jobs: &[&[u8]]) {
    assert_eq!(bench.values(Role::Results), [b"completed".to_vec(), b"failed".to_vec()]);
    assert_eq!(bench.values(Role::DeadLetters), [b"dead letter".to_vec()]);
    assert_eq!(bench.values(Role::Jobs), jobs);
}

fn jobs_0() -> (Ledger, Partition) {
    let partition = Partition {
        topic: "stt.jobs".into(),
        id: 0,
    };
    let mut ledger = Ledger::default();
    ledger.assign(partition.clone().into());
    (ledger, partition)
}

/// Every record of an outcome is where it belongs when its proof is given; a retry is delivered with its headers.
pub fn publishes_each_kind_of_outcome_to_its_topics(bench: &dyn Bench) {
    let (mut ledger, partition) = jobs_0();
    let publish = bench.publish();
    for (offset, outcome) in outcomes(&mut ledger, &partition).into_iter().enumerate() {
        let published = publish
            .publish(outcome, &Cancel::default())
            .expect("nothing stands against it");
        assert_eq!(
            (published.offset(), published.receipt().is_final()),
            (offset as i64, offset < 2)
        );
    }
    assert_outcomes_are_there(bench, &[b"again"]);
    let mut member = Member::join(bench);
    member.delivered(1);
    let retry = &member.delivered[0];
    assert_eq!(
        (retry.header("attempt"), retry.key.as_deref()),
        (Some("2"), Some(&b"key"[..]))
    );
}

/// Outcomes and commits of a transaction are there together; one that only commits works as well.
pub fn transacts_outcomes_and_commits_together(
    bench: &dyn Bench,
    member: Box<dyn Source>,
    transact: &mut dyn Transact,
) {
    produce(bench, 3);
    let mut member = Member {
        source: member,
        partitions: vec![],
        delivered: vec![],
        answers: vec![],
    };
    member.until("an assignment", |member| !member.partitions.is_empty());
    member.delivered(3);
    let (mut ledger, partition) = (Ledger::default(), member.partition());
    ledger.assign(partition.clone().into());
    let outcomes = outcomes(&mut ledger, &partition);
    let due = ledger.due_with(&outcomes.iter().map(Outcome::ticket).collect::<Vec<_>>());
    assert_eq!((due.len(), due[0].committed.next_offset), (1, 3));
    let ended = end(
        &mut member,
        transact,
        Transaction {
            outcomes: outcomes.into(),
            due,
        },
    );
    let Transacted::Committed { published, due } = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(published.len(), 3);
    assert_eq!(due[0].committed.note, "");
    assert_outcomes_are_there(bench, &[b"0", b"1", b"2", b"again"]);

    let note = "s1;;0x1".to_owned();
    let committed = Committed { next_offset: 3, note };
    let due = vec![Due { partition, committed }];
    let ended = end(
        &mut member,
        transact,
        Transaction {
            outcomes: vec![],
            due: due.clone(),
        },
    );
    assert!(matches!(ended, Transacted::Committed { .. }), "{ended:?}");
    member.source.close(CLOSE_WAIT);
    assert_eq!(bench.committed().as_ref(), Some(&due[0].committed));
}

/// Waits for the end of a transaction, keeping the membership alive; unless something outside stands against it.
fn end(member: &mut Member, transact: &mut dyn Transact, transaction: Transaction) -> Transacted {
    transact.begin(transaction);
    let began = Instant::now();
    loop {
        member.poll();
        match transact.ended() {
            // A new group may still be finding itself.
            Some(Transacted::Aborted {
                not_published,
                due,
                failure,
            }) if matches!(failure.fault, Fault::Transient { .. }) && began.elapsed() < PATIENCE => {
                let outcomes = not_published.into_iter().map(|refused| refused.outcome).collect();
                transact.begin(Transaction { outcomes, due });
            }
            Some(ended) => return ended,
            None => assert!(began.elapsed() < PATIENCE, "the transaction does not end"),
        }
    }
}
