//! Outcomes and offsets in one transaction: committed, aborted, waited for, out for good.
//!
//! The embedded broker speaks the protocol of transactions, and no more: it shows what was aborted, keeps no offsets that
//! were committed in a transaction, and fences nobody. What readers see is tested against a real one.

use std::time::{Duration, Instant};

use crate::support::*;
use crate::transactor::*;
use stt_core::{Source, Transact, Transacted};
use stt_kafka::{BrokerError, ClientError, Connection, EmbeddedBroker, KafkaTransact, Request, TransactConfig};

const TOPICS: [(&str, i32); 3] = [("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)];

fn broker() -> (EmbeddedBroker, Connection) {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    (broker, connection)
}

#[test]
fn bad_names_and_properties_make_no_producer() {
    let (_broker, mut connection) = broker();
    let member = Member::join(&connection);
    let membership = member.source.membership().unwrap();
    let error = |connection: &Connection, config| {
        let made = KafkaTransact::new(connection, config, membership.clone());
        made.map(|_| ()).unwrap_err()
    };
    let text = error(&connection, TransactConfig::new("")).to_string();
    assert!(text.contains("transactional id must not be empty"), "{text}");
    let too_short = TransactConfig {
        timeout: Duration::from_millis(10),
        ..config()
    };
    let text = error(&connection, too_short).to_string();
    assert!(text.contains("transaction.timeout.ms"), "{text}");
    connection
        .properties
        .insert("transactional.id".to_owned(), "mine".to_owned());
    assert!(matches!(error(&connection, config()), ClientError::Properties(_)));
}

#[test]
fn what_is_too_large_is_for_good_and_the_others_may_go_again() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let large = vec![b'x'; 2_000_000];
    let all = |dead_letter: &[u8]| {
        vec![
            completed(1, "one"),
            failed(ticket(2), dead_letter),
            completed(3, "three"),
        ]
    };
    let (each, failure) = aborted(worker.run(all(&large), &[due(0, 4)]));
    assert_eq!(each, [(1, AGAIN), (2, TOO_LARGE), (3, AGAIN)]);
    let text = "2000003 bytes are more than kafka takes as a record of stt.jobs.dlq";
    assert_eq!((kind(&failure), failure.story().as_str()), (TOO_LARGE, text));
    assert_eq!(texts(&connection, "stt.results"), [""; 0], "nothing was sent");

    // The broker's own limit may be lower, and is met by one of them only.
    broker.fail_next(Request::Produce, &[BrokerError::MessageTooLarge]);
    let (each, _) = aborted(worker.run(all(b"dead"), &[due(0, 4)]));
    let large: Vec<_> = each.iter().filter(|(_, kind)| *kind == TOO_LARGE).collect();
    assert_eq!((each.len(), large.len()), (3, 1), "{each:?}");
    // librdkafka aborts once more: it needs a new epoch, as a sequence number is missing.
    worker.run_until_committed(|| all(b"dead"), &[due(0, 4)]);
}

#[test]
fn without_its_topic_an_outcome_has_to_wait_until_it_is_there() {
    let broker = EmbeddedBroker::start(&TOPICS[..2]).unwrap();
    let mut worker = Worker::new(&connection(&broker));
    let all = || vec![completed(1, "one"), failed(ticket(2), b"dead")];
    for _ in 0..2 {
        let (each, failure) = aborted(worker.run(all(), &[due(0, 3)]));
        assert_eq!(each, [(1, AGAIN), (2, HELD)]);
        let text = "topic stt.jobs.dlq does not exist, or this user may not see it";
        assert_eq!((kind(&failure), failure.story().as_str()), (HELD, text));
    }
    broker.create_topic("stt.jobs.dlq", 1).unwrap();
    let started = Instant::now();
    while matches!(worker.run(all(), &[due(0, 3)]), Transacted::Aborted { .. }) {
        assert!(started.elapsed() < PATIENCE, "the topic is not found");
    }
}

#[test]
fn what_this_user_may_not_do_has_to_wait() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let one = || vec![completed(1, "one")];
    broker.fail_next(Request::AddPartitions, &[BrokerError::TopicUnauthorized]);
    let (each, failure) = aborted(worker.run(one(), &[due(0, 2)]));
    assert_eq!(each, [(1, HELD)], "{failure}");
    assert_eq!(
        failure.story(),
        "this user may not write to all of the topics stt.results"
    );

    broker.fail_next(Request::AddOffsets, &[BrokerError::GroupUnauthorized]);
    let (each, failure) = aborted(worker.run(one(), &[due(0, 2)]));
    assert_eq!(each, [(1, HELD)], "{failure}");
    assert_eq!(
        failure.story(),
        "this user may not commit for the workers' group in a transaction"
    );

    broker.fail_next(Request::Produce, &[BrokerError::TopicUnauthorized]);
    let (each, failure) = aborted(worker.run(one(), &[due(0, 2)]));
    assert_eq!(each, [(1, HELD)], "{failure}");
    assert_eq!(failure.story(), "this user may not write to topic stt.results");
    worker.run_until_committed(one, &[due(0, 2)]);
}

#[test]
fn a_group_that_moved_on_aborts_and_everything_may_go_again() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let both = || vec![completed(1, "one"), completed(2, "two")];
    for error in [
        BrokerError::IllegalGeneration,
        BrokerError::UnknownMember,
        BrokerError::RebalanceInProgress,
    ] {
        broker.fail_next(Request::TxnOffsetCommit, &[error]);
        let (each, failure) = aborted(worker.run(both(), &[due(0, 3)]));
        assert_eq!(each, [(1, AGAIN), (2, AGAIN)], "{failure}");
        assert!(
            failure.story().starts_with("the transaction was aborted: "),
            "{failure}"
        );
    }
    assert_eq!(offsets(worker.run(both(), &[due(0, 3)])), [1, 2]);
}

#[test]
fn for_a_partition_that_is_not_owned_and_after_closing_nothing_is_even_sent() {
    let (_broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let (each, failure) = aborted(worker.run(vec![completed(1, "one")], &[due(0, 2), due(7, 1)]));
    assert_eq!(each, [(1, AGAIN)]);
    assert!(
        failure.story().contains("stt.jobs[7] is not this worker's"),
        "{failure}"
    );
    worker.member.source.close(PATIENCE);
    worker.begin(vec![completed(1, "one")], &[due(0, 2)]);
    let started = Instant::now();
    let ended = loop {
        assert!(started.elapsed() < PATIENCE, "the transaction does not end");
        if let Some(ended) = worker.transact.ended() {
            break ended;
        }
    };
    let (each, failure) = aborted(ended);
    assert_eq!(each, [(1, AGAIN)]);
    assert!(failure.story().contains("the source was closed"), "{failure}");
    assert_eq!(texts(&connection, "stt.results"), [""; 0]);
}

#[test]
fn made_and_begun_before_there_is_a_broker_it_commits_when_there_is_one() {
    let (broker, connection) = broker();
    let mut member = Member::join_for(&connection, seconds(60));
    member.assigned(1);
    broker.go_down().unwrap();
    let membership = member.source.membership().unwrap();
    let making = Instant::now();
    let transact = KafkaTransact::new(&connection, config(), membership).unwrap();
    let mut worker = Worker { member, transact };
    worker.begin(vec![completed(1, "one")], &[due(0, 2)]);
    assert!(making.elapsed() < seconds(2), "it took {:?}", making.elapsed());
    worker.member.poll_for(seconds(3));
    assert!(worker.transact.ended().is_none());
    broker.come_back().unwrap();
    assert_eq!(offsets(worker.end()), [1]);
}

#[test]
fn an_outage_ends_in_a_commit_or_in_an_abort_that_may_go_again() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    assert_eq!(offsets(worker.run(vec![completed(1, "one")], &[due(0, 2)])), [1]);
    broker.go_down().unwrap();
    worker.begin(vec![completed(2, "two")], &[due(0, 3)]);
    worker.member.poll_for(seconds(2));
    broker.come_back().unwrap();
    match worker.end() {
        Transacted::Committed { .. } => {}
        ended @ Transacted::Aborted { .. } => {
            assert_eq!(aborted(ended).0, [(2, AGAIN)]);
            worker.run_until_committed(|| vec![completed(2, "two")], &[]);
        }
    }
}

#[test]
fn a_commit_is_asked_for_until_the_broker_says_what_became_of_it() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let errors = [
        BrokerError::CoordinatorNotAvailable,
        BrokerError::Disconnect,
        BrokerError::CoordinatorLoading,
        BrokerError::Disconnect,
    ];
    for request in [
        Request::AddPartitions,
        Request::AddOffsets,
        Request::TxnOffsetCommit,
        Request::EndTxn,
    ] {
        broker.fail_next(request, &errors);
        let ended = worker.run(vec![completed(1, "one")], &[due(0, 2)]);
        assert_eq!(offsets(ended), [1], "{request:?}");
    }
}

#[test]
fn an_abort_is_asked_for_until_it_is_made() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    broker.fail_next(Request::TxnOffsetCommit, &[BrokerError::IllegalGeneration]);
    broker.fail_next(
        Request::EndTxn,
        &[
            BrokerError::CoordinatorNotAvailable,
            BrokerError::Disconnect,
            BrokerError::GroupUnauthorized, // means nothing here, and librdkafka has no rule for it
        ],
    );
    let (each, _) = aborted(worker.run(vec![completed(1, "one")], &[due(0, 2)]));
    assert_eq!(each, [(1, AGAIN)]);
    assert_eq!(offsets(worker.run(vec![completed(1, "one")], &[due(0, 2)])), [1]);
}

/// As after an outage that began before the broker had heard of the transaction.
#[test]
fn a_transaction_that_the_broker_does_not_know_is_aborted_by_a_new_producer() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    broker.fail_next(Request::TxnOffsetCommit, &[BrokerError::IllegalGeneration]);
    broker.fail_next(Request::EndTxn, &[BrokerError::InvalidTransaction]);
    broker.fail_next(Request::InitProducer, &[BrokerError::CoordinatorNotAvailable]);
    let (each, failure) = aborted(worker.run(vec![completed(1, "one")], &[due(0, 2)]));
    assert_eq!(each, [(1, AGAIN)], "{failure}");
    assert_eq!(offsets(worker.run(vec![completed(1, "one")], &[due(0, 2)])), [1]);

    // Of a commit it may mean that it was made.
    broker.fail_next(Request::EndTxn, &[BrokerError::InvalidTransaction]);
    let (each, _) = aborted(worker.run(vec![completed(2, "two")], &[due(0, 3)]));
    assert_eq!(each, [(2, DEAD)]);
}

#[test]
fn fenced_or_not_allowed_to_transact_at_all_is_the_end_of_it() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    broker.fail_next(Request::EndTxn, &[BrokerError::ProducerFenced]);
    for _ in 0..2 {
        let (each, failure) = aborted(worker.run(vec![completed(1, "one"), completed(2, "two")], &[due(0, 3)]));
        assert_eq!((each, kind(&failure)), (vec![(1, DEAD), (2, DEAD)], DEAD), "{failure}");
        assert!(failure.story().starts_with("the kafka producer ended: "), "{failure}");
    }
    broker.fail_next(Request::InitProducer, &[BrokerError::TransactionalIdUnauthorized; 3]);
    let membership = worker.member.source.membership().unwrap();
    worker.transact = KafkaTransact::new(&connection, config(), membership).unwrap();
    let (each, failure) = aborted(worker.run(vec![completed(1, "one")], &[due(0, 2)]));
    assert_eq!((each, kind(&failure)), (vec![(1, DEAD)], DEAD));
    assert!(failure.story().contains("uthoriz"), "{failure}");
}

#[test]
fn dropping_keeps_its_bound_with_the_broker_away_and_a_transaction_open() {
    let (broker, connection) = broker();
    let mut config = config();
    config.publish.flush_wait = Duration::from_millis(500);
    let mut worker = Worker::with(&connection, config);
    broker.go_down().unwrap();
    worker.begin(vec![completed(1, "one")], &[due(0, 2)]);
    worker.member.poll_for(seconds(1));
    let dropping = Instant::now();
    drop(worker.transact);
    assert!(dropping.elapsed() < seconds(5), "it took {:?}", dropping.elapsed());
}

#[test]
fn outcomes_are_written_in_full_and_proofs_come_in_their_order() {
    let (_broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let outcomes = vec![
        completed(7, "s"),
        failed(ticket(3), b"dead"),
        completed(5, "longest of all"),
    ];
    let both = [due(0, 4)];
    worker.begin(outcomes, &both);
    let ended = worker.end();
    assert!(matches!(&ended, Transacted::Committed { due, .. } if *due == both));
    assert_eq!(offsets(ended), [7, 3, 5]);
    assert!(worker.transact.ended().is_none(), "it ends once");
    let mut results = texts(&connection, "stt.results");
    results.sort_unstable();
    assert_eq!(results, ["failed", "longest of all", "s"]);
    assert_eq!(texts(&connection, "stt.jobs.dlq"), ["dead"]);

    assert_eq!(offsets(worker.run(vec![], &[due(0, 5)])), [0; 0], "commits alone");
    assert_eq!(
        offsets(worker.run(vec![completed(9, "alone")], &[])),
        [9],
        "outcomes alone"
    );
    assert_eq!(offsets(worker.run(vec![], &[])), [0; 0]);
}
