//! A member of a group that tests can talk to, and records to give it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stt_core::{
    Assignment, Cancel, Committed, Delivery, Due, Ledger, NotPublished, Outcome, OutcomeKind, Partition, Publish,
    Source, SourceEvent, Ticket,
};
use stt_kafka::{
    Connection, EmbeddedBroker, JobProducer, KafkaPublish, KafkaSource, ProducerConfig, PublishConfig, SourceConfig,
    Start, Tail, TailConfig, Tailed, committed_offsets,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// An address where nobody listens: port 1 needs a privilege that no test server has.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

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
        let config = SourceConfig {
            group_id: "workers".to_owned(),
            session_timeout,
            ..SourceConfig::default()
        };
        Self {
            source: KafkaSource::new(connection, config).unwrap(),
            events: vec![],
        }
    }

    /// One poll; what came is kept.
    pub(crate) fn poll(&mut self) {
        match self.source.poll(POLL).expect("the source lives") {
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

    /// What it was told of the partitions that it got, once there are as many.
    pub(crate) fn assignments(&mut self, count: usize) -> Vec<Assignment> {
        self.assigned(count);
        let told = |event: &SourceEvent| match event {
            SourceEvent::Assigned(assignments) => assignments.clone(),
            _ => vec![],
        };
        let mut all: Vec<Assignment> = self.events.iter().flat_map(told).collect();
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

    /// Commits, again and again as a ledger would, until the broker agrees. The errors on the way.
    pub(crate) fn commit_until_taken(&mut self, due: &Due) -> Vec<String> {
        let started = Instant::now();
        let mut errors = vec![];
        loop {
            assert!(started.elapsed() < PATIENCE, "{due:?} is refused: {:?}", errors.last());
            self.source.commit(std::slice::from_ref(due));
            match self.answer(due) {
                None => return errors,
                Some(error) => errors.push(error),
            }
        }
    }

    /// Takes the next answer to a commit.
    pub(crate) fn answer(&mut self, due: &Due) -> Option<String> {
        let at = self.until("answer to the commit", |events| {
            events
                .iter()
                .position(|event| matches!(event, SourceEvent::Committed { due: of, .. } if of.contains(due)))
        });
        match self.events.remove(at) {
            SourceEvent::Committed { error, .. } => error,
            _ => unreachable!("found as an answer"),
        }
    }
}

/// A second member joins: one of the two partitions goes over to it when the first lets go, and a commit of the first that
/// comes too late is not even sent. Gives that partition; it is committed up to 4.
pub(crate) fn hand_over(connection: &Connection, old: &mut Member, new: &mut Member) -> Partition {
    let given = until_one_is_asked_back(old, new);
    let mine = given.id;

    // It stays with the old member until that lets go, and may be committed by it so long.
    poll_both(old, new, seconds(2));
    assert_eq!(new.events.iter().flat_map(assigned).count(), 0, "{:?}", new.events);
    assert_eq!(old.commit_until_taken(&due(mine, 1)), [""; 0]);
    old.source.release(std::slice::from_ref(&given));
    let released = Instant::now();
    while new.events.iter().flat_map(assigned).count() == 0 {
        assert!(released.elapsed() < PATIENCE, "the new member gets nothing");
        poll_both(old, new, POLL);
    }
    assert_eq!(new.assigned(1), std::slice::from_ref(&given));
    assert_eq!(new.delivered(1)[0].offset, 1, "where the old owner left off");
    new.commit_until_taken(&due(mine, 4));

    old.source.commit(&[due(mine, 2)]);
    poll_both(old, new, seconds(1));
    let answered = |event: &SourceEvent| matches!(event, SourceEvent::Committed { .. });
    assert!(!old.events.iter().any(answered), "it was sent");
    let committed = committed_offsets(connection, "workers", "stt.jobs", seconds(30)).unwrap();
    assert_eq!(committed, BTreeMap::from([(mine, Some(4)), (1 - mine, None)]));
    given
}

/// Polls both until the first is asked for a partition, which it still owns.
pub(crate) fn until_one_is_asked_back(old: &mut Member, new: &mut Member) -> Partition {
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

pub(crate) fn troubles(events: &[SourceEvent]) -> Vec<String> {
    let trouble = |event: &SourceEvent| match event {
        SourceEvent::Trouble(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(trouble).collect()
}

pub(crate) fn jobs(id: i32) -> Partition {
    Partition {
        topic: "stt.jobs".into(),
        id,
    }
}

pub(crate) fn committed(next_offset: i64, note: &str) -> Committed {
    Committed {
        next_offset,
        note: note.to_owned(),
    }
}

pub(crate) fn due(id: i32, next_offset: i64) -> Due {
    Due {
        partition: jobs(id),
        committed: committed(next_offset, ""),
    }
}

/// A ticket, as the ledger gives it.
pub(crate) fn ticket(offset: i64) -> Ticket {
    let mut ledger = Ledger::default();
    ledger.assign(jobs(0).into());
    ledger.admit(&jobs(0), offset).ticket().expect("just assigned")
}

pub(crate) fn completed(offset: i64, result: impl Into<Vec<u8>>) -> Outcome {
    let result = result.into();
    Outcome::new(ticket(offset), b"job-1".to_vec(), OutcomeKind::Completed { result })
}

pub(crate) fn producer(connection: &Connection) -> JobProducer {
    JobProducer::new(connection, &ProducerConfig::default()).unwrap()
}

pub(crate) fn publisher(connection: &Connection) -> KafkaPublish {
    let config = PublishConfig {
        flush_wait: Duration::from_millis(100),
        ..PublishConfig::default()
    };
    KafkaPublish::new(connection, config).unwrap()
}

pub(crate) fn tail(connection: &Connection, topic: &str) -> Tail {
    let config = TailConfig {
        start: Start::Beginning,
        ..TailConfig::new(topic)
    };
    Tail::open(connection, &config).unwrap()
}

/// Publishes, and tells the offset of the job that may pass.
pub(crate) fn publish(publish: &KafkaPublish, outcome: Outcome) -> Result<i64, Box<NotPublished>> {
    publish
        .publish(outcome, &Cancel::default())
        .map(|published| published.offset())
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

/// A flag that goes up after a while.
pub(crate) fn cancelled_after(wait: Duration) -> Cancel {
    let cancel = Cancel::default();
    let later = cancel.clone();
    let (never, timer) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        timer.recv_timeout(wait).ok();
        later.cancel();
    });
    std::mem::forget(never);
    cancel
}
