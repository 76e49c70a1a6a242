//! What readers and later owners see of transactions: all of one or nothing, whatever happens to its producer.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::support::*;
use crate::worker::*;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stt_core::{Assignment, Commit, Sink, Source, SourceEvent};
use stt_kafka::{Connection, KafkaTransactionSink, TransactionConfig, committed_offsets};
use stt_testkit::apache::{Cluster, Config};

const METADATA: &str = "s1;2-4;0x1";

/// A cluster where dead letters must be small.
fn cluster(jobs: u32) -> (Cluster, Connection) {
    cluster_of(jobs, &Config::default())
}

/// One whose broker may be killed in a transaction.
fn cluster_with_outage() -> (Cluster, Connection) {
    let config = Config {
        controller_apart: true,
        ..Config::default()
    };
    cluster_of(1, &config)
}

fn cluster_of(jobs: u32, config: &Config) -> (Cluster, Connection) {
    let mut cluster = Cluster::start(config).unwrap();
    cluster.create_topic("stt.jobs", jobs, &[]).unwrap();
    cluster.create_topic("stt.results", 1, &[]).unwrap();
    let narrow = [("max.message.bytes", "2000")];
    cluster.create_topic("stt.jobs.dlq", 1, &narrow).unwrap();
    let mut connection = Connection::new(cluster.bootstrap_servers());
    let heartbeat = ("heartbeat.interval.ms".to_owned(), "200".to_owned());
    connection.properties.extend([heartbeat]);
    (cluster, connection)
}

fn with_metadata(id: i32, next_offset: i64) -> Commit {
    Commit {
        partition: jobs(id),
        committed: committed(next_offset, METADATA),
    }
}

fn group(connection: &Connection) -> BTreeMap<i32, Option<i64>> {
    committed_offsets(connection, "workers", "stt.jobs", seconds(30)).unwrap()
}

/// No zstd in what cannot be compressed: as large on the wire as it is.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..bytes).map(next).collect()
}

#[test]
fn readers_see_committed_transactions_once_and_aborted_ones_never() {
    let (_cluster, connection) = cluster(1);
    let mut worker = Worker::new(&connection);
    let both = |dead_letter: Vec<u8>| vec![completed(1, "completed"), failed(2, &dead_letter)];
    let (each, _) = aborted(worker.run(both(noise(4_000)), &[with_metadata(0, 3)]));
    assert_eq!(each, [(1, AGAIN), (2, TOO_LARGE)], "by the broker's own limit");
    assert_eq!(texts(&connection, "stt.results"), [""; 0]);
    assert_eq!(group(&connection), BTreeMap::from([(0, None)]));

    worker.run_until_committed(|| both(b"dead".to_vec()), &[with_metadata(0, 3)]);
    let results = read(&connection, "stt.results");
    let texts: Vec<_> = results
        .iter()
        .map(|result| result.delivery.payload.as_deref())
        .collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.contains(&Some(b"completed")) && texts.contains(&Some(b"failed")));
    let first = results.iter().map(|result| result.delivery.offset).min();
    assert!(first > Some(1), "what was aborted lies before it: {first:?}");
    assert_eq!(read(&connection, "stt.jobs.dlq").len(), 1);
    assert_eq!(group(&connection), BTreeMap::from([(0, Some(3))]));

    assert_eq!(
        committed_jobs(worker.run(vec![], &[with_metadata(0, 5)])),
        [0; 0],
        "a commit alone"
    );
    worker.member.source.close(PATIENCE);
    let mut next = Member::join(&connection);
    let partition = jobs(0);
    let committed = Some(committed(5, METADATA));
    assert_eq!(next.assignments(1), [Assignment { partition, committed }]);
}

#[test]
fn a_second_producer_of_the_same_id_fences_the_first() {
    let (_cluster, connection) = cluster(1);
    let mut first = Worker::new(&connection);
    assert_eq!(
        committed_jobs(first.run(vec![completed(1, "one")], &[commit(0, 2)])),
        [1]
    );
    let membership = first.member.source.membership().unwrap();
    let second = KafkaTransactionSink::new(&connection, config(), membership).unwrap();
    let fenced = std::mem::replace(&mut first.sink, second);
    assert_eq!(
        committed_jobs(first.run(vec![completed(2, "two")], &[commit(0, 3)])),
        [2]
    );

    let second = std::mem::replace(&mut first.sink, fenced);
    for _ in 0..2 {
        let (each, failure) = aborted(first.run(vec![completed(3, "three")], &[commit(0, 9)]));
        assert_eq!((each, kind(&failure)), (vec![(3, FATAL)], FATAL), "{failure}");
    }
    first.sink = second;
    assert_eq!(
        committed_jobs(first.run(vec![completed(4, "four")], &[commit(0, 5)])),
        [4]
    );
    assert_eq!(texts(&connection, "stt.results"), ["one", "two", "four"]);
    assert_eq!(group(&connection), BTreeMap::from([(0, Some(5))]));
}

/// The first transaction waits for a topic that is not there; the second stands behind it, and meanwhile one of its
/// partitions moves to another member. The broker would take a commit for it from any live member of this generation.
#[test]
fn sent_before_a_rebalance_it_is_not_committed_after_it() {
    let (mut cluster, mut connection) = cluster(2);
    cluster.delete_topic("stt.jobs.dlq").unwrap();
    let patient = ("topic.metadata.propagation.max.ms".to_owned(), "15000".to_owned());
    connection.properties.extend([patient]);
    let config = TransactionConfig {
        timeout: seconds(40),
        ..config()
    };
    let mut old = Worker::of(Member::join_for(&connection, seconds(10)), &connection, config);
    old.member.assigned(2);
    old.send(vec![failed(1, b"dead")], &[commit(0, 2)]);
    old.send(vec![completed(2, "stale")], &[commit(0, 3), commit(1, 3)]);

    let mut new = Member::join_for(&connection, seconds(10));
    let started = Instant::now();
    while new.events.iter().flat_map(assigned).count() == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing is assigned to the new member");
        old.member.poll();
        new.poll();
        if let Some((given, _)) = revoked(&old.member.events) {
            old.member.source.release(&given);
        }
    }
    let moved = new.assigned(1)[0].id;
    assert_eq!(new.commit_until_accepted(&with_metadata(moved, 7)), [""; 0]);
    assert!(
        old.sink.poll().is_none(),
        "the first transaction does not wait any more"
    );

    assert_eq!(aborted(old.result()).0, [(1, LATER)]);
    let (each, failure) = aborted(old.result());
    assert_eq!(each, [(2, AGAIN)], "{failure}");
    assert!(failure.error_chain().contains("generation"), "{failure}");
    let (each, failure) = aborted(old.run(vec![completed(2, "stale")], &[commit(0, 3), commit(1, 3)]));
    assert_eq!(each, [(2, AGAIN)]);
    assert!(failure.error_chain().contains("is not owned any more"), "{failure}");
    assert_eq!(
        group(&connection),
        BTreeMap::from([(moved, Some(7)), (1 - moved, None)])
    );
    assert_eq!(texts(&connection, "stt.results"), [""; 0]);

    assert_eq!(
        committed_jobs(old.run(vec![completed(2, "fresh")], &[commit(1 - moved, 3)])),
        [2]
    );
    assert_eq!(
        group(&connection),
        BTreeMap::from([(moved, Some(7)), (1 - moved, Some(3))])
    );
}

/// It did not poll for too long, so its partition went to another member; it does not know that yet.
#[test]
fn a_removed_member_commits_nothing() {
    let (_cluster, mut connection) = cluster(1);
    let short = ("max.poll.interval.ms".to_owned(), "6000".to_owned());
    let quick = Connection::clone(&connection);
    connection.properties.extend([short]);
    let mut zombie = Worker::new(&connection);
    let mut new = Member::join(&quick);
    assert_eq!(new.assigned(1), [jobs(0)]);
    assert_eq!(new.commit_until_accepted(&with_metadata(0, 7)), [""; 0]);

    let outcomes = || vec![completed(1, "stale")];
    zombie.send(outcomes(), &[commit(0, 2)]);
    let started = Instant::now();
    let ended = loop {
        assert!(started.elapsed() < PATIENCE, "the transaction does not end");
        if let Some(ended) = zombie.sink.poll() {
            break ended;
        }
        new.poll();
    };
    let (each, failure) = aborted(ended);
    assert_eq!(each, [(1, AGAIN)]);
    assert!(failure.error_chain().contains("not a member of its group"), "{failure}");
    assert_eq!(group(&quick), BTreeMap::from([(0, Some(7))]));
    assert_eq!(texts(&quick, "stt.results"), [""; 0]);
    assert_eq!(zombie.member.until("loss", revoked), (vec![jobs(0)], true));
}

/// The broker is killed while a transaction is under way, and is back within its timeout.
#[test]
fn an_outage_leaves_no_partial_transaction() {
    let (mut cluster, connection) = cluster_with_outage();
    let config = TransactionConfig {
        timeout: seconds(60),
        ..config()
    };
    let mut worker = Worker::of(Member::join_for(&connection, seconds(60)), &connection, config);
    assert_eq!(
        committed_jobs(worker.run(vec![completed(1, "one")], &[commit(0, 2)])),
        [1]
    );
    worker.send(vec![completed(2, "two")], &[commit(0, 3)]);
    cluster.kill(0).unwrap();
    worker.member.poll_for(seconds(2));
    cluster.start_node(0).unwrap();
    let result = worker.result();
    if result.failure.is_some() {
        let (each, failure) = aborted(result);
        assert_eq!(each, [(2, AGAIN)], "{failure}");
        assert_eq!(texts(&connection, "stt.results"), ["one"]);
        worker.run_until_committed(|| vec![completed(2, "two")], &[commit(0, 3)]);
    }
    assert_eq!(texts(&connection, "stt.results"), ["one", "two"]);
    assert_eq!(group(&connection), BTreeMap::from([(0, Some(3))]));
}

/// Whether the broker knows of the transaction is open. If so, it has aborted it by now and fenced its producer; another one
/// with the same id goes on.
#[test]
fn an_outage_longer_than_the_timeout_leaves_none_either() {
    let (mut cluster, connection) = cluster_with_outage();
    let config = || TransactionConfig {
        timeout: seconds(3),
        ..config()
    };
    let mut worker = Worker::of(Member::join_for(&connection, seconds(60)), &connection, config());
    assert_eq!(
        committed_jobs(worker.run(vec![completed(1, "one")], &[commit(0, 2)])),
        [1]
    );
    cluster.kill(0).unwrap();
    worker.send(vec![completed(2, "two")], &[commit(0, 3)]);
    worker.member.poll_for(seconds(6));
    assert!(worker.sink.poll().is_none(), "its end cannot be known yet");
    cluster.start_node(0).unwrap();
    let (each, failure) = aborted(worker.result());
    assert_eq!(each, [(2, AGAIN)], "begun when the broker was gone: {failure}");
    worker.run_until_committed(|| vec![completed(2, "two")], &[commit(0, 3)]);

    worker.send(vec![completed(3, "three")], &[commit(0, 4)]);
    cluster.kill(0).unwrap();
    worker.member.poll_for(seconds(6));
    cluster.start_node(0).unwrap();
    let ended = worker.result();
    if ended.failure.is_some() {
        let (each, failure) = aborted(ended);
        assert!(each == [(3, AGAIN)] || each == [(3, FATAL)], "{each:?} {failure}");
        if each == [(3, FATAL)] {
            let membership = worker.member.source.membership().unwrap();
            worker.sink = KafkaTransactionSink::new(&connection, config(), membership).unwrap();
        }
        worker.run_until_committed(|| vec![completed(3, "three")], &[commit(0, 4)]);
    }
    assert_eq!(texts(&connection, "stt.results"), ["one", "two", "three"]);
    assert_eq!(group(&connection), BTreeMap::from([(0, Some(4))]));
}

/// Leaves a transaction open, like a process that was killed.
pub(crate) fn leave_open(connection: &Connection, transactional_id: &str, timeout_ms: u32) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &connection.bootstrap_servers);
    let consumer: BaseConsumer = config
        .clone()
        .set("group.id", "workers")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()
        .unwrap();
    consumer.subscribe(&["stt.jobs"]).unwrap();
    let started = Instant::now();
    while consumer.assignment().unwrap().count() == 0 {
        assert!(started.elapsed() < PATIENCE, "no assignment");
        consumer.poll(POLL);
    }
    let member: ConsumerGroupMetadata = consumer.group_metadata().unwrap();
    let producer: BaseProducer = config
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", timeout_ms.to_string())
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<(), _>::to("stt.results").payload("left open");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("stt.jobs", 0, Offset::Offset(9)).unwrap();
    producer
        .send_offsets_to_transaction(&offsets, &member, PATIENCE)
        .unwrap();
    // As if killed: it sends nothing any more.
    std::mem::forget(producer);
}

#[test]
fn an_open_transaction_ends_by_timeout_or_by_its_id() {
    let (_cluster, connection) = cluster(1);
    leave_open(&connection, "stt-worker-7", 20_000);
    let mut next = Member::join(&connection);
    next.poll_for(seconds(3));
    let is_waiting = |event: &SourceEvent| match event {
        SourceEvent::Assigned(assignments) => assignments.is_empty(),
        event => matches!(event, SourceEvent::BrokerError(_)),
    };
    assert!(
        next.events.iter().all(is_waiting),
        "while it is open: {:?}",
        next.events
    );
    assert_eq!(next.assignments(1), [jobs(0).into()]);
    assert_eq!(texts(&connection, "stt.results"), [""; 0]);
    next.source.close(PATIENCE);

    // Longer than this test waits.
    leave_open(&connection, "stt-worker-1", 600_000);
    let mut next = Member::join(&connection);
    next.poll_for(seconds(3));
    assert!(
        next.events.iter().all(is_waiting),
        "while it is open: {:?}",
        next.events
    );
    let membership = next.source.membership().unwrap();
    let again = KafkaTransactionSink::new(&connection, config(), membership).unwrap();
    assert_eq!(next.assignments(1), [jobs(0).into()], "its id was registered again");
    drop(again);
    let mut worker = Worker::of(next, &connection, config());
    assert_eq!(
        committed_jobs(worker.run(vec![completed(1, "one")], &[commit(0, 2)])),
        [1]
    );
    assert_eq!(texts(&connection, "stt.results"), ["one"]);
}

/// The transactions' coordinator, the group's, and the leaders move to other brokers, in the midst of transactions.
#[test]
fn transactions_go_on_while_each_broker_is_killed_and_restarted() {
    let (mut cluster, connection) = cluster_of(
        1,
        &Config {
            nodes: 3,
            ..Config::default()
        },
    );
    let mut worker = Worker::of(Member::join_for(&connection, seconds(30)), &connection, config());
    let mut texts_written = Vec::new();
    let mut go_on = |worker: &mut Worker, count: usize| {
        for _ in 0..count {
            let number = texts_written.len() as u64 + 1;
            let text = format!("text {number}");
            let next = i64::try_from(number).unwrap();
            worker.run_until_committed(|| vec![completed(number, text.as_str())], &[commit(0, next)]);
            texts_written.push(text);
        }
        texts_written.len()
    };
    go_on(&mut worker, 5);
    for node in 0..3 {
        cluster.kill(node).unwrap();
        go_on(&mut worker, 20);
        cluster.start_node(node).unwrap();
        go_on(&mut worker, 20);
        cluster.wait_until_in_sync().unwrap();
    }
    let count = go_on(&mut worker, 1);
    assert_eq!(texts(&connection, "stt.results"), texts_written);
    assert_eq!(group(&connection), BTreeMap::from([(0, Some(count as i64))]));
}
