//! What every [`Source`] and every [`Sink`] guarantees: the same stories for the broker in memory and for Kafka. A test calls
//! each with a broker of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use stt_core::{
    Batch, BatchId, BatchResult, Commit, CommittedOffset, Delivery, Destination, Fault, Header, JobId, Outcome,
    OutcomeKind, OutcomeRecord, Partition, Sink, Source, SourceEvent,
};

/// A broker under test: its jobs topic has one partition, nothing is in it, and nothing is committed. Retries go to the jobs
/// topic.
pub trait Fixture {
    /// Produces a job record.
    fn produce(&self, payload: &[u8]);

    /// A member of the group.
    fn join(&self) -> Box<dyn Source>;

    /// A sink that is not transactional.
    fn sink(&self) -> Box<dyn Sink>;

    /// Values in a topic, in order; of [`Destination::Retries`] those of all jobs.
    fn values(&self, destination: Destination) -> Vec<Vec<u8>>;

    /// What is committed for the partition. The last member has left.
    fn committed(&self) -> Option<CommittedOffset>;
}

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// How long nothing must happen.
const QUIET: Duration = Duration::from_secs(1);

/// How long leaving the group may take.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// A member and what it has received.
struct Member {
    source: Box<dyn Source>,
    partitions: Vec<(Partition, Option<CommittedOffset>)>,
    delivered: Vec<Delivery>,
    answers: Vec<(Vec<Commit>, Option<String>)>,
}

impl Member {
    fn join(fixture: &dyn Fixture) -> Self {
        Self::of(fixture.join())
    }

    fn of(source: Box<dyn Source>) -> Self {
        let mut member = Self {
            source,
            partitions: vec![],
            delivered: vec![],
            answers: vec![],
        };
        member.until("an assignment", |member| !member.partitions.is_empty());
        member
    }

    fn poll(&mut self) {
        match self.source.poll(POLL).expect("the source goes on") {
            SourceEvent::Assigned(assignments) => {
                let pairs = assignments
                    .into_iter()
                    .map(|assignment| (assignment.partition, assignment.committed));
                self.partitions.extend(pairs);
            }
            SourceEvent::Delivered(delivery) => self.delivered.push(delivery),
            SourceEvent::CommitAnswered { commits, error } => self.answers.push((commits, error)),
            SourceEvent::Idle
            | SourceEvent::Revoked { .. }
            | SourceEvent::LogReset { .. }
            | SourceEvent::BrokerError(_) => {}
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

    fn commit(&mut self, partition: &Partition, next_offset: i64, metadata: &str) -> Commit {
        let commit = commit(partition, next_offset, metadata);
        self.source.commit(std::slice::from_ref(&commit));
        commit
    }

    fn partition(&self) -> Partition {
        self.partitions[0].0.clone()
    }
}

fn commit(partition: &Partition, next_offset: i64, metadata: &str) -> Commit {
    let metadata = metadata.to_owned();
    Commit {
        partition: partition.clone(),
        committed: CommittedOffset { next_offset, metadata },
    }
}

fn numbered(count: usize) -> Vec<(i64, Vec<u8>)> {
    (0..count)
        .map(|number| (number as i64, number.to_string().into_bytes()))
        .collect()
}

fn produce(fixture: &dyn Fixture, count: usize) {
    numbered(count).iter().for_each(|(_, payload)| fixture.produce(payload));
}

/// Records are delivered in order from the beginning, after their partition was assigned; a pause withholds them and loses
/// none.
pub fn delivers_in_order_and_a_pause_loses_nothing(fixture: &dyn Fixture) {
    produce(fixture, 2);
    let mut member = Member::join(fixture);
    assert_eq!(
        (member.partitions.len(), &member.partitions[0].1),
        (1, &None),
        "nothing is committed yet"
    );
    assert_eq!(member.delivered(2), numbered(2));
    let partition = member.partition();
    member.source.pause(std::slice::from_ref(&partition));
    (2..5).for_each(|number| fixture.produce(number.to_string().as_bytes()));
    member.quiet();
    assert_eq!(member.delivered.len(), 2, "delivered while paused");
    member.source.resume(&[partition]);
    assert_eq!(member.delivered(5), numbered(5));
    member.quiet();
    assert_eq!(member.delivered.len(), 5, "delivered twice");
}

/// A commit is answered; the next member gets all of it with its assignment, and reads on there.
pub fn resumes_at_the_committed_offset_with_its_metadata(fixture: &dyn Fixture) {
    produce(fixture, 4);
    let mut first = Member::join(fixture);
    first.delivered(4);
    let partition = first.partition();
    // As much metadata as a commit has at most.
    let metadata = format!("s1;1;0x1{}", "x".repeat(3_492));
    let commit = first.commit(&partition, 2, &metadata);
    first.until("answer", |member| !member.answers.is_empty());
    assert_eq!(first.answers, [(vec![commit.clone()], None)]);
    first.source.close(CLOSE_WAIT);
    drop(first);
    let mut second = Member::join(fixture);
    assert_eq!(second.partitions[0].1, Some(commit.committed));
    assert_eq!(second.delivered(2), numbered(4)[2..]);
}

/// What is not owned is not committed: its owner would be rewound.
pub fn commits_only_for_owned_partitions(fixture: &dyn Fixture) {
    produce(fixture, 2);
    let mut member = Member::join(fixture);
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
    assert_eq!(fixture.committed().map(|committed| committed.next_offset), Some(1));
}

/// A waker ends a poll that waits, and a call before the poll is not lost.
pub fn a_waker_ends_a_poll(fixture: &dyn Fixture) {
    let mut member = Member::join(fixture);
    member.quiet();
    let waker = member.source.waker();
    waker();
    assert!(idle_after(&mut member) < QUIET, "woken before the poll");
    let (started, poll_is_waiting) = mpsc::channel();
    let from_another_thread = thread::spawn(move || {
        let _ = poll_is_waiting.recv();
        let (never, timer) = mpsc::channel::<()>();
        let _ = timer.recv_timeout(POLL);
        drop(never);
        waker();
    });
    started.send(()).expect("the thread waits for it");
    let waited = idle_after(&mut member);
    assert!(waited < QUIET, "woken during the poll, after {waited:?}");
    from_another_thread.join().expect("it does not panic");
}

/// How long a long poll waited.
fn idle_after(member: &mut Member) -> Duration {
    let began = Instant::now();
    match member.source.poll(PATIENCE) {
        Ok(SourceEvent::Idle) => began.elapsed(),
        other => panic!("{other:?}"),
    }
}

/// Outcomes of each kind.
fn outcomes() -> Vec<Outcome> {
    let header = Header {
        key: "attempt".to_owned(),
        value: Some(b"2".to_vec()),
    };
    let record = |destination, payload: &[u8], headers: Vec<Header>| OutcomeRecord {
        destination,
        key: b"key".to_vec(),
        payload: payload.to_vec(),
        headers,
        acknowledged: false,
    };
    let kinds = [
        (
            OutcomeKind::Completed,
            vec![record(Destination::Results, b"completed", vec![])],
        ),
        (
            OutcomeKind::Failed,
            vec![
                record(Destination::Results, b"failed", vec![]),
                record(Destination::DeadLetters, b"dead letter", vec![header.clone()]),
            ],
        ),
        (
            OutcomeKind::Retry,
            vec![record(Destination::Retries, b"again", vec![header])],
        ),
    ];
    let outcome = |(job, (kind, records))| Outcome {
        job: JobId(job),
        kind,
        records,
    };
    (0..).zip(kinds).map(outcome).collect()
}

fn assert_outcomes_are_there(fixture: &dyn Fixture, jobs: &[&[u8]]) {
    let mut results = fixture.values(Destination::Results);
    results.sort_unstable(); // a broker may have taken them in any order
    assert_eq!(results, [b"completed".to_vec(), b"failed".to_vec()]);
    assert_eq!(fixture.values(Destination::DeadLetters), [b"dead letter".to_vec()]);
    assert_eq!(fixture.values(Destination::Retries), jobs);
}

/// Every record of an outcome is in its topic when its result is there, and the waker was called; a retry is delivered with
/// its headers.
pub fn publishes_each_kind_of_outcome(fixture: &dyn Fixture) {
    let mut sink = fixture.sink();
    assert!(!sink.is_transactional());
    let (woken, wait) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let flag = woken.clone();
    sink.set_waker(Arc::new(move || flag.store(true, Ordering::SeqCst)));
    let mut sent = outcomes();
    let alone = sent.remove(0);
    for (id, outcomes) in [(1, vec![alone]), (2, sent)] {
        let id = BatchId(id);
        let commits = vec![];
        sink.send(Batch { id, outcomes, commits });
    }
    let mut results: Vec<BatchResult> = vec![];
    while results.len() < 2 {
        assert!(wait.elapsed() < PATIENCE, "not published: {results:?}");
        results.extend(sink.poll());
    }
    results.sort_by_key(|result| result.id);
    for (result, jobs) in results.iter().zip([&[0][..], &[1, 2]]) {
        assert!(result.failure.is_none(), "{result:?}");
        let outcomes = result.outcomes.iter();
        let published: Vec<u64> = outcomes.map(|outcome| outcome.outcome.job.0).collect();
        assert_eq!(published, jobs, "in their order");
        for outcome in &result.outcomes {
            assert!(outcome.result.is_ok(), "{outcome:?}");
            assert!(outcome.outcome.records.iter().all(|record| record.acknowledged));
        }
    }
    assert!(woken.load(Ordering::SeqCst), "the waker was not called");
    sink.close(CLOSE_WAIT);
    assert_outcomes_are_there(fixture, &[b"again"]);
    let mut member = Member::join(fixture);
    member.delivered(1);
    let retry = &member.delivered[0];
    assert_eq!(
        (retry.header("attempt"), retry.key.as_deref()),
        (Some("2"), Some(&b"key"[..]))
    );
}

/// Records that are acknowledged already are not written again.
pub fn leaves_acknowledged_records_out(fixture: &dyn Fixture) {
    let mut sink = fixture.sink();
    let mut failed = outcomes().remove(1);
    failed.records[0].acknowledged = true;
    let (id, outcomes, commits) = (BatchId(1), vec![failed], vec![]);
    sink.send(Batch { id, outcomes, commits });
    let began = Instant::now();
    let result = loop {
        assert!(began.elapsed() < PATIENCE, "not published");
        if let Some(result) = sink.poll() {
            break result;
        }
    };
    assert!(result.outcomes[0].result.is_ok(), "{result:?}");
    assert!(fixture.values(Destination::Results).is_empty());
    assert_eq!(fixture.values(Destination::DeadLetters).len(), 1);
}

/// Outcomes and commits of a transaction become visible together; one that only commits works as well.
pub fn publishes_in_transactions_with_commits(fixture: &dyn Fixture, source: Box<dyn Source>, sink: &mut dyn Sink) {
    produce(fixture, 3);
    assert!(sink.is_transactional());
    let mut member = Member::of(source);
    sink.set_waker(member.source.waker());
    member.delivered(3);
    let partition = member.partition();
    let commits = vec![commit(&partition, 3, "")];
    let result = transact(&mut member, sink, outcomes(), &commits);
    assert_eq!(result.commits, commits);
    for outcome in &result.outcomes {
        assert!(outcome.result.is_ok(), "{outcome:?}");
    }
    let jobs: Vec<u64> = result.outcomes.iter().map(|outcome| outcome.outcome.job.0).collect();
    assert_eq!(jobs, [0, 1, 2], "in their order");
    assert_outcomes_are_there(fixture, &[b"0", b"1", b"2", b"again"]);

    let commits = [commit(&partition, 3, "s1;;0x1")];
    transact(&mut member, sink, vec![], &commits);
    member.source.close(CLOSE_WAIT);
    assert_eq!(fixture.committed().as_ref(), Some(&commits[0].committed));
}

/// Runs a transaction until it is committed, keeping the membership alive.
fn transact(member: &mut Member, sink: &mut dyn Sink, outcomes: Vec<Outcome>, commits: &[Commit]) -> BatchResult {
    let began = Instant::now();
    let (mut id, mut outcomes) = (1, outcomes);
    loop {
        let commits = commits.to_vec();
        sink.send(Batch {
            id: BatchId(id),
            outcomes,
            commits,
        });
        let result = loop {
            assert!(began.elapsed() < PATIENCE, "the transaction does not end");
            member.poll();
            if let Some(result) = sink.poll() {
                break result;
            }
        };
        assert_eq!(result.id, BatchId(id));
        match &result.failure {
            None => return result,
            // A new group may still be rebalancing.
            Some(failure) => assert!(matches!(failure.fault, Fault::Transient { .. }), "{failure}"),
        }
        id += 1;
        outcomes = result.outcomes.into_iter().map(|outcome| outcome.outcome).collect();
    }
}
