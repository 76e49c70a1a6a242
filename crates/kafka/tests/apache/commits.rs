//! Who may commit, by a real broker.

use std::time::Instant;

use crate::support::*;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stt_kafka::{Connection, committed_offsets};
use stt_testkit::apache::{Cluster, Config};

/// As on the embedded broker; and why it must be so: the broker itself asks only whether a member is alive.
#[test]
fn a_partition_is_handed_over_when_released_and_only_its_owner_may_commit() {
    let mut cluster = Cluster::start(&Config::default()).unwrap();
    cluster.create_topic("stt.jobs", 2, &[]).unwrap();
    let connection = Connection::new(cluster.bootstrap_servers());
    let producer = producer(&connection);
    for number in 0..20 {
        let key = format!("job-{number}");
        producer.produce("stt.jobs", key.as_bytes(), b"{}", &[]).unwrap();
    }
    let mut old = Member::join_for(&connection, seconds(10));
    old.assigned(2);
    old.delivered(20);
    let mut new = Member::join_for(&connection, seconds(10));
    let mine = hand_over(&connection, &mut old, &mut new).id;

    // A member that owns nothing, and sends what it likes: the broker takes it, and the owner's progress is lost.
    let careless: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "workers")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    careless.subscribe(&["stt.jobs"]).unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("stt.jobs", mine, Offset::Offset(2))
        .unwrap();
    let joining = Instant::now();
    loop {
        careless.poll(POLL);
        old.poll();
        new.poll();
        if careless.commit(&offsets, CommitMode::Sync).is_ok() {
            break;
        }
        assert!(joining.elapsed() < PATIENCE, "the careless member may not commit");
    }
    assert_eq!(careless.assignment().unwrap().count(), 0);
    let committed = committed_offsets(&connection, "workers", "stt.jobs", seconds(30)).unwrap();
    assert_eq!(committed[&mine], Some(2));
}
