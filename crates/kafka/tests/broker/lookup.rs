//! What a member learns of the partitions assigned to it, and what may happen while that is looked up.

use std::time::{Duration, Instant};

use crate::support::*;
use stt_core::{Assignment, Commit, Source, SourceEvent};
use stt_kafka::{BrokerError, Connection, EmbeddedBroker, Request};

const METADATA: &str = "s1;2-4;0x1";

/// More failures than any of these tests waits for.
const ENDLESS: usize = 10_000;

fn with_metadata() -> Commit {
    Commit {
        partition: jobs(0),
        committed: committed(1, METADATA),
    }
}

/// A broker with two partitions of two records each, of which the first has a commit with metadata.
fn broker() -> (EmbeddedBroker, Connection) {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 2)]).unwrap();
    let mut connection = connection(&broker);
    let heartbeat = ("heartbeat.interval.ms".to_owned(), "200".to_owned());
    connection.properties.extend([heartbeat]);
    let producer = producer(&connection);
    let mut filled = [0; 2];
    for number in 0.. {
        if filled.iter().all(|count| *count >= 2) {
            break;
        }
        let placed = producer.produce("stt.jobs", format!("job-{number}").as_bytes(), b"{}", &[]);
        filled[placed.unwrap().partition as usize] += 1;
    }
    let mut first = Member::join(&connection);
    first.assigned(2);
    assert_eq!(first.commit_until_accepted(&with_metadata()), [""; 0]);
    first.source.close(seconds(10));
    (broker, connection)
}

/// What later members are to learn.
fn expected() -> [Assignment; 2] {
    let partition = jobs(0);
    let committed = Some(committed(1, METADATA));
    [Assignment { partition, committed }, jobs(1).into()]
}

/// A member that has joined, and whose lookup fails and fails.
fn looking_up(broker: &EmbeddedBroker, connection: &Connection, session: Duration) -> Member {
    broker.fail_next(Request::OffsetFetch, &[BrokerError::UnstableOffset; ENDLESS]);
    let mut member = Member::join_for(connection, session);
    let text = member.until("broker error", |events| broker_errors(events).into_iter().next());
    assert!(text.contains("unstable offsets"), "{text}");
    member
}

/// Whether it learned only that it is a member.
fn is_waiting(member: &Member) -> bool {
    member.events.iter().all(|event| match event {
        SourceEvent::Assigned(assignments) => assignments.is_empty(),
        event => matches!(event, SourceEvent::BrokerError(_)),
    })
}

#[test]
fn lookup_is_repeated_until_answered() {
    let (broker, connection) = broker();
    let mut errors = vec![BrokerError::CoordinatorLoading; 3];
    errors.extend([
        BrokerError::Disconnect,
        BrokerError::UnstableOffset,
        BrokerError::TimedOut,
    ]);
    broker.fail_next(Request::OffsetFetch, &errors);
    let mut member = Member::join(&connection);
    assert_eq!(member.assignments(2), expected());
}

#[test]
fn lookup_outlives_an_outage_while_polling_goes_on() {
    let (broker, connection) = broker();
    let mut member = looking_up(&broker, &connection, seconds(30));
    member.poll_for(seconds(1));
    broker.go_down().unwrap();
    member.poll_for(seconds(3));
    assert!(is_waiting(&member), "{:?}", member.events);
    broker.fail_no_more(Request::OffsetFetch);
    broker.come_back().unwrap();
    assert_eq!(member.assignments(2), expected());
}

/// The broker removes the member during the lookup, and a heartbeat says so: partitions that were never reported as assigned
/// are not reported as revoked, only the membership is; those assigned after joining again are.
#[test]
fn membership_lost_during_lookup() {
    let (broker, connection) = broker();
    let mut member = looking_up(&broker, &connection, seconds(6));
    broker.fail_next(Request::Heartbeat, &[BrokerError::UnknownMember; 3]);
    assert_eq!(member.until("loss", revoked), (vec![], true));
    assert_eq!(member.events.iter().flat_map(assigned).count(), 0);
    member.events.clear();
    broker.fail_no_more(Request::Heartbeat);
    broker.fail_no_more(Request::OffsetFetch);
    assert_eq!(member.assignments(2), expected(), "once");
    let first = |event: &SourceEvent| matches!(event, SourceEvent::Assigned(_) | SourceEvent::Revoked { .. });
    let first = member.events.iter().find(|event| first(event));
    assert!(matches!(first, Some(SourceEvent::Assigned(_))), "{first:?}");
    assert_eq!(member.commit_until_accepted(&commit(1, 1)), [""; 0]);
}

#[test]
fn closing_during_lookup_keeps_its_bound() {
    let (broker, connection) = broker();
    let mut member = looking_up(&broker, &connection, seconds(12));
    let closing = Instant::now();
    member.source.close(2 * PATIENCE);
    assert!(closing.elapsed() < seconds(2), "close took {:?}", closing.elapsed());
    assert!(is_waiting(&member), "{:?}", member.events);
    broker.fail_no_more(Request::OffsetFetch);
    let mut next = Member::join_for(&connection, seconds(12));
    assert_eq!(next.assignments(2), expected());
    next.source.close(PATIENCE);

    let mut member = looking_up(&broker, &connection, seconds(12));
    broker.go_down().unwrap();
    member.poll_for(seconds(1));
    let closing = Instant::now();
    member.source.close(Duration::from_millis(500));
    assert!(closing.elapsed() < seconds(3), "close took {:?}", closing.elapsed());
}

#[test]
fn owned_partitions_commit_while_others_are_looked_up() {
    let (broker, connection) = broker();
    let mut old = Member::join_for(&connection, seconds(12));
    old.assigned(2);
    let mut new = Member::join_for(&connection, seconds(12));
    let started = Instant::now();
    while new.events.iter().flat_map(assigned).count() == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing is assigned to the new member");
        old.poll();
        new.poll();
        if let Some((given, _)) = revoked(&old.events) {
            old.source.release(&given);
        }
    }
    let moved = new.assigned(1)[0].id;
    old.events.clear();
    broker.fail_next(Request::OffsetFetch, &[BrokerError::UnstableOffset; ENDLESS]);
    new.source.close(seconds(10));
    old.until("broker error", |events| broker_errors(events).into_iter().next());
    assert_eq!(old.commit_until_accepted(&commit(1 - moved, 1)), [""; 0]);
    assert_eq!(old.events.iter().flat_map(assigned).count(), 0);
    broker.fail_no_more(Request::OffsetFetch);
    assert_eq!(old.assigned(1), [jobs(moved)]);
}

#[test]
fn reading_starts_at_the_commit_or_at_the_beginning() {
    let (_broker, connection) = broker();
    let mut member = Member::join(&connection);
    assert_eq!(member.assignments(2), expected());
    let first = |member: &mut Member, partition| {
        member.until("delivery", |events| {
            let mut all = events.iter().filter_map(delivered);
            all.find(|delivery| delivery.partition == partition)
        })
    };
    assert_eq!(first(&mut member, jobs(0)).offset, 1);
    assert_eq!(first(&mut member, jobs(1)).offset, 0);
}

#[test]
fn metadata_too_large_refuses_the_commit() {
    let (broker, connection) = broker();
    let mut member = Member::join(&connection);
    member.assigned(2);
    broker.fail_next(Request::OffsetCommit, &[BrokerError::MetadataTooLarge]);
    let errors = member.commit_until_accepted(&with_metadata());
    assert!(errors.len() == 1 && errors[0].contains("too large"), "{errors:?}");
}
