//! What a member is told of the partitions that it gets, and what may happen while that is looked up.

use std::time::{Duration, Instant};

use crate::support::*;
use stt_core::{Assignment, Due, Source, SourceEvent};
use stt_kafka::{BrokerError, Connection, EmbeddedBroker, Request};

const NOTE: &str = "s1;2-4;0x1";

/// More failures than any of these tests waits for.
const ENDLESS: usize = 10_000;

fn with_note() -> Due {
    Due {
        partition: jobs(0),
        committed: committed(1, NOTE),
    }
}

/// A broker with two partitions of two records each, of which the first has a commit with a note.
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
    assert_eq!(first.commit_until_taken(&with_note()), [""; 0]);
    first.source.close(seconds(10));
    (broker, connection)
}

/// What everybody after that first member is to be told.
fn told() -> [Assignment; 2] {
    let partition = jobs(0);
    let committed = Some(committed(1, NOTE));
    [Assignment { partition, committed }, jobs(1).into()]
}

/// A member that has joined, and whose lookup fails and fails.
fn looking_up(broker: &EmbeddedBroker, connection: &Connection, session: Duration) -> Member {
    broker.fail_next(Request::OffsetFetch, &[BrokerError::UnstableOffset; ENDLESS]);
    let mut member = Member::join_for(connection, session);
    let text = member.until("trouble", |events| troubles(events).into_iter().next());
    assert!(
        text.contains("a transaction that commits for them is still open"),
        "{text}"
    );
    member
}

fn nothing_told(member: &Member) -> bool {
    member
        .events
        .iter()
        .all(|event| matches!(event, SourceEvent::Trouble(_)))
}

#[test]
fn a_lookup_is_made_until_it_is_answered() {
    let (broker, connection) = broker();
    let mut errors = vec![BrokerError::CoordinatorLoading; 7];
    errors.extend([
        BrokerError::Disconnect,
        BrokerError::UnstableOffset,
        BrokerError::TimedOut,
    ]);
    broker.fail_next(Request::OffsetFetch, &errors);
    let mut member = Member::join(&connection);
    assert_eq!(member.assignments(2), told());
}

#[test]
fn while_looking_up_the_member_polls_on_and_is_told_nothing_also_when_the_broker_goes_and_comes_back() {
    let (broker, connection) = broker();
    let mut member = looking_up(&broker, &connection, seconds(30));
    member.poll_for(seconds(1));
    broker.go_down().unwrap();
    member.poll_for(seconds(3));
    assert!(nothing_told(&member), "{:?}", member.events);
    broker.fail_no_more(Request::OffsetFetch);
    broker.come_back().unwrap();
    assert_eq!(member.assignments(2), told());
}

/// The broker throws the member out while it looks up, and it finds out by a heartbeat: the partitions that it never had
/// are not told of, and those that it gets by joining again are.
#[test]
fn lost_while_looking_up_is_as_if_never_given() {
    let (broker, connection) = broker();
    let mut member = looking_up(&broker, &connection, seconds(6));
    broker.fail_next(Request::Heartbeat, &[BrokerError::UnknownMember; 3]);
    member.poll_for(seconds(3));
    assert!(nothing_told(&member), "{:?}", member.events);
    broker.fail_no_more(Request::Heartbeat);
    broker.fail_no_more(Request::OffsetFetch);
    assert_eq!(member.assignments(2), told(), "once");
    assert_eq!(revoked(&member.events), None);
    assert_eq!(member.commit_until_taken(&due(1, 1)), [""; 0]);
}

#[test]
fn closing_while_looking_up_waits_for_one_try_at_most_and_keeps_its_bound_when_the_broker_is_away() {
    let (broker, connection) = broker();
    let mut member = looking_up(&broker, &connection, seconds(12));
    let closing = Instant::now();
    member.source.close(2 * PATIENCE);
    assert!(closing.elapsed() < PATIENCE, "close took {:?}", closing.elapsed());
    assert!(nothing_told(&member), "{:?}", member.events);
    broker.fail_no_more(Request::OffsetFetch);
    let mut next = Member::join_for(&connection, seconds(12));
    assert_eq!(next.assignments(2), told());
    next.source.close(PATIENCE);

    let mut member = looking_up(&broker, &connection, seconds(12));
    broker.go_down().unwrap();
    member.poll_for(seconds(1));
    let closing = Instant::now();
    member.source.close(Duration::from_millis(500));
    assert!(closing.elapsed() < seconds(3), "close took {:?}", closing.elapsed());
}

#[test]
fn what_is_owned_already_can_be_committed_while_more_is_looked_up() {
    let (broker, connection) = broker();
    let mut old = Member::join_for(&connection, seconds(12));
    old.assigned(2);
    let mut new = Member::join_for(&connection, seconds(12));
    let started = Instant::now();
    while new.events.iter().flat_map(assigned).count() == 0 {
        assert!(started.elapsed() < PATIENCE, "the new member gets nothing");
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
    old.until("trouble", |events| troubles(events).into_iter().next());
    assert_eq!(old.commit_until_taken(&due(1 - moved, 1)), [""; 0]);
    assert_eq!(old.events.iter().flat_map(assigned).count(), 0);
    broker.fail_no_more(Request::OffsetFetch);
    assert_eq!(old.assigned(1), [jobs(moved)]);
}

#[test]
fn reading_goes_on_behind_the_commit_and_from_the_beginning_where_there_is_none() {
    let (_broker, connection) = broker();
    let mut member = Member::join(&connection);
    assert_eq!(member.assignments(2), told());
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
fn a_note_that_the_broker_does_not_keep_is_a_commit_refused() {
    let (broker, connection) = broker();
    let mut member = Member::join(&connection);
    member.assigned(2);
    broker.fail_next(Request::OffsetCommit, &[BrokerError::NoteTooLarge]);
    let errors = member.commit_until_taken(&with_note());
    assert!(errors.len() == 1 && errors[0].contains("too large"), "{errors:?}");
}
