//! Many failing jobs leave nothing behind.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use stt_core::{Clock as _, SystemClock};
use stt_kafka::{Connection, EmbeddedBroker, JobProducer, ProducerConfig, committed_offsets};

use crate::place::{Place, id, job, serve};
use crate::support::Worker;

/// What a process holds.
#[derive(Debug)]
struct Holds {
    threads: u64,
    descriptors: usize,
    memory_kib: u64,
}

impl Holds {
    fn of(worker: &Worker) -> Self {
        let process = format!("/proc/{}", worker.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Self {
            threads: number("Threads:"),
            descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
            memory_kib: number("VmRSS:"),
        }
    }
}

/// Longest time for a part of the jobs.
const PATIENCE: Duration = Duration::from_secs(900);

const PRODUCERS: usize = 16;

fn until_passed(connection: &Connection, count: i64) {
    let began = Instant::now();
    loop {
        let committed = committed_offsets(connection, "stt-worker", "stt.jobs", Duration::from_secs(10)).unwrap();
        let passed: i64 = committed.values().flatten().sum();
        if passed >= count {
            assert_eq!(passed, count);
            return;
        }
        assert!(began.elapsed() < PATIENCE, "only {passed} of {count} passed");
        SystemClock.sleep(Duration::from_millis(200));
    }
}

#[test]
fn ten_thousand_failing_jobs_leave_memory_threads_and_descriptors_flat() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)]).unwrap();
    let connection = Connection::new(broker.bootstrap_servers());
    let place = Place::new();
    let variables = [
        ("LOG_LEVEL", "error"),
        ("WORKER_CONCURRENCY", "4"),
        ("WORKER_QUEUE_MAX", "500"),
    ];
    let mut worker = place.worker_at(broker.bootstrap_servers(), &variables);
    let url = serve(BTreeMap::from([(
        "text.mp3".to_owned(),
        b"Minutes of the meeting.\n".repeat(100),
    )]));
    let producer = JobProducer::new(&connection, &ProducerConfig::default()).unwrap();
    let produce = |number: u32| {
        let payload = match number % 4 {
            0 => b"not a job".to_vec(),
            1 => job(number, &format!("{url}/text.mp3")),
            2 => job(number, "http://10.0.0.1/a.wav"),
            _ => job(number, &format!("{url}/gone.wav")),
        };
        let key = id(number);
        producer.produce("stt.jobs", key.as_bytes(), &payload, &[]).unwrap();
    };
    // Each producer waits for its record, so there are some of them.
    let produce_all = |numbers: std::ops::Range<u32>| {
        std::thread::scope(|scope| {
            for first in 0..PRODUCERS {
                let own = numbers.clone().skip(first).step_by(PRODUCERS);
                scope.spawn(|| own.for_each(&produce));
            }
        });
    };
    // The first part warms the caches up: of jobs, of connections, of the allocator.
    produce_all(0..2_000);
    until_passed(&connection, 2_000);
    let before = Holds::of(&worker);
    produce_all(2_000..12_000);
    until_passed(&connection, 12_000);
    let after = Holds::of(&worker);
    let story = format!("{before:?} -> {after:?}");
    assert_eq!(after.threads, before.threads, "{story}");
    assert!(after.descriptors <= before.descriptors + 4, "{story}");
    assert!(after.memory_kib <= before.memory_kib + 24 * 1024, "{story}");
    assert_eq!(place.tmp_files().len(), 1, "its own directory, and nothing in it");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
}
