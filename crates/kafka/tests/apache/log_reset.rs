//! Logs that begin later, or are other ones, by a real broker.

use std::time::{Duration, Instant};

use crate::support::*;
use stt_core::{ResetCause, Source, SourceEvent};
use stt_kafka::{Connection, JobProducer};
use stt_testkit::apache::{Cluster, Config};

fn cluster() -> (Cluster, Connection) {
    let mut cluster = Cluster::start(&Config::default()).unwrap();
    cluster.create_topic("stt.jobs", 1, &[]).unwrap();
    let connection = Connection::new(cluster.bootstrap_servers());
    (cluster, connection)
}

fn produce(producer: &JobProducer, count: usize, what: &str) {
    for number in 0..count {
        let payload = format!("{what}-{number}");
        producer.produce("stt.jobs", b"", payload.as_bytes(), &[]).unwrap();
    }
}

fn log_resets(events: &[SourceEvent]) -> Vec<(i32, ResetCause)> {
    let reset = |event: &SourceEvent| match event {
        SourceEvent::LogReset { partition, cause } => Some((partition.id, *cause)),
        _ => None,
    };
    events.iter().filter_map(reset).collect()
}

/// Offsets and payloads delivered behind the last reset.
fn delivered_since_reset(events: &[SourceEvent]) -> Vec<(i64, String)> {
    let is_reset = |event: &SourceEvent| matches!(event, SourceEvent::LogReset { .. });
    let reset = events.iter().rposition(is_reset).map_or(0, |reset| reset + 1);
    let pair = |delivery: stt_core::Delivery| {
        let text = String::from_utf8(delivery.payload.unwrap_or_default()).unwrap();
        (delivery.offset, text)
    };
    events[reset..].iter().filter_map(delivered).map(pair).collect()
}

fn numbered(count: usize, what: &str) -> Vec<(i64, String)> {
    (0..count)
        .map(|number| (number as i64, format!("{what}-{number}")))
        .collect()
}

/// 60 jobs, then 200 in the new topic, which may or may not all be there when the worker notices. `polls`: whether it polls
/// meanwhile, and so has a fetch waiting all the time.
fn recreate(polls: bool) {
    let (mut cluster, connection) = cluster();
    produce(&producer(&connection), 60, "old");
    let mut member = Member::join_for(&connection, seconds(30));
    assert_eq!(member.delivered(60).len(), 60);
    assert_eq!(member.commit_until_accepted(&commit(0, 60)), [""; 0]);
    member.events.clear();

    let id = connection.clone();
    let recreated = std::thread::spawn(move || {
        cluster.delete_topic("stt.jobs").unwrap();
        cluster.create_topic("stt.jobs", 1, &[]).unwrap();
        produce(&producer(&id), 200, "new");
        cluster
    });
    while polls && !recreated.is_finished() {
        member.poll();
    }
    let _cluster = recreated.join().unwrap();
    let started = Instant::now();
    while delivered_since_reset(&member.events).len() < 200 {
        assert!(
            started.elapsed() < PATIENCE,
            "{:?}",
            member.events.iter().rev().take(5).collect::<Vec<_>>()
        );
        member.poll();
    }
    let resets = log_resets(&member.events);
    assert_eq!(resets, [(0, ResetCause::NewLog)]);
    assert_eq!(delivered_since_reset(&member.events), numbered(200, "new"));
    let first = member.events.iter().position(|event| delivered(event).is_some());
    let reset = member
        .events
        .iter()
        .position(|event| matches!(event, SourceEvent::LogReset { .. }));
    assert!(reset < first, "none is delivered before the reset");
    assert_eq!(member.commit_until_accepted(&commit(0, 200)), [""; 0]);
}

#[test]
fn a_recreated_topic_is_read_from_its_beginning() {
    recreate(true);
}

#[test]
fn a_topic_recreated_during_a_pause_of_the_process_too() {
    recreate(false);
}

/// The worker sees the topic missing first: its partition is lost, and comes back.
#[test]
fn a_topic_deleted_and_created_later() {
    let (mut cluster, connection) = cluster();
    produce(&producer(&connection), 60, "old");
    let mut member = Member::join_for(&connection, seconds(30));
    assert_eq!(member.delivered(60).len(), 60);
    assert_eq!(member.commit_until_accepted(&commit(0, 60)), [""; 0]);
    member.events.clear();
    cluster.delete_topic("stt.jobs").unwrap();
    let (partitions, _) = member.until("revocation", revoked);
    assert_eq!(partitions, [jobs(0)]);
    member.source.release(&partitions);
    cluster.create_topic("stt.jobs", 1, &[]).unwrap();
    produce(&producer(&connection), 200, "new");
    let started = Instant::now();
    while delivered_since_reset(&member.events).len() < 200 {
        assert!(started.elapsed() < PATIENCE, "{:?}", member.events);
        member.poll();
    }
    let resets = log_resets(&member.events);
    assert_eq!(resets, [(0, ResetCause::NewLog)]);
    assert_eq!(delivered_since_reset(&member.events), numbered(200, "new"));
    assert_eq!(member.commit_until_accepted(&commit(0, 200)), [""; 0]);
}

#[test]
fn expired_records_are_counted() {
    let (mut cluster, connection) = cluster();
    let producer = producer(&connection);
    produce(&producer, 10, "job");
    let mut member = Member::join_for(&connection, seconds(30));
    assert_eq!(member.delivered(10).len(), 10);
    assert_eq!(member.commit_until_accepted(&commit(0, 4)), [""; 0]);
    member.source.close(seconds(10));
    produce(&producer, 10, "job");
    cluster.delete_records("stt.jobs", 0, 15).unwrap();

    let mut next = Member::join_for(&connection, seconds(30));
    let offsets: Vec<i64> = next.delivered(5).iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [15, 16, 17, 18, 19]);
    let skipped = 15 - 4;
    assert_eq!(log_resets(&next.events), [(0, ResetCause::Retention { skipped })]);
}

/// A commit beyond the end of the log, as after an unclean election while no worker ran.
#[test]
fn a_log_shorter_than_the_commit_is_read_from_its_beginning() {
    let (_cluster, connection) = cluster();
    produce(&producer(&connection), 5, "job");
    let mut member = Member::join_for(&connection, seconds(30));
    member.assigned(1);
    assert_eq!(member.commit_until_accepted(&commit(0, 80)), [""; 0]);
    member.source.close(seconds(10));
    let mut next = Member::join_for(&connection, seconds(30));
    let started = Instant::now();
    while delivered_since_reset(&next.events).len() < 5 {
        assert!(started.elapsed() < PATIENCE, "{:?}", next.events);
        next.poll();
    }
    assert_eq!(log_resets(&next.events), [(0, ResetCause::NewLog)]);
    assert_eq!(delivered_since_reset(&next.events), numbered(5, "job"));
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(1) {
        next.poll();
    }
    assert_eq!(delivered_since_reset(&next.events).len(), 5);
}
