//! Outcomes and offsets in one transaction: committed, aborted, waiting, fenced.
//!
//! The embedded broker speaks the protocol of transactions, and no more: it shows aborted records, keeps no offsets that
//! were committed in a transaction, and fences no producer. What readers see is tested against a real one.

use std::time::{Duration, Instant};

use crate::support::*;
use crate::worker::*;
use stt_core::{Sink, Source};
use stt_kafka::{
    BrokerError, ClientError, Connection, EmbeddedBroker, KafkaTransactionSink, Request, TransactionConfig,
};

const TOPICS: [(&str, i32); 3] = [("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)];

fn broker() -> (EmbeddedBroker, Connection) {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    (broker, connection)
}

#[test]
fn bad_names_and_properties_are_refused() {
    let (_broker, mut connection) = broker();
    let member = Member::join(&connection);
    let membership = member.source.membership().unwrap();
    let error = |connection: &Connection, config| {
        let made = KafkaTransactionSink::new(connection, config, membership.clone());
        made.map(|_| ()).unwrap_err()
    };
    let text = error(&connection, TransactionConfig::new("")).to_string();
    assert!(text.contains("transactional id must not be empty"), "{text}");
    let too_short = TransactionConfig {
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
fn too_large_is_permanent_and_the_others_go_again() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let large = vec![b'x'; 2_000_000];
    let all = |dead_letter: &[u8]| vec![completed(1, "one"), failed(2, dead_letter), completed(3, "three")];
    let (each, failure) = aborted(worker.run(all(&large), &[commit(0, 4)]));
    assert_eq!(each, [(1, AGAIN), (2, TOO_LARGE), (3, AGAIN)]);
    let text = "2000005 bytes are more than Kafka takes as a record of stt.jobs.dlq";
    assert_eq!((kind(&failure), failure.error_chain().as_str()), (TOO_LARGE, text));
    assert_eq!(texts(&connection, "stt.results"), [""; 0], "nothing was sent");

    // The broker refuses a whole request. The next transaction sends the records one by one, and finds the one it is about.
    broker.fail_next(Request::Produce, &[BrokerError::MessageTooLarge]);
    let three = || vec![completed(1, "one"), completed(2, "two"), completed(3, "three")];
    let (each, failure) = aborted(worker.run(three(), &[commit(0, 4)]));
    assert_eq!(each, [(1, AGAIN), (2, AGAIN), (3, AGAIN)], "{failure}");
    broker.fail_next(Request::Produce, &[BrokerError::MessageTooLarge]);
    let (each, _) = aborted(worker.run(three(), &[commit(0, 4)]));
    let large: Vec<_> = each.iter().filter(|(_, kind)| *kind == TOO_LARGE).collect();
    assert_eq!((each.len(), large.len()), (3, 1), "{each:?}");
    // librdkafka aborts once more: it needs a new epoch, as a sequence number is missing.
    worker.run_until_committed(|| all(b"dead"), &[commit(0, 4)]);
}

#[test]
fn a_missing_topic_makes_its_outcome_wait() {
    let broker = EmbeddedBroker::start(&TOPICS[..2]).unwrap();
    let mut worker = Worker::new(&connection(&broker));
    let all = || vec![completed(1, "one"), failed(2, b"dead")];
    for _ in 0..2 {
        let (each, failure) = aborted(worker.run(all(), &[commit(0, 3)]));
        assert_eq!(each, [(1, AGAIN), (2, LATER)]);
        let text = "topic stt.jobs.dlq does not exist or this user may not see it";
        assert_eq!((kind(&failure), failure.error_chain().as_str()), (LATER, text));
    }
    broker.create_topic("stt.jobs.dlq", 1).unwrap();
    let started = Instant::now();
    while worker.run(all(), &[commit(0, 3)]).failure.is_some() {
        assert!(started.elapsed() < PATIENCE, "the topic is not found");
    }
}

#[test]
fn missing_rights_make_outcomes_wait() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let one = || vec![completed(1, "one")];
    broker.fail_next(Request::AddPartitions, &[BrokerError::TopicUnauthorized]);
    let (each, failure) = aborted(worker.run(one(), &[commit(0, 2)]));
    assert_eq!(each, [(1, LATER)], "{failure}");
    assert_eq!(
        failure.error_chain(),
        "this user may not write to all of the topics stt.results"
    );

    broker.fail_next(Request::AddOffsets, &[BrokerError::GroupUnauthorized]);
    let (each, failure) = aborted(worker.run(one(), &[commit(0, 2)]));
    assert_eq!(each, [(1, LATER)], "{failure}");
    assert_eq!(
        failure.error_chain(),
        "this user may not commit for the workers' group in a transaction"
    );

    broker.fail_next(Request::Produce, &[BrokerError::TopicUnauthorized]);
    let (each, failure) = aborted(worker.run(one(), &[commit(0, 2)]));
    assert_eq!(each, [(1, LATER)], "{failure}");
    assert_eq!(failure.error_chain(), "this user may not write to topic stt.results");
    worker.run_until_committed(one, &[commit(0, 2)]);
}

#[test]
fn a_group_that_rebalanced_aborts_the_transaction() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let both = || vec![completed(1, "one"), completed(2, "two")];
    for error in [
        BrokerError::IllegalGeneration,
        BrokerError::UnknownMember,
        BrokerError::RebalanceInProgress,
    ] {
        broker.fail_next(Request::TxnOffsetCommit, &[error]);
        let (each, failure) = aborted(worker.run(both(), &[commit(0, 3)]));
        assert_eq!(each, [(1, AGAIN), (2, AGAIN)], "{failure}");
        assert!(
            failure.error_chain().starts_with("the transaction was aborted: "),
            "{failure}"
        );
    }
    assert_eq!(committed_jobs(worker.run(both(), &[commit(0, 3)])), [1, 2]);
}

#[test]
fn commits_of_partitions_not_owned_are_not_sent() {
    let (_broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let (each, failure) = aborted(worker.run(vec![completed(1, "one")], &[commit(0, 2), commit(7, 1)]));
    assert_eq!(each, [(1, AGAIN)]);
    assert!(failure.error_chain().contains("stt.jobs[7] is not owned"), "{failure}");
    worker.member.source.close(PATIENCE);
    worker.send(vec![completed(1, "one")], &[commit(0, 2)]);
    let started = Instant::now();
    let ended = loop {
        assert!(started.elapsed() < PATIENCE, "the transaction does not end");
        if let Some(ended) = worker.sink.poll() {
            break ended;
        }
    };
    let (each, failure) = aborted(ended);
    assert_eq!(each, [(1, AGAIN)]);
    assert!(failure.error_chain().contains("the source was closed"), "{failure}");
    assert_eq!(texts(&connection, "stt.results"), [""; 0]);
}

#[test]
fn sent_before_there_is_a_broker_it_commits_later() {
    let (broker, connection) = broker();
    let mut member = Member::join_for(&connection, seconds(60));
    member.assigned(1);
    broker.go_down().unwrap();
    let membership = member.source.membership().unwrap();
    let making = Instant::now();
    let sink = KafkaTransactionSink::new(&connection, config(), membership).unwrap();
    let mut worker = Worker { member, sink };
    worker.send(vec![completed(1, "one")], &[commit(0, 2)]);
    assert!(making.elapsed() < seconds(2), "it took {:?}", making.elapsed());
    worker.member.poll_for(seconds(3));
    assert!(worker.sink.poll().is_none());
    broker.come_back().unwrap();
    assert_eq!(committed_jobs(worker.result()), [1]);
}

#[test]
fn an_outage_ends_in_a_commit_or_an_abort() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    assert_eq!(
        committed_jobs(worker.run(vec![completed(1, "one")], &[commit(0, 2)])),
        [1]
    );
    broker.go_down().unwrap();
    worker.send(vec![completed(2, "two")], &[commit(0, 3)]);
    worker.member.poll_for(seconds(2));
    broker.come_back().unwrap();
    let result = worker.result();
    if result.failure.is_some() {
        assert_eq!(aborted(result).0, [(2, AGAIN)]);
        worker.run_until_committed(|| vec![completed(2, "two")], &[]);
    }
}

#[test]
fn a_commit_is_requested_until_it_is_answered() {
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
        let ended = worker.run(vec![completed(1, "one")], &[commit(0, 2)]);
        assert_eq!(committed_jobs(ended), [1], "{request:?}");
    }
}

#[test]
fn an_abort_is_requested_until_it_is_made() {
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
    let (each, _) = aborted(worker.run(vec![completed(1, "one")], &[commit(0, 2)]));
    assert_eq!(each, [(1, AGAIN)]);
    assert_eq!(
        committed_jobs(worker.run(vec![completed(1, "one")], &[commit(0, 2)])),
        [1]
    );
}

/// As after an outage that began before the broker had heard of the transaction.
#[test]
fn an_unknown_transaction_is_aborted_by_a_new_producer() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    broker.fail_next(Request::TxnOffsetCommit, &[BrokerError::IllegalGeneration]);
    broker.fail_next(Request::EndTxn, &[BrokerError::InvalidTransaction]);
    broker.fail_next(Request::InitProducer, &[BrokerError::CoordinatorNotAvailable]);
    let (each, failure) = aborted(worker.run(vec![completed(1, "one")], &[commit(0, 2)]));
    assert_eq!(each, [(1, AGAIN)], "{failure}");
    assert_eq!(
        committed_jobs(worker.run(vec![completed(1, "one")], &[commit(0, 2)])),
        [1]
    );

    // Of a commit it may mean that it was made.
    broker.fail_next(Request::EndTxn, &[BrokerError::InvalidTransaction]);
    let (each, _) = aborted(worker.run(vec![completed(2, "two")], &[commit(0, 3)]));
    assert_eq!(each, [(2, FATAL)]);
}

#[test]
fn a_fenced_or_forbidden_producer_fails_for_good() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    broker.fail_next(Request::EndTxn, &[BrokerError::ProducerFenced]);
    for _ in 0..2 {
        let (each, failure) = aborted(worker.run(vec![completed(1, "one"), completed(2, "two")], &[commit(0, 3)]));
        assert_eq!(
            (each, kind(&failure)),
            (vec![(1, FATAL), (2, FATAL)], FATAL),
            "{failure}"
        );
        assert!(
            failure
                .error_chain()
                .starts_with("the Kafka producer failed for good: "),
            "{failure}"
        );
    }
    broker.fail_next(Request::InitProducer, &[BrokerError::TransactionalIdUnauthorized; 3]);
    let membership = worker.member.source.membership().unwrap();
    worker.sink = KafkaTransactionSink::new(&connection, config(), membership).unwrap();
    let (each, failure) = aborted(worker.run(vec![completed(1, "one")], &[commit(0, 2)]));
    assert_eq!((each, kind(&failure)), (vec![(1, FATAL)], FATAL));
    assert!(failure.error_chain().contains("uthoriz"), "{failure}");
}

#[test]
fn closing_during_an_outage_keeps_its_bound() {
    let (broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    broker.go_down().unwrap();
    worker.send(vec![completed(1, "one")], &[commit(0, 2)]);
    worker.member.poll_for(seconds(1));
    let closing = Instant::now();
    worker.sink.close(Duration::from_millis(500));
    drop(worker.sink);
    assert!(closing.elapsed() < seconds(3), "it took {:?}", closing.elapsed());
}

#[test]
fn every_record_is_written_and_results_keep_their_order() {
    let (_broker, connection) = broker();
    let mut worker = Worker::new(&connection);
    let outcomes = vec![completed(7, "s"), failed(3, b"dead"), completed(5, "longest of all")];
    let both = [commit(0, 4)];
    worker.send(outcomes, &both);
    let result = worker.result();
    assert_eq!(result.commits, both);
    assert_eq!(committed_jobs(result), [7, 3, 5]);
    assert!(worker.sink.poll().is_none(), "one result");
    let mut results = texts(&connection, "stt.results");
    results.sort_unstable();
    assert_eq!(results, ["failed", "longest of all", "s"]);
    assert_eq!(texts(&connection, "stt.jobs.dlq"), ["dead"]);

    assert_eq!(
        committed_jobs(worker.run(vec![], &[commit(0, 5)])),
        [0; 0],
        "commits alone"
    );
    assert_eq!(
        committed_jobs(worker.run(vec![completed(9, "alone")], &[])),
        [9],
        "outcomes alone"
    );
    assert_eq!(committed_jobs(worker.run(vec![], &[])), [0; 0]);
}
