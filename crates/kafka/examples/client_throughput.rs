//! Measures source and sinks alone, without jobs: `cargo run --release -p stt-kafka --example throughput [embedded]`.
//!
//! Against an Apache Kafka on this machine (needs Java and Maven), or the embedded broker.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use stt_core::{
    Batch, BatchId, Commit, CommittedOffset, Destination, JobId, Outcome, OutcomeKind, OutcomeRecord, Partition, Sink,
    Source, SourceEvent,
};
use stt_kafka::{
    Connection, EmbeddedBroker, KafkaSink, KafkaSource, KafkaTransactionSink, SinkConfig, SourceConfig,
    TransactionConfig,
};
use stt_testkit::apache::{Cluster, Config};

const TOPICS: [&str; 3] = ["stt.jobs", "stt.results", "stt.jobs.dlq"];

fn main() {
    let is_embedded = std::env::args().nth(1).is_some_and(|broker| broker == "embedded");
    if is_embedded {
        let broker = EmbeddedBroker::start(&TOPICS.map(|topic| (topic, 4))).unwrap();
        return measure(&Connection::new(broker.bootstrap_servers()), false);
    }
    let mut cluster = Cluster::start(&Config::default()).unwrap();
    for topic in TOPICS {
        cluster.create_topic(topic, 4, &[]).unwrap();
    }
    measure(&Connection::new(cluster.bootstrap_servers()), true);
}

fn measure(connection: &Connection, transactions: bool) {
    let mut jobs = 0;
    for in_flight in [1, 4, 64, 1_000] {
        let mut sink = KafkaSink::new(connection, SinkConfig::default()).unwrap();
        let count = if in_flight == 1 { 1_000 } else { 10_000 };
        publish(&mut sink, 0, 10, 1); // connects
        let rate = publish(&mut sink, 10, count, in_flight);
        jobs += count + 10;
        println!("sink, {in_flight} outcomes in flight: {rate:.0}/s");
        sink.close(Duration::from_secs(10));
    }
    for burst in [usize::MAX, 64, 5] {
        let config = SourceConfig {
            group_id: format!("burst-{burst}"),
            ..SourceConfig::default()
        };
        let mut source = KafkaSource::new(connection, config).unwrap();
        let rate = read(&mut source, jobs as usize, burst);
        println!("source, paused and resumed every {burst} records: {rate:.0}/s");
        source.close(Duration::from_secs(10));
    }
    if transactions {
        for outcomes in [1, 16, 64] {
            let rate = transact(connection, outcomes);
            println!("transactions of {outcomes} outcomes and a commit: {rate:.0} outcomes/s");
        }
    }
}

fn outcome(job: u64, destination: Destination) -> Outcome {
    Outcome {
        job: JobId(job),
        kind: OutcomeKind::Completed,
        records: vec![OutcomeRecord {
            destination,
            key: format!("job-{job}").into_bytes(),
            payload: format!("{:>300}", job).into_bytes(),
            headers: vec![],
            acknowledged: false,
        }],
    }
}

fn publish(sink: &mut KafkaSink, first: u64, count: u64, in_flight: u64) -> f64 {
    let began = Instant::now();
    let (wake, woken) = std::sync::mpsc::channel();
    let wake = std::sync::Mutex::new(wake);
    sink.set_waker(std::sync::Arc::new(move || {
        wake.lock().unwrap().send(()).ok();
    }));
    let (mut sent, mut done) = (0, 0);
    while done < count {
        while sent < count && sent - done < in_flight {
            let job = first + sent;
            let outcomes = vec![outcome(job, Destination::Retries)];
            sink.send(Batch {
                id: BatchId(job),
                outcomes,
                commits: vec![],
            });
            sent += 1;
        }
        woken.recv_timeout(Duration::from_secs(1)).ok();
        while let Some(result) = sink.poll() {
            assert!(result.outcomes[0].result.is_ok(), "{result:?}");
            done += 1;
        }
    }
    count as f64 / began.elapsed().as_secs_f64()
}

fn read(source: &mut KafkaSource, count: usize, burst: usize) -> f64 {
    let mut partitions: Vec<Partition> = vec![];
    let (mut began, mut delivered) = (Instant::now(), 0);
    while delivered < count {
        match source.poll(Duration::from_millis(100)).unwrap() {
            SourceEvent::Assigned(assignments) => {
                partitions.extend(assignments.into_iter().map(|assignment| assignment.partition));
            }
            SourceEvent::Delivered(_) => {
                if delivered == 0 {
                    began = Instant::now();
                }
                delivered += 1;
                if delivered % burst == 0 {
                    source.pause(&partitions);
                    while !matches!(source.poll(Duration::ZERO).unwrap(), SourceEvent::Idle) {}
                    source.resume(&partitions);
                }
            }
            _ => {}
        }
    }
    delivered as f64 / began.elapsed().as_secs_f64()
}

fn transact(connection: &Connection, outcomes: u64) -> f64 {
    let config = SourceConfig {
        group_id: format!("transactions-{outcomes}"),
        ..SourceConfig::default()
    };
    let mut source = KafkaSource::new(connection, config).unwrap();
    let config = TransactionConfig::new(format!("throughput-{outcomes}"));
    let mut sink = KafkaTransactionSink::new(connection, config, source.membership().unwrap()).unwrap();
    sink.set_waker(source.waker());
    let mut partition = None;
    while partition.is_none() {
        if let SourceEvent::Assigned(assignments) = source.poll(Duration::from_millis(100)).unwrap() {
            partition = assignments.into_iter().next().map(|assignment| assignment.partition);
        }
    }
    let partition = partition.unwrap();
    source.pause(std::slice::from_ref(&partition));
    let (mut began, mut count) = (Instant::now(), 0);
    for number in 0..101 {
        sink.send(Batch {
            id: BatchId(number),
            outcomes: (0..outcomes).map(|job| outcome(job, Destination::Results)).collect(),
            commits: vec![Commit {
                partition: partition.clone(),
                committed: CommittedOffset {
                    next_offset: number as i64,
                    metadata: String::new(),
                },
            }],
        });
        let result = loop {
            source.poll(Duration::from_millis(20)).unwrap();
            if let Some(result) = sink.poll() {
                break result;
            }
        };
        assert!(result.failure.is_none(), "{result:?}");
        if number == 0 {
            began = Instant::now(); // connected
        } else {
            count += outcomes;
        }
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    source.close(Duration::from_secs(10));
    rate
}
