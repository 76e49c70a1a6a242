//! A member of a group that tests can talk to, and records to give it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stt_core::{
    Assignment, Batch, BatchId, BatchResult, Commit, CommittedOffset, Delivery, Destination, ErrorCode, Failure, Fault,
    JobId, Outcome, OutcomeKind, OutcomeRecord, Partition, Sink, Source, SourceEvent,
};
use stt_kafka::{
    Connection, EmbeddedBroker, JobProducer, KafkaSink, KafkaSource, ProducerConfig, SinkConfig, SourceConfig, Start,
    Tail, TailConfig, Tailed, committed_offsets,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// An address where nothing listens: port 1 needs a privilege that no test server has.
pub(crate) const NOT_LISTENING: &str = "127.0.0.1:1";

pub(crate) fn connection(broker: &EmbeddedBroker) -> Connection {
    Connection::new(broker.bootstrap_servers())
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A member of the group "workers", by default with the shortest session that brokers allow.
pub(crate) struct Member {
    pub(crate) source: KafkaSource,
    pub(crate) events: Vec<SourceEvent>,
}

impl Member {
    pub(crate) fn join(connection: &Connection) -> Self {
        Self::join_for(connection, seconds(6))
    }

    /// With a session that has room for what the test does within one.
    pub(crate) fn join_for(connection: &Connection, session_timeout: Duration) -> Self {
        Self::join_with(
            connection,
            SourceConfig {
                session_timeout,
                ..source_config()
            },
        )
    }

    pub(crate) fn join_with(connection: &Connection, config: SourceConfig) -> Self {
        Self {
            source: KafkaSource::new(connection, config).unwrap(),
            events: vec![],
        }
    }

    /// One poll; its event is kept.
    pub(crate) fn poll(&mut self) {
        match self.source.poll(POLL).expect("the source goes on") {
            SourceEvent::Idle => {}
            event => self.events.push(event),
        }
    }

    /// Polls until `find` finds something in the events so far.
    pub(crate) fn until<T>(&mut self, what: &str, find: impl Fn(&[SourceEvent]) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = find(&self.events) {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "no {what} in {:?}", self.events);
            self.poll();
        }
    }

    pub(crate) fn assigned(&mut self, count: usize) -> Vec<Partition> {
        self.until("assignment", |events| {
            let all: Vec<Partition> = events.iter().flat_map(assigned).collect();
            (all.len() >= count).then_some(all)
        })
    }

    /// The assignments received, once there are as many.
    pub(crate) fn assignments(&mut self, count: usize) -> Vec<Assignment> {
        self.assigned(count);
        let received = |event: &SourceEvent| match event {
            SourceEvent::Assigned(assignments) => assignments.clone(),
            _ => vec![],
        };
        let mut all: Vec<Assignment> = self.events.iter().flat_map(received).collect();
        all.sort_by(|one, other| one.partition.cmp(&other.partition));
        all
    }

    /// Polls for a while; not one poll takes long.
    pub(crate) fn poll_for(&mut self, wait: Duration) {
        let started = Instant::now();
        while started.elapsed() < wait {
            let polled = Instant::now();
            self.poll();
            assert!(polled.elapsed() < seconds(2), "poll took {:?}", polled.elapsed());
        }
    }

    pub(crate) fn delivered(&mut self, count: usize) -> Vec<Delivery> {
        self.until("delivery", |events| {
            let all: Vec<Delivery> = events.iter().filter_map(delivered).collect();
            (all.len() >= count).then_some(all)
        })
    }

    /// Commits until the broker accepts it. Gives the errors on the way.
    pub(crate) fn commit_until_accepted(&mut self, commit: &Commit) -> Vec<String> {
        let started = Instant::now();
        let mut errors = vec![];
        loop {
            assert!(
                started.elapsed() < PATIENCE,
                "{commit:?} is refused: {:?}",
                errors.last()
            );
            self.source.commit(std::slice::from_ref(commit));
            match self.answer(commit) {
                None => return errors,
                Some(error) => errors.push(error),
            }
        }
    }

    /// Takes the next answer to a commit.
    pub(crate) fn answer(&mut self, commit: &Commit) -> Option<String> {
        let at = self.until("answer to the commit", |events| {
            events.iter().position(
                |event| matches!(event, SourceEvent::CommitAnswered { commits, .. } if commits.contains(commit)),
            )
        });
        match self.events.remove(at) {
            SourceEvent::CommitAnswered { error, .. } => error,
            _ => unreachable!("found as an answer"),
        }
    }
}

/// A second member joins: one of the two partitions moves to it when the first releases it, and a late commit of the first is
/// not even sent. Gives that partition; it is committed up to 4.
pub(crate) fn hand_over(connection: &Connection, old: &mut Member, new: &mut Member) -> Partition {
    let given = until_one_is_revoked(old, new);
    let mine = given.id;

    // The old member owns it until it releases it, and may commit for it so long.
    poll_both(old, new, seconds(2));
    assert_eq!(new.events.iter().flat_map(assigned).count(), 0, "{:?}", new.events);
    assert_eq!(old.commit_until_accepted(&commit(mine, 1)), [""; 0]);
    old.source.release(std::slice::from_ref(&given));
    let released = Instant::now();
    while new.events.iter().flat_map(assigned).count() == 0 {
        assert!(released.elapsed() < PATIENCE, "nothing is assigned to the new member");
        poll_both(old, new, POLL);
    }
    assert_eq!(new.assigned(1), std::slice::from_ref(&given));
    assert_eq!(new.delivered(1)[0].offset, 1, "where the old owner left off");
    new.commit_until_accepted(&commit(mine, 4));

    old.source.commit(&[commit(mine, 2)]);
    poll_both(old, new, seconds(1));
    let answered = |event: &SourceEvent| matches!(event, SourceEvent::CommitAnswered { .. });
    assert!(!old.events.iter().any(answered), "it was sent");
    let committed = committed_offsets(connection, "workers", "stt.jobs", seconds(30)).unwrap();
    assert_eq!(committed, BTreeMap::from([(mine, Some(4)), (1 - mine, None)]));
    given
}

/// Polls both until a partition of the first is revoked, which it still owns.
pub(crate) fn until_one_is_revoked(old: &mut Member, new: &mut Member) -> Partition {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "nothing is revoked");
        poll_both(old, new, POLL);
        if let Some((mut given, lost)) = revoked(&old.events) {
            assert!(given.len() == 1 && !lost, "{given:?}");
            return given.remove(0);
        }
    }
}

fn poll_both(old: &mut Member, new: &mut Member, time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        old.poll();
        new.poll();
    }
}

pub(crate) fn assigned(event: &SourceEvent) -> Vec<Partition> {
    match event {
        SourceEvent::Assigned(assignments) => assignments
            .iter()
            .map(|assignment| assignment.partition.clone())
            .collect(),
        _ => vec![],
    }
}

pub(crate) fn delivered(event: &SourceEvent) -> Option<Delivery> {
    match event {
        SourceEvent::Delivered(delivery) => Some(delivery.clone()),
        _ => None,
    }
}

pub(crate) fn revoked(events: &[SourceEvent]) -> Option<(Vec<Partition>, bool)> {
    events.iter().find_map(|event| match event {
        SourceEvent::Revoked { partitions, lost } => Some((partitions.clone(), *lost)),
        _ => None,
    })
}

pub(crate) fn broker_errors(events: &[SourceEvent]) -> Vec<String> {
    let text = |event: &SourceEvent| match event {
        SourceEvent::BrokerError(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

pub(crate) fn jobs(id: i32) -> Partition {
    Partition {
        topic: "stt.jobs".into(),
        id,
    }
}

pub(crate) fn source_config() -> SourceConfig {
    SourceConfig {
        group_id: "workers".to_owned(),
        session_timeout: seconds(6),
        ..SourceConfig::default()
    }
}

pub(crate) fn committed(next_offset: i64, metadata: &str) -> CommittedOffset {
    CommittedOffset {
        next_offset,
        metadata: metadata.to_owned(),
    }
}

pub(crate) fn commit(id: i32, next_offset: i64) -> Commit {
    Commit {
        partition: jobs(id),
        committed: committed(next_offset, ""),
    }
}

pub(crate) fn record(destination: Destination, payload: impl Into<Vec<u8>>) -> OutcomeRecord {
    OutcomeRecord {
        destination,
        key: b"job-1".to_vec(),
        payload: payload.into(),
        headers: vec![],
        acknowledged: false,
    }
}

pub(crate) fn completed(job: u64, result: impl Into<Vec<u8>>) -> Outcome {
    Outcome {
        job: JobId(job),
        kind: OutcomeKind::Completed,
        records: vec![record(Destination::Results, result)],
    }
}

pub(crate) fn failed(job: u64, dead_letter: &[u8]) -> Outcome {
    Outcome {
        job: JobId(job),
        kind: OutcomeKind::Failed,
        records: vec![
            record(Destination::Results, b"failed"),
            record(Destination::DeadLetters, dead_letter),
        ],
    }
}

/// What a failure asks for.
pub(crate) type Kind = (ErrorCode, Fault);

pub(crate) const AGAIN: Kind = (ErrorCode::PublishFailed, Fault::Transient { after: None });
pub(crate) const LATER: Kind = (ErrorCode::PublishFailed, Fault::WorkerLocal);
pub(crate) const FATAL: Kind = (ErrorCode::PublishFailed, Fault::Fatal);
pub(crate) const TOO_LARGE: Kind = (ErrorCode::ResultTooLarge, Fault::Permanent);

pub(crate) fn kind(failure: &Failure) -> Kind {
    (failure.code, failure.fault)
}

pub(crate) fn producer(connection: &Connection) -> JobProducer {
    JobProducer::new(connection, &ProducerConfig::default()).unwrap()
}

pub(crate) fn sink(connection: &Connection) -> KafkaSink {
    KafkaSink::new(connection, SinkConfig::default()).unwrap()
}

pub(crate) fn tail(connection: &Connection, topic: &str) -> Tail {
    let config = TailConfig {
        start: Start::Beginning,
        ..TailConfig::new(topic)
    };
    Tail::open(connection, &config).unwrap()
}

/// Sends each outcome as a batch of its own, the job's number as its id.
pub(crate) fn send(sink: &mut KafkaSink, outcomes: impl IntoIterator<Item = Outcome>) {
    for outcome in outcomes {
        let started = Instant::now();
        sink.send(Batch {
            id: BatchId(outcome.job.0),
            outcomes: vec![outcome],
            commits: vec![],
        });
        let took = started.elapsed();
        assert!(took < Duration::from_millis(500), "send took {took:?}");
    }
}

/// The next result.
pub(crate) fn next_result(sink: &mut dyn Sink) -> BatchResult {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < 2 * PATIENCE, "no result");
        let polled = Instant::now();
        if let Some(result) = sink.poll() {
            return result;
        }
        let took = polled.elapsed();
        assert!(took < Duration::from_millis(500), "poll took {took:?}");
        pause(Duration::from_millis(2));
    }
}

/// Publishes one outcome: the outcome as it came back, and the failure if there was one.
pub(crate) fn publish(sink: &mut KafkaSink, outcome: Outcome) -> (Outcome, Option<Failure>) {
    send(sink, [outcome]);
    let mut result = next_result(sink);
    let result = result.outcomes.remove(0);
    (result.outcome, result.result.err())
}

/// Publishes an outcome again, like the coordinator, while it has to wait.
pub(crate) fn publish_until_accepted(sink: &mut KafkaSink, mut outcome: Outcome) {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "{outcome:?} is refused");
        match publish(sink, outcome) {
            (_, None) => return,
            (refused, Some(failure)) => {
                assert_eq!(kind(&failure), LATER);
                outcome = refused;
            }
        }
        pause(Duration::from_millis(100));
    }
}

/// Waits.
pub(crate) fn pause(wait: Duration) {
    let (never, timer) = std::sync::mpsc::channel::<()>();
    timer.recv_timeout(wait).ok();
    drop(never);
}

/// Everything in a topic.
pub(crate) fn read(connection: &Connection, topic: &str) -> Vec<Tailed> {
    let mut tail = tail(connection, topic);
    let mut all = vec![];
    while !tail.at_end() {
        all.extend(tail.next(seconds(5)).unwrap());
    }
    all
}

/// The payloads in a topic.
pub(crate) fn texts(connection: &Connection, topic: &str) -> Vec<String> {
    let text = |tailed: Tailed| String::from_utf8(tailed.delivery.payload.unwrap_or_default()).unwrap();
    read(connection, topic).into_iter().map(text).collect()
}
