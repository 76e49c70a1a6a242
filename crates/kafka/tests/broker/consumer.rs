//! The consumer group: ownership, commits, and outages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::*;
use stt_core::{Header, Source, SourceEvent};
use stt_kafka::committed_offsets;
use stt_kafka::{BrokerError, ClientError, Connection, EmbeddedBroker, KafkaSource, Request, SourceConfig};

#[test]
fn owned_properties_and_empty_names_are_refused() {
    let mut connection = Connection::new(NOT_LISTENING);
    connection.properties.insert("group.id".to_owned(), "mine".to_owned());
    let error = KafkaSource::new(&connection, SourceConfig::default())
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(&error, ClientError::Properties(problems) if problems.len() == 1),
        "{error}"
    );
    let config = SourceConfig {
        topic: String::new(),
        ..SourceConfig::default()
    };
    let error = KafkaSource::new(&Connection::new(NOT_LISTENING), config)
        .map(|_| ())
        .unwrap_err();
    assert!(error.to_string().contains("jobs topic must not be empty"), "{error}");
}

#[test]
fn without_a_broker_poll_and_close_keep_their_bounds() {
    let mut member = Member::join(&Connection::new(NOT_LISTENING));
    let started = Instant::now();
    while started.elapsed() < seconds(3) {
        let polled = Instant::now();
        member.poll();
        assert!(polled.elapsed() < seconds(1), "poll took {:?}", polled.elapsed());
    }
    let broker_errors = broker_errors(&member.events);
    let refused = broker_errors
        .iter()
        .filter(|text| text.contains("Connection refused"))
        .count();
    assert_eq!(refused, 1, "{broker_errors:?}");
    let closing = Instant::now();
    member.source.close(seconds(1));
    assert!(closing.elapsed() < seconds(3), "close took {:?}", closing.elapsed());
    assert!(
        member
            .source
            .poll(POLL)
            .unwrap_err()
            .to_string()
            .contains("it was closed")
    );
}

#[test]
fn a_missing_topic_is_reported_and_read_once_created() {
    let broker = EmbeddedBroker::start(&[]).unwrap();
    let mut connection = connection(&broker);
    connection
        .properties
        .insert("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned());
    let mut member = Member::join(&connection);
    let text = member.until("broker error", |events| broker_errors(events).into_iter().next());
    assert_eq!(
        text,
        "topic stt.jobs does not exist or this user may not read it; waiting for it"
    );
    broker.create_topic("stt.jobs", 1).unwrap();
    assert_eq!(member.assigned(1), [jobs(0)]);
}

#[test]
fn a_fenced_static_member_ends() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    let mut connection = connection(&broker);
    connection
        .properties
        .insert("group.instance.id".to_owned(), "worker-1".to_owned());
    connection
        .properties
        .insert("heartbeat.interval.ms".to_owned(), "200".to_owned());
    let mut member = Member::join(&connection);
    member.assigned(1);
    broker.fail_next(Request::Heartbeat, &[BrokerError::FencedInstance; 3]);
    let started = Instant::now();
    let error = loop {
        assert!(started.elapsed() < PATIENCE, "the source goes on");
        if let Err(error) = member.source.poll(POLL) {
            break error;
        }
    };
    assert!(error.to_string().contains("instance"), "{error}");
    let closing = Instant::now();
    member.source.close(seconds(2));
    assert!(closing.elapsed() < seconds(3));
}

#[test]
fn delivers_whole_records_and_resumes_after_a_restart() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    let connection = connection(&broker);
    let header = |key: &str, value: Option<&[u8]>| Header {
        key: key.to_owned(),
        value: value.map(<[u8]>::to_vec),
    };
    let headers = [
        header("attempt", Some(b"2")),
        header("none", None),
        header("attempt", Some(b"3")),
        header("bytes", Some(&[0, 255])),
    ];
    let producer = producer(&connection);
    producer.produce("stt.jobs", b"job-1", b"{}", &headers).unwrap();
    producer.produce("stt.jobs", b"", b"\xff", &[]).unwrap();

    let mut member = Member::join(&connection);
    let started = Instant::now();
    assert_eq!(member.assigned(1), [jobs(0)]);
    assert!(
        started.elapsed() < seconds(3),
        "the first assignment took {:?}",
        started.elapsed()
    );
    let records = member.delivered(2);
    assert_eq!(
        (records[0].offset, records[0].key.as_deref()),
        (0, Some(b"job-1".as_slice()))
    );
    assert_eq!(
        (records[0].payload.as_deref(), &records[0].headers[..]),
        (Some(b"{}".as_slice()), &headers[..])
    );
    assert_eq!(records[0].header("attempt"), Some("3"));
    assert_eq!(
        (records[1].key.as_deref(), records[1].payload.as_deref()),
        (None, Some(b"\xff".as_slice()))
    );
    assert_eq!(member.commit_until_accepted(&commit(0, 1)), [""; 0]);
    member.source.close(seconds(5));

    let mut again = Member::join(&connection);
    assert_eq!(again.delivered(1)[0].offset, 1, "0 was committed, 1 was not");
}

#[test]
fn a_paused_partition_resumes_where_it_was() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    let connection = connection(&broker);
    let producer = producer(&connection);
    let mut member = Member::join(&connection);
    member.assigned(1);
    member.source.resume(&[jobs(0)]); // not paused: nothing happens
    producer.produce("stt.jobs", b"", b"0", &[]).unwrap();
    member.delivered(1);
    member.source.pause(&[jobs(0), jobs(7)]);
    for text in [b"1", b"2"] {
        producer.produce("stt.jobs", b"", text, &[]).unwrap();
    }
    let started = Instant::now();
    while started.elapsed() < seconds(1) {
        member.poll();
    }
    assert_eq!(member.delivered(1).len(), 1, "delivered while paused");
    member.source.resume(&[jobs(0), jobs(7)]);
    let offsets: Vec<i64> = member.delivered(3).iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
}

/// The old owner keeps a revoked partition until it has committed; after that, neither a late commit nor its pause affects
/// the new owner.
#[test]
fn a_revoked_partition_moves_when_released() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 2)]).unwrap();
    let mut connection = connection(&broker);
    let producer = producer(&connection);
    let heartbeat = ("heartbeat.interval.ms".to_owned(), "200".to_owned());
    connection.properties.extend([heartbeat]);
    for number in 0..20 {
        producer
            .produce("stt.jobs", format!("job-{number}").as_bytes(), b"{}", &[])
            .unwrap();
    }
    // The broker ends a rebalance, and removes members that have not rejoined, a second before the session would end. The old
    // member learns of it by its next heartbeat and keeps the partition for 2 s more; the rest is for a slow machine.
    let session = seconds(12);
    let mut old = Member::join_for(&connection, session);
    old.assigned(2);
    old.delivered(20);
    old.source.pause(&[jobs(0), jobs(1)]);

    let mut new = Member::join_for(&connection, session);
    let given = hand_over(&connection, &mut old, &mut new);

    // And back: a pause does not outlive the ownership.
    new.source.close(seconds(5));
    old.events.clear();
    assert_eq!(old.assigned(1), [given]);
    assert_eq!(old.delivered(1)[0].offset, 4);
}

#[test]
fn a_lost_session_loses_partitions_and_gets_them_again() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    let mut connection = connection(&broker);
    connection
        .properties
        .insert("heartbeat.interval.ms".to_owned(), "200".to_owned());
    let mut member = Member::join(&connection);
    member.assigned(1);
    broker.fail_next(Request::Heartbeat, &[BrokerError::UnknownMember]);
    let (partitions, lost) = member.until("loss", revoked);
    assert_eq!((partitions, lost), (vec![jobs(0)], true));
    member.source.commit(&[commit(0, 0)]);
    assert_eq!(member.assigned(2).len(), 2, "assigned once more");
    assert!(
        !member
            .events
            .iter()
            .any(|event| matches!(event, SourceEvent::CommitAnswered { .. })),
        "{:?}",
        member.events
    );
}

#[test]
fn a_commit_during_an_outage_never_blocks() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    let connection = connection(&broker);
    producer(&connection).produce("stt.jobs", b"", b"{}", &[]).unwrap();
    let mut member = Member::join(&connection);
    member.delivered(1);
    broker.go_down().unwrap();
    let started = Instant::now();
    member.source.commit(&[commit(0, 1)]);
    while started.elapsed() < seconds(2) {
        let polled = Instant::now();
        member.poll();
        assert!(polled.elapsed() < seconds(1), "poll took {:?}", polled.elapsed());
    }
    broker.come_back().unwrap();
    if member.answer(&commit(0, 1)).is_some() {
        member.commit_until_accepted(&commit(0, 1));
    }
    let committed = committed_offsets(&connection, "workers", "stt.jobs", seconds(5)).unwrap();
    assert_eq!(committed, BTreeMap::from([(0, Some(1))]));
}

#[test]
fn a_refused_commit_says_why_and_can_be_repeated() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    let mut member = Member::join(&connection(&broker));
    member.assigned(1);
    broker.fail_next(Request::OffsetCommit, &[BrokerError::RebalanceInProgress]);
    let errors = member.commit_until_accepted(&commit(0, 0));
    assert!(errors.len() == 1 && errors[0].contains("rebalance"), "{errors:?}");
}

#[test]
fn closing_during_an_outage_keeps_its_bound() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 2)]).unwrap();
    let connection = connection(&broker);
    let mut old = Member::join(&connection);
    old.assigned(2);
    let mut new = Member::join(&connection);
    until_one_is_revoked(&mut old, &mut new);
    broker.go_down().unwrap();
    for member in [&mut old, &mut new] {
        let closing = Instant::now();
        member.source.close(Duration::from_millis(500));
        assert!(closing.elapsed() < seconds(2), "close took {:?}", closing.elapsed());
    }
}

/// With no partition there is no rebalance callback that would tell of the loss.
#[test]
fn a_lost_session_without_partitions_is_reported() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    let mut connection = connection(&broker);
    let heartbeat = ("heartbeat.interval.ms".to_owned(), "200".to_owned());
    connection.properties.extend([heartbeat]);
    let mut owner = Member::join_for(&connection, seconds(12));
    owner.assigned(1);
    let mut idle = Member::join_for(&connection, seconds(6));
    let is_member = |events: &[SourceEvent]| {
        let assigned = |event: &SourceEvent| matches!(event, SourceEvent::Assigned(list) if list.is_empty());
        events.iter().any(assigned).then_some(())
    };
    let started = Instant::now();
    while is_member(&idle.events).is_none() {
        assert!(started.elapsed() < PATIENCE, "the second does not join");
        owner.poll();
        idle.poll();
    }
    idle.events.clear();
    broker.go_down().unwrap();
    assert_eq!(idle.until("loss", revoked), (vec![], true));
    broker.come_back().unwrap();
    let started = Instant::now();
    while is_member(&idle.events).is_none() && idle.events.iter().flat_map(assigned).count() == 0 {
        assert!(started.elapsed() < PATIENCE, "the second does not join again");
        owner.poll();
        idle.poll();
    }
}

#[test]
fn pausing_again_and_again_loses_and_repeats_nothing() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 2)]).unwrap();
    let connection = connection(&broker);
    let producer = producer(&connection);
    for number in 0..1_500 {
        let key = format!("job-{number}");
        producer.produce("stt.jobs", key.as_bytes(), b"{}", &[]).unwrap();
    }
    let mut member = Member::join(&connection);
    member.assigned(2);
    let both = [jobs(0), jobs(1)];
    let mut seen = BTreeMap::from([(0, vec![]), (1, vec![])]);
    let (mut count, mut polls) = (0, 0);
    let started = Instant::now();
    while count < 1_500 {
        assert!(started.elapsed() < PATIENCE, "{count} delivered");
        if let SourceEvent::Delivered(delivery) = member.source.poll(Duration::from_millis(5)).unwrap() {
            seen.get_mut(&delivery.partition.id).unwrap().push(delivery.offset);
            count += 1;
        }
        polls += 1;
        match polls % 7 {
            3 => member.source.pause(&both[..1 + polls / 7 % 2]),
            0 => member.source.resume(&both),
            _ => {}
        }
    }
    for offsets in seen.values() {
        assert_eq!(*offsets, (0..offsets.len() as i64).collect::<Vec<_>>());
    }
    assert!(started.elapsed() < seconds(20), "it took {:?}", started.elapsed());
}

#[test]
fn a_retry_topic_is_read_too() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1), ("stt.jobs.retry", 1)]).unwrap();
    let connection = connection(&broker);
    let producer = producer(&connection);
    producer.produce("stt.jobs", b"", b"job", &[]).unwrap();
    producer.produce("stt.jobs.retry", b"", b"retry", &[]).unwrap();
    let config = SourceConfig {
        retry_topic: Some("stt.jobs.retry".to_owned()),
        ..source_config()
    };
    let mut member = Member::join_with(&connection, config);
    let mut topics: Vec<String> = member
        .delivered(2)
        .iter()
        .map(|record| record.partition.topic.to_string())
        .collect();
    topics.sort_unstable();
    assert_eq!(topics, ["stt.jobs", "stt.jobs.retry"]);
    let retries = stt_core::Partition {
        topic: "stt.jobs.retry".into(),
        id: 0,
    };
    let commit = stt_core::Commit {
        partition: retries,
        committed: committed(1, ""),
    };
    assert_eq!(member.commit_until_accepted(&commit), [""; 0]);
    let committed = committed_offsets(&connection, "workers", "stt.jobs.retry", seconds(5)).unwrap();
    assert_eq!(committed, BTreeMap::from([(0, Some(1))]));
}
