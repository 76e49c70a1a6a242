//! What the tools use: probing, producing, reading.

use std::time::{Duration, Instant};

use crate::support::*;
use stt_core::{Clock as _, SystemClock};
use stt_kafka::{ClientError, Connection, EmbeddedBroker, JobProducer, ProducerConfig, Start, Tail, TailConfig, probe};

fn impatient(timeout: Duration) -> ProducerConfig {
    ProducerConfig {
        timeout,
        ..ProducerConfig::default()
    }
}

#[test]
fn where_nobody_listens_everyone_says_so_in_time() {
    let connection = Connection::new(NOT_LISTENING);
    let wait = Duration::from_millis(1500);
    let config = TailConfig {
        timeout: wait,
        ..TailConfig::new("stt.results")
    };
    let tries: [(&str, &dyn Fn() -> ClientError); 3] = [
        ("probe", &|| probe(&connection, wait).unwrap_err()),
        ("produce", &|| {
            let producer = JobProducer::new(&connection, &impatient(wait)).unwrap();
            producer.produce("stt.jobs", b"", b"{}", &[]).unwrap_err()
        }),
        ("tail", &|| Tail::open(&connection, &config).map(|_| ()).unwrap_err()),
    ];
    for (name, attempt) in tries {
        let started = Instant::now();
        let text = attempt().to_string();
        assert!(
            started.elapsed() < wait + seconds(3),
            "{name} took {:?}",
            started.elapsed()
        );
        assert!(
            text.starts_with("no answer from kafka at 127.0.0.1:1 within 1.5 s: "),
            "{name}: {text}"
        );
        assert!(text.contains("Connection refused"), "{name}: {text}");
    }
}

#[test]
fn what_is_wrong_with_the_credentials_is_said_and_they_are_not() {
    let broker = EmbeddedBroker::start(&[]).unwrap();
    let mut connection = connection(&broker);
    for (name, value) in [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "worker"),
        ("sasl.password", "hunter2"),
    ] {
        connection.properties.insert(name.to_owned(), value.to_owned());
    }
    let error = probe(&connection, seconds(2)).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("SASL") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_cluster_tells_its_topics_and_which_are_missing() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 3)]).unwrap();
    let cluster = probe(&connection(&broker), seconds(5)).unwrap();
    assert_eq!(cluster.brokers, [broker.bootstrap_servers()]);
    assert_eq!(cluster.topics.get("stt.jobs"), Some(&3));
    assert_eq!(cluster.missing(&["stt.jobs", "stt.results"]), ["stt.results"]);
}

#[test]
fn a_topic_that_is_not_there_is_an_error_unless_it_may_be_made() {
    let broker = EmbeddedBroker::start(&[]).unwrap();
    let connection = connection(&broker);
    let unknown = |error: ClientError| matches!(error, ClientError::UnknownTopic(topic) if topic == "new");
    assert!(unknown(
        producer(&connection).produce("new", b"", b"{}", &[]).unwrap_err()
    ));
    assert!(unknown(
        Tail::open(&connection, &TailConfig::new("new"))
            .map(|_| ())
            .unwrap_err()
    ));
    let config = TailConfig {
        create_topic: true,
        ..TailConfig::new("new")
    };
    let mut tail = Tail::open(&connection, &config).unwrap();
    producer(&connection).produce("new", b"", b"{}", &[]).unwrap();
    assert!(tail.next(seconds(10)).unwrap().is_some());

    let config = ProducerConfig {
        create_topics: true,
        ..ProducerConfig::default()
    };
    let producer = JobProducer::new(&connection, &config).unwrap();
    assert_eq!(producer.produce("newer", b"", b"{}", &[]).unwrap().offset, 0);
}

#[test]
fn a_record_too_large_is_refused_with_its_topic() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    let producer = producer(&connection(&broker));
    let error = producer.produce("stt.jobs", b"", &vec![0; 2_000_000], &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("kafka refused to write to stt.jobs: "),
        "{error}"
    );
    let error = producer.produce("", b"", b"{}", &[]).unwrap_err();
    assert!(error.to_string().contains("must not be empty"), "{error}");
}

#[test]
fn a_tail_tells_what_was_there_at_opening_from_what_came_since() {
    let broker = EmbeddedBroker::start(&[("stt.jobs.dlq", 1)]).unwrap();
    let connection = connection(&broker);
    let producer = producer(&connection);
    producer.produce("stt.jobs.dlq", b"", b"old", &[]).unwrap();
    let config = TailConfig {
        start: Start::Beginning,
        ..TailConfig::new("stt.jobs.dlq")
    };
    let mut tail = Tail::open(&connection, &config).unwrap();
    producer.produce("stt.jobs.dlq", b"", b"new", &[]).unwrap();
    for (payload, is_of_opening) in [(b"old", true), (b"new", false)] {
        let tailed = tail.next(seconds(10)).unwrap().unwrap();
        assert_eq!(tailed.delivery.payload.as_deref(), Some(&payload[..]));
        assert_eq!((tail.is_of_opening(&tailed), tail.at_end()), (is_of_opening, true));
    }
}

#[test]
fn a_tail_from_the_end_sees_what_comes_after_opening_and_nothing_before() {
    let broker = EmbeddedBroker::start(&[("stt.results", 3)]).unwrap();
    let connection = connection(&broker);
    let producer = producer(&connection);
    for number in 0..10 {
        producer
            .produce("stt.results", format!("old-{number}").as_bytes(), b"old", &[])
            .unwrap();
    }
    let mut tail = Tail::open(&connection, &TailConfig::new("stt.results")).unwrap();
    assert!(tail.at_end());
    let placed = producer.produce("stt.results", b"job-1", b"new", &[]).unwrap();
    let tailed = tail
        .next(seconds(10))
        .unwrap()
        .expect("what was produced after opening");
    assert_eq!(tailed.delivery.payload.as_deref(), Some(b"new".as_slice()));
    assert_eq!(
        (tailed.delivery.partition.id, tailed.delivery.offset),
        (placed.partition, placed.offset)
    );
    assert!(tailed.timestamp_ms.is_some());
    let started = Instant::now();
    assert_eq!(tail.next(Duration::from_millis(300)).unwrap(), None);
    assert!(
        (250..1000).contains(&started.elapsed().as_millis()),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_tail_from_the_beginning_knows_when_it_has_seen_everything() {
    let broker = EmbeddedBroker::start(&[("stt.results", 3), ("empty", 2)]).unwrap();
    let connection = connection(&broker);
    let producer = producer(&connection);
    for number in 0..10 {
        producer
            .produce("stt.results", format!("job-{number}").as_bytes(), b"r", &[])
            .unwrap();
    }
    assert_eq!(read(&connection, "stt.results").len(), 10);
    let config = TailConfig {
        start: Start::Beginning,
        ..TailConfig::new("empty")
    };
    assert!(Tail::open(&connection, &config).unwrap().at_end());
}

/// As after a crash, when brokers answer before they have sorted out who leads what.
#[test]
fn a_tail_that_is_opened_before_its_partition_has_a_leader_waits_for_one() {
    let broker = EmbeddedBroker::start(&[("stt.results", 2)]).unwrap();
    let connection = connection(&broker);
    broker.lead("stt.results", 1, false).unwrap();
    let config = TailConfig {
        timeout: seconds(1),
        ..TailConfig::new("stt.results")
    };
    let error = Tail::open(&connection, &config).map(|_| ()).unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");

    let patient = TailConfig {
        timeout: seconds(8),
        ..config
    };
    let opening = std::thread::spawn(move || Tail::open(&connection, &patient).map(|_| ()));
    SystemClock.sleep(seconds(1));
    assert!(!opening.is_finished(), "opened without a leader");
    broker.lead("stt.results", 1, true).unwrap();
    opening.join().unwrap().unwrap();
}

#[test]
fn a_tail_outlives_an_outage() {
    let broker = EmbeddedBroker::start(&[("stt.results", 1)]).unwrap();
    let connection = connection(&broker);
    let mut tail = Tail::open(&connection, &TailConfig::new("stt.results")).unwrap();
    broker.go_down().unwrap();
    assert_eq!(tail.next(seconds(1)).unwrap(), None);
    assert!(tail.last_error().is_some());
    broker.come_back().unwrap();
    producer(&connection).produce("stt.results", b"", b"r", &[]).unwrap();
    assert!(tail.next(PATIENCE).unwrap().is_some());
}

#[test]
fn an_embedded_broker_refuses_what_it_cannot_be() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
    assert!(broker.create_topic("stt.jobs", 1).is_err(), "it is there already");
    assert!(broker.create_topic("none", 0).is_err(), "no partitions");
    assert!(EmbeddedBroker::start(&[("twice", 1), ("twice", 1)]).is_err());
}

#[test]
fn everything_may_move_to_another_thread_and_what_is_shared_may_be() {
    fn moves<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    moves::<stt_kafka::KafkaSource>();
    moves::<Tail>();
    moves::<stt_kafka::KafkaSink>();
    moves::<stt_kafka::KafkaTransactionSink>();
    shared::<JobProducer>();
    shared::<EmbeddedBroker>();
}
