//! Audio is decoded in processes of the worker's program, which crash without it and end with it.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use stt_core::{Clock as _, SystemClock};

use crate::outcomes::Outcomes;
use crate::place::{Place, job, serve};
use crate::support::{PATIENCE, Worker, fixture, get};

fn decoders(worker: &Worker) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", worker.id())).unwrap();
    let children = threads
        .map_while(Result::ok)
        .map(|thread| thread.path().join("children"));
    let text: String = children.filter_map(|path| fs::read_to_string(path).ok()).collect();
    let numbers = text.split_whitespace().map(|number| number.parse().unwrap());
    numbers.map(|number| Pid::from_raw(number).unwrap()).collect()
}

struct Jobs {
    outcomes: Outcomes,
    url: String,
    number: u32,
}

impl Jobs {
    fn at(address: &str) -> Self {
        let clip = fs::read(fixture("audio/en-000.wav")).unwrap();
        Self {
            outcomes: Outcomes::at(address),
            url: serve(BTreeMap::from([("en-000.wav".to_owned(), clip)])),
            number: 0,
        }
    }

    fn one_is_completed(&mut self) {
        self.number += 1;
        let payload = job(self.number, &format!("{}/en-000.wav", self.url));
        self.outcomes.produce(self.number, &payload);
        self.outcomes.until(self.number as usize, PATIENCE);
        assert_eq!(self.outcomes.codes, BTreeMap::new());
    }
}

#[test]
fn a_decoder_that_dies_is_replaced_and_none_outlives_the_worker() {
    let place = Place::new();
    let mut worker = place.worker(&[]);
    let address = worker.says("embedded broker: ");
    let port_line = worker.says("metrics on port ");
    let (metrics_port, _) = port_line.split_once(", health on port ").unwrap();
    worker.says("partitions assigned: ");
    let mut jobs = Jobs::at(&address);

    jobs.one_is_completed();
    let [first] = decoders(&worker)[..] else {
        panic!("one decoder for one worker thread: {:?}", decoders(&worker));
    };
    jobs.one_is_completed();
    assert_eq!(decoders(&worker), [first], "it is kept");

    kill_process(first, Signal::ABORT).unwrap();
    jobs.one_is_completed();
    let [second] = decoders(&worker)[..] else {
        panic!("one decoder for one worker thread: {:?}", decoders(&worker));
    };
    assert_ne!(second, first);
    let metrics = get(metrics_port, "/metrics").1;
    for line in [
        "stt_decoders_started_total 2\n",
        "stt_decoders_ended_total{why=\"crash\"} 1\n",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }

    // Nothing of the worker runs any more that could end it.
    worker.signal(Signal::KILL);
    worker.end();
    let deadline = Instant::now() + PATIENCE;
    while test_kill_process(second).is_ok() && !is_zombie(second) {
        assert!(Instant::now() < deadline, "the decoder outlives the worker");
        SystemClock.sleep(Duration::from_millis(10));
    }
}

/// Whoever adopts it may take its time.
fn is_zombie(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn without_isolation_there_is_no_process() {
    let place = Place::new();
    let mut worker = place.worker(&[("DECODE_ISOLATION", "none")]);
    let address = worker.says("embedded broker: ");
    worker.says("partitions assigned: ");
    Jobs::at(&address).one_is_completed();
    assert_eq!(decoders(&worker), []);
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
}

#[test]
fn where_each_job_has_a_process_of_its_own_none_waits_for_the_next() {
    let place = Place::new();
    let mut worker = place.worker(&[("DECODE_JOBS_MAX", "1")]);
    let address = worker.says("embedded broker: ");
    worker.says("partitions assigned: ");
    let mut jobs = Jobs::at(&address);
    for _ in 0..2 {
        jobs.one_is_completed();
        assert_eq!(decoders(&worker), []);
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
}

#[test]
fn the_argument_is_for_the_worker_alone() {
    let output = Command::new(env!("CARGO_BIN_EXE_stt-worker"))
        .arg("decode-child")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("started by the one who wants audio decoded"), "{said}");
}
