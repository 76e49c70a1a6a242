//! Outcomes to topics: acknowledged, refused, waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::*;
use stt_core::{Destination, Header, JobId, Outcome, OutcomeKind, Sink};
use stt_kafka::{BrokerError, Connection, EmbeddedBroker, Request};

const TOPICS: [(&str, i32); 3] = [("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)];

#[test]
fn without_a_broker_nothing_blocks_and_closing_is_bounded() {
    let mut sink = sink(&Connection::new(NOT_LISTENING));
    send(&mut sink, [completed(1, "r")]);
    pause(Duration::from_millis(300));
    assert!(sink.poll().is_none());
    let closing = Instant::now();
    sink.close(Duration::from_millis(500));
    assert!(sink.poll().is_none(), "in doubt, so not reported");
    drop(sink);
    assert!(closing.elapsed() < seconds(3), "closing took {:?}", closing.elapsed());
}

#[test]
fn after_closing_outcomes_may_be_sent_elsewhere() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let mut sink = sink(&connection(&broker));
    send(&mut sink, [completed(1, "before")]);
    sink.close(seconds(10));
    let result = next_result(&mut sink);
    assert!(result.outcomes[0].result.is_ok(), "closing waited for it: {result:?}");
    let (_, failure) = publish(&mut sink, completed(2, "after"));
    assert_eq!(failure.map(|failure| kind(&failure)), Some(AGAIN));
}

#[test]
fn a_missing_topic_holds_up_only_its_own_outcome() {
    let broker = EmbeddedBroker::start(&TOPICS[..2]).unwrap();
    let connection = connection(&broker);
    let mut sink = sink(&connection);
    let mut outcome = failed(1, b"dead letter");
    outcome.records[1].headers = vec![Header {
        key: "attempt".to_owned(),
        value: Some(b"3".to_vec()),
    }];
    for round in 0..2 {
        let other = 10 + round;
        send(&mut sink, [outcome, completed(other, other.to_string())]);
        // The first time the client waits for the topic, and the other must not; later it knows that the topic is missing.
        let (first, second) = (next_result(&mut sink), next_result(&mut sink));
        let is_other = first.outcomes[0].outcome.job == JobId(other);
        assert!(is_other || round > 0, "after the one that waits");
        let (published, mut refused) = if is_other { (first, second) } else { (second, first) };
        assert_eq!(published.outcomes[0].outcome.job, JobId(other));
        assert!(published.outcomes[0].result.is_ok(), "{published:?}");
        let refused = refused.outcomes.remove(0);
        let failure = refused.result.unwrap_err();
        assert_eq!(kind(&failure), LATER);
        let text = failure.error_chain();
        assert_eq!(text, "topic stt.jobs.dlq does not exist or this user may not see it");
        let acknowledged: Vec<bool> = refused
            .outcome
            .records
            .iter()
            .map(|record| record.acknowledged)
            .collect();
        assert_eq!(acknowledged, [true, false]);
        outcome = refused.outcome;
    }
    broker.create_topic("stt.jobs.dlq", 1).unwrap();
    publish_until_accepted(&mut sink, outcome);
    assert_eq!(texts(&connection, "stt.results"), ["failed", "10", "11"], "once");
    let letters = read(&connection, "stt.jobs.dlq");
    assert_eq!(letters.len(), 1);
    let letter = &letters[0].delivery;
    assert_eq!(
        (letter.key.as_deref(), letter.header("attempt")),
        (Some(b"job-1".as_slice()), Some("3"))
    );
}

#[test]
fn too_large_is_permanent_and_writes_nothing_of_the_outcome() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let mut sink = sink(&connection);
    let (outcome, failure) = publish(&mut sink, failed(1, &vec![b'x'; 2_000_000]));
    let failure = failure.unwrap();
    assert_eq!(kind(&failure), TOO_LARGE);
    let text = failure.error_chain();
    assert_eq!(
        text,
        "2000005 bytes are more than Kafka takes as a record of stt.jobs.dlq"
    );
    assert!(outcome.records.iter().all(|record| !record.acknowledged));
    assert_eq!(texts(&connection, "stt.results"), [""; 0]);

    // By the broker: once for the request, and once for the record alone.
    broker.fail_next(Request::Produce, &[BrokerError::MessageTooLarge; 2]);
    let (_, failure) = publish(&mut sink, completed(2, "r"));
    assert_eq!(failure.map(|failure| kind(&failure)), Some(TOO_LARGE));
    let (_, failure) = publish(&mut sink, completed(2, "s"));
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(texts(&connection, "stt.results"), ["s"]);
}

/// The broker's answer is for the whole request.
#[test]
fn records_of_a_refused_request_are_sent_one_by_one() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let mut connection = connection(&broker);
    connection.properties.insert("linger.ms".to_owned(), "200".to_owned());
    let mut sink = sink(&connection);
    broker.fail_next(Request::Produce, &[BrokerError::MessageTooLarge]);
    send(&mut sink, (0..10).map(|job| completed(job, job.to_string())));
    for _ in 0..10 {
        let result = next_result(&mut sink);
        assert!(result.outcomes[0].result.is_ok(), "{result:?}");
    }
    let mut results = texts(&connection, "stt.results");
    results.sort_unstable();
    assert_eq!(results, (0..10).map(|job| job.to_string()).collect::<Vec<_>>());
}

#[test]
fn refusals_that_may_pass_are_for_later_and_transport_errors_are_retried() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let mut sink = sink(&connection);
    broker.fail_next(Request::Produce, &[BrokerError::TopicUnauthorized]);
    let (outcome, failure) = publish(&mut sink, completed(1, "r"));
    let failure = failure.unwrap();
    assert_eq!(kind(&failure), LATER);
    assert_eq!(failure.error_chain(), "this user may not write to topic stt.results");
    broker.fail_next(
        Request::Produce,
        &[BrokerError::NotLeader, BrokerError::TimedOut, BrokerError::Disconnect],
    );
    publish_until_accepted(&mut sink, outcome);
    assert_eq!(texts(&connection, "stt.results"), ["r"]);
}

#[test]
fn an_outage_is_waited_out_and_the_record_written_once() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let mut sink = sink(&connection);
    let (wake, woken) = mpsc::channel();
    let wake = std::sync::Mutex::new(wake);
    sink.set_waker(Arc::new(move || {
        wake.lock().unwrap().send(()).ok();
    }));
    assert!(publish(&mut sink, completed(1, "before")).1.is_none());
    while woken.try_recv().is_ok() {}
    broker.go_down().unwrap();
    send(&mut sink, [completed(2, "during")]);
    let quiet_until = Instant::now() + seconds(2);
    while Instant::now() < quiet_until {
        // A wake-up may be late, or about something else; a result may not be.
        let _ = woken.recv_timeout(Duration::from_millis(50));
        assert!(sink.poll().is_none(), "no broker, no answer");
    }
    broker.come_back().unwrap();
    woken.recv_timeout(2 * PATIENCE).unwrap();
    assert!(next_result(&mut sink).outcomes[0].result.is_ok());
    assert_eq!(texts(&connection, "stt.results"), ["before", "during"]);
}

#[test]
fn a_retry_goes_to_its_topic_with_key_and_headers() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let headers = vec![Header {
        key: "attempt".to_owned(),
        value: Some(b"2".to_vec()),
    }];
    let mut retry = record(Destination::Retries, b"{job}");
    retry.headers = headers.clone();
    let outcome = Outcome {
        job: JobId(1),
        kind: OutcomeKind::Retry,
        records: vec![retry],
    };
    assert!(publish(&mut sink(&connection), outcome).1.is_none());
    let jobs = read(&connection, "stt.jobs");
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0].delivery;
    assert_eq!(
        (job.key.as_deref(), job.payload.as_deref()),
        (Some(b"job-1".as_slice()), Some(b"{job}".as_slice()))
    );
    assert_eq!(job.headers, headers);
}

#[test]
fn many_at_once_are_all_acknowledged() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let mut sink = sink(&connection);
    send(&mut sink, (0..2_000).map(|job| completed(job, job.to_string())));
    let mut jobs: Vec<u64> = (0..2_000).map(|_| next_result(&mut sink).id.0).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, (0..2_000).collect::<Vec<u64>>());
    assert_eq!(texts(&connection, "stt.results").len(), 2_000);
}

/// Kafka's own tests of murmur2 (UtilsTest.testMurmur2): a key must map to the partition that a Java producer chooses.
#[test]
fn keys_map_to_the_partitions_of_java_producers() {
    let vectors: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let partitions = 100;
    let broker = EmbeddedBroker::start(&[("stt.results", partitions)]).unwrap();
    let connection = connection(&broker);
    let mut sink = sink(&connection);
    for (job, (key, _)) in (0..).zip(vectors) {
        let mut outcome = completed(job, "r");
        outcome.records[0].key = key.as_bytes().to_vec();
        assert!(publish(&mut sink, outcome).1.is_none());
    }
    let found: BTreeMap<String, i32> = read(&connection, "stt.results")
        .into_iter()
        .map(|record| {
            (
                String::from_utf8(record.delivery.key.unwrap()).unwrap(),
                record.delivery.partition.id,
            )
        })
        .collect();
    let java = |hash: i32| (hash & i32::MAX) % partitions;
    assert_eq!(found, vectors.map(|(key, hash)| (key.to_owned(), java(hash))).into());
}
