//! Who may commit, by a real broker.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::support::*;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stt_core::{Source, SourceEvent};
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
    let started = Instant::now();
    let (given, lost) = loop {
        assert!(started.elapsed() < PATIENCE, "nothing is revoked");
        old.poll();
        new.poll();
        if let Some(found) = revoked(&old.events) {
            break found;
        }
    };
    assert!(given.len() == 1 && !lost, "{given:?}");
    let mine = given[0].id;

    // It stays with the old member until that lets go, and may be committed by it so long.
    let holding = Instant::now();
    while holding.elapsed() < seconds(2) {
        old.poll();
        new.poll();
    }
    assert_eq!(new.events.iter().flat_map(assigned).count(), 0, "{:?}", new.events);
    assert_eq!(old.commit_until_taken(&due(mine, 1)), [""; 0]);
    old.source.release(&given);
    let released = Instant::now();
    while new.events.iter().flat_map(assigned).count() == 0 {
        assert!(released.elapsed() < PATIENCE, "the new member gets nothing");
        old.poll();
        new.poll();
    }
    assert_eq!(new.delivered(1)[0].offset, 1, "where the old owner left off");
    new.commit_until_taken(&due(mine, 4));

    // Too late: it is not even sent.
    old.source.commit(&[due(mine, 2)]);
    let late = Instant::now();
    while late.elapsed() < seconds(1) {
        old.poll();
        new.poll();
    }
    let answered = |event: &SourceEvent| matches!(event, SourceEvent::Committed { .. });
    assert!(!old.events.iter().any(answered), "it was sent");
    let committed = || committed_offsets(&connection, "workers", "stt.jobs", seconds(5)).unwrap();
    assert_eq!(committed(), BTreeMap::from([(mine, Some(4)), (1 - mine, None)]));

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
    assert_eq!(committed()[&mine], Some(2));
}
