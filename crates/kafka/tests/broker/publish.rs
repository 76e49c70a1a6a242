//! Outcomes to topics: acknowledged, refused, held, cancelled.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::*;
use stt_core::{ErrorCode, Fault, Header, NotPublished, Outcome, OutcomeKind, Publish};
use stt_kafka::{BrokerError, Connection, EmbeddedBroker, Request};

const TOPICS: [(&str, i32); 3] = [("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)];

fn failed() -> Outcome {
    let kind = OutcomeKind::Failed {
        result: b"failed".to_vec(),
        dead_letter: b"dead letter".to_vec(),
        headers: vec![Header {
            key: "attempt".to_owned(),
            value: Some(b"3".to_vec()),
        }],
    };
    Outcome::new(ticket(5), b"job-1".to_vec(), kind)
}

fn refusal(refused: &NotPublished) -> (ErrorCode, Fault) {
    (refused.failure.code, refused.failure.fault)
}

const HELD: (ErrorCode, Fault) = (ErrorCode::PublishFailed, Fault::WorkerLocal);

#[test]
fn cancelling_ends_the_wait_for_a_broker_that_is_not_there_and_dropping_is_bounded() {
    let publisher = publisher(&Connection::new(NOBODY));
    let started = Instant::now();
    let refused = publisher
        .publish(completed(1, "r"), &cancelled_after(Duration::from_millis(300)))
        .unwrap_err();
    assert!(
        (300..1000).contains(&started.elapsed().as_millis()),
        "it took {:?}",
        started.elapsed()
    );
    assert_eq!(
        refusal(&refused),
        (ErrorCode::PublishFailed, Fault::Transient { after: None })
    );
    assert_eq!(refused.outcome, completed(1, "r"), "the outcome comes back");
    let dropping = Instant::now();
    drop(publisher);
    assert!(
        dropping.elapsed() < seconds(3),
        "dropping took {:?}",
        dropping.elapsed()
    );
}

#[test]
fn without_its_topic_an_outcome_is_held_and_what_was_written_of_it_is_not_written_again() {
    let broker = EmbeddedBroker::start(&TOPICS[..2]).unwrap();
    let connection = connection(&broker);
    let publisher = publisher(&connection);
    let mut outcome = failed();
    for _ in 0..2 {
        let refused = publish(&publisher, outcome).unwrap_err();
        assert_eq!(refusal(&refused), HELD);
        let text = refused.failure.story();
        assert_eq!(text, "topic stt.jobs.dlq does not exist, or this user may not see it");
        outcome = refused.outcome;
    }
    broker.create_topic("stt.jobs.dlq", 1).unwrap();
    let started = Instant::now();
    let published = loop {
        assert!(started.elapsed() < PATIENCE, "the new topic is not seen");
        match publish(&publisher, outcome) {
            Ok(published) => break published,
            Err(refused) => outcome = refused.outcome,
        }
    };
    assert_eq!(published, 5);
    assert_eq!(texts(&connection, "stt.results"), ["failed"]);
    let letters = read(&connection, "stt.jobs.dlq");
    assert_eq!(letters.len(), 1);
    let letter = &letters[0].delivery;
    assert_eq!(
        (letter.key.as_deref(), letter.header("attempt")),
        (Some(b"job-1".as_slice()), Some("3"))
    );
}

#[test]
fn too_large_is_for_good_whether_the_client_or_the_broker_says_so_and_nothing_else_is_written() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let publisher = publisher(&connection);
    let too_large = (ErrorCode::ResultTooLarge, Fault::Permanent);

    let kind = OutcomeKind::Failed {
        result: b"small".to_vec(),
        dead_letter: vec![b'x'; 2_000_000],
        headers: vec![],
    };
    let refused = publish(&publisher, Outcome::new(ticket(1), vec![], kind)).unwrap_err();
    assert_eq!(refusal(&refused), too_large);
    let text = refused.failure.story();
    assert_eq!(
        text,
        "2000000 bytes are more than kafka takes as a record of stt.jobs.dlq"
    );

    broker.fail_next(Request::Produce, &[BrokerError::MessageTooLarge]);
    let refused = publish(&publisher, completed(2, "r")).unwrap_err();
    assert_eq!(refusal(&refused), too_large);

    // The replacement goes through, and it is all that there is.
    let replaced = refused
        .outcome
        .replaced(OutcomeKind::Completed { result: b"s".to_vec() });
    publish(&publisher, replaced).unwrap();
    assert_eq!(texts(&connection, "stt.results"), ["s"]);
}

#[test]
fn what_the_broker_will_not_have_is_held_and_what_passes_is_waited_out() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let publisher = publisher(&connection);
    broker.fail_next(Request::Produce, &[BrokerError::TopicUnauthorized]);
    let refused = publish(&publisher, completed(1, "r")).unwrap_err();
    assert_eq!(refusal(&refused), HELD);
    assert_eq!(refused.failure.story(), "this user may not write to topic stt.results");
    broker.fail_next(
        Request::Produce,
        &[BrokerError::NotLeader, BrokerError::TimedOut, BrokerError::Disconnect],
    );
    publish(&publisher, refused.outcome).unwrap();
    assert_eq!(texts(&connection, "stt.results"), ["r"]);
}

#[test]
fn publishing_while_the_broker_is_away_waits_for_it_and_writes_once() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let publisher = publisher(&connection);
    publish(&publisher, completed(1, "before")).unwrap();
    broker.go_down().unwrap();
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let published = publisher.publish(completed(2, "during"), &cancelled_after(PATIENCE));
            let told = published.map(|published| published.offset());
            done.send(told.map_err(|refused| refused.failure.story())).unwrap();
        });
        let meanwhile = waiting.recv_timeout(seconds(2));
        broker.come_back().unwrap();
        assert!(meanwhile.is_err(), "no broker, no answer");
        assert_eq!(waiting.recv_timeout(2 * PATIENCE), Ok(Ok(2)));
    });
    assert_eq!(texts(&connection, "stt.results"), ["before", "during"]);
}

#[test]
fn a_retry_is_the_job_again_with_its_key_and_headers() {
    let broker = EmbeddedBroker::start(&TOPICS).unwrap();
    let connection = connection(&broker);
    let headers = vec![Header {
        key: "attempt".to_owned(),
        value: Some(b"2".to_vec()),
    }];
    let kind = OutcomeKind::Retry {
        payload: b"{job}".to_vec(),
        headers: headers.clone(),
    };
    let outcome = Outcome::new(ticket(1), b"job-1".to_vec(), kind);
    publish(&publisher(&connection), outcome).unwrap();
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
    let publisher = publisher(&connection);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let publisher = &publisher;
            scope.spawn(move || {
                for number in 0..25 {
                    let offset = thread * 25 + number;
                    let published = publish(publisher, completed(offset, offset.to_string())).unwrap();
                    assert_eq!(published, offset);
                }
            });
        }
    });
    let mut numbers: Vec<i64> = texts(&connection, "stt.results")
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<i64>>());
}

/// Kafka's own tests of murmur2 (UtilsTest.testMurmur2): a key must lie where a Java producer would have put it.
#[test]
fn keys_lie_where_java_puts_them() {
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
    let publisher = publisher(&connection);
    for (key, _) in vectors {
        let kind = OutcomeKind::Completed { result: b"r".to_vec() };
        publish(&publisher, Outcome::new(ticket(1), key.as_bytes().to_vec(), kind)).unwrap();
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
