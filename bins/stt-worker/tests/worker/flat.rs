//! Many jobs of strangers leave nothing behind, and keep nobody from his turn.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use stt_core::{Clock as _, SystemClock};
use stt_kafka::{Connection, EmbeddedBroker, committed_offsets};

use crate::hostile::{Strangers, TOKEN, hostile};
use crate::outcomes::Outcomes;
use crate::place::Place;
use crate::support::{Worker, get};

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

/// Good jobs that come first, one after another.
const ALONE: u32 = 10;

/// Good jobs that are done next, to see how many a second there are without others.
const WITHOUT_OTHERS: u32 = 200;

/// Jobs without an outcome at any time: the hostile ones, and the good ones of another host.
const HOSTILE_AT_ONCE: usize = 200;
/// The hostile ones outside of the part in which the shares are counted: more at once are sooner done.
const HOSTILE_UNCOUNTED: usize = 4_000;
const GOOD_AT_ONCE: usize = 40;

const HOSTILE: u32 = 12_000;

/// Of these, beside how many the good ones are counted; they cost more time than all others together.
const COUNTED: Range<u32> = 2_000..2_800;

/// How many records these hostile jobs make, with all their tries.
fn records(numbers: Range<u32>) -> i64 {
    numbers.map(|number| i64::from(hostile(number).tries)).sum()
}

/// What is sent, as long as there is room for it among what has no outcome.
struct Flood<'a> {
    outcomes: Outcomes,
    strangers: &'a Strangers,
    hostile: u32,
    good: u32,
    hostile_at_once: usize,
    good_at_once: usize,
}

impl Flood<'_> {
    /// Sends what there is room for, up to so many of each; then takes what has come. Each producer waits for its record, so
    /// there are some of them.
    fn step(&mut self, hostile_end: u32, good_end: u32) {
        let room = |most: usize, sent: u32, ended: usize| (most + ended).saturating_sub(sent as usize) as u32;
        let hostile = room(self.hostile_at_once, self.hostile, self.outcomes.codes.len());
        let good = room(self.good_at_once, self.good, self.outcomes.texts.len());
        let hostile = self.hostile..(self.hostile + hostile).min(hostile_end).max(self.hostile);
        let good = self.good..(self.good + good).min(good_end).max(self.good);
        (self.hostile, self.good) = (hostile.end, good.end);
        let (outcomes, strangers) = (&self.outcomes, self.strangers);
        std::thread::scope(|scope| {
            for first in 0..PRODUCERS {
                let (hostile, good) = (hostile.clone(), good.clone());
                scope.spawn(move || {
                    for number in hostile.skip(first).step_by(PRODUCERS) {
                        outcomes.produce_with(number, &strangers.bad(number), &Strangers::headers(number));
                    }
                    for number in good.skip(first).step_by(PRODUCERS) {
                        outcomes.produce(HOSTILE + number, &strangers.good(number));
                    }
                });
            }
        });
        self.outcomes.read();
    }

    fn is_over(&self) -> bool {
        self.outcomes.ended() == (self.hostile + self.good) as usize
    }
}

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

/// The median of what the worker says of the completed jobs in this part of its log, in seconds from download to text.
fn seconds(said: &str) -> f64 {
    let second = |line: &str, step: &str| -> f64 {
        let (_, rest) = line.split_once(step).unwrap();
        rest.trim_start().split(' ').next().unwrap().parse().unwrap()
    };
    let completed = said.lines().filter(|line| line.contains(" completed: "));
    let mut all: Vec<f64> = completed
        .map(|line| {
            ["download", "decode", "transcribe"]
                .iter()
                .map(|step| second(line, step))
                .sum()
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[test]
fn ten_thousand_hostile_jobs_leave_nothing_and_the_good_ones_among_them_are_done() {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)]).unwrap();
    let connection = Connection::new(broker.bootstrap_servers());
    let place = Place::new();
    let variables = [
        ("WORKER_CONCURRENCY", "4"),
        ("WORKER_QUEUE_MAX", "0"),
        ("AUDIO_DOWNLOAD_TIMEOUT", "1"),
        ("MAX_AUDIO_BYTES", "9000000"), // more than stays in memory
        ("MAX_AUDIO_DURATION_SEC", "10"),
        ("AUDIO_URL_ALLOW", "127.0.0.0/8"),
    ];
    let mut worker = place.worker_at(broker.bootstrap_servers(), &variables);
    let strangers = Strangers::start();
    let mut flood = Flood {
        outcomes: Outcomes::at(broker.bootstrap_servers()),
        strangers: &strangers,
        hostile: 0,
        good: 0,
        hostile_at_once: HOSTILE_UNCOUNTED,
        good_at_once: GOOD_AT_ONCE,
    };
    let until = |flood: &mut Flood<'_>, hostile_end: u32, good_end: u32| {
        let began = Instant::now();
        loop {
            flood.step(hostile_end, good_end);
            if flood.hostile == hostile_end && (good_end == u32::MAX || flood.good == good_end && flood.is_over()) {
                return began.elapsed();
            }
            let ended = flood.outcomes.ended();
            assert!(began.elapsed() < PATIENCE, "only {ended} jobs have an outcome");
        }
    };
    let passed = |flood: &Flood<'_>| i64::from(flood.good) + records(0..flood.hostile);

    for number in 0..ALONE {
        until(&mut flood, 0, number + 1);
    }
    let text = flood.outcomes.texts[0].1.clone();
    worker.hear();
    let (alone, said_alone) = (seconds(&worker.said), worker.said.len());
    let took = until(&mut flood, 0, ALONE + WITHOUT_OTHERS);
    let rate_alone = f64::from(WITHOUT_OTHERS) / took.as_secs_f64();

    // The first part warms the caches up: of jobs, of connections, of the allocator.
    until(&mut flood, COUNTED.start, ALONE + WITHOUT_OTHERS);
    until_passed(&connection, passed(&flood));
    let before = Holds::of(&worker);
    let done_before = flood.outcomes.texts.len();
    flood.hostile_at_once = HOSTILE_AT_ONCE;
    let took = until(&mut flood, COUNTED.end, u32::MAX);
    let rate_beside = (flood.outcomes.texts.len() - done_before) as f64 / took.as_secs_f64();
    (flood.hostile_at_once, flood.good_at_once) = (HOSTILE_UNCOUNTED, 1);
    until(&mut flood, HOSTILE, u32::MAX);
    let good = flood.good;
    until(&mut flood, HOSTILE, good);
    until_passed(&connection, passed(&flood));
    let after = Holds::of(&worker);

    let outcomes = &flood.outcomes;
    for (number, found) in &outcomes.texts {
        assert_eq!(found, &text, "job {number}");
    }
    for (number, code) in &outcomes.codes {
        assert_eq!(code, hostile(*number).code, "job {number}");
    }
    assert_eq!(outcomes.texts.len(), good as usize);
    assert!(!outcomes.messages.contains(TOKEN), "a dead letter shows a path");
    let story = format!("{before:?} -> {after:?}");
    assert_eq!(after.threads, before.threads, "{story}");
    assert!(after.descriptors <= before.descriptors + 4, "{story}");
    // The allocator may keep one largest download for each worker.
    assert!(after.memory_kib <= before.memory_kib + 4 * 8 * 1024, "{story}");
    assert_eq!(place.tmp_files().len(), 1, "its own directory, and nothing in it");
    worker.hear();
    let beside = seconds(&worker.said[said_alone..]);
    assert!(!worker.said.contains(TOKEN), "the log shows a path");
    println!(
        "{story}; a good job alone {alone:.3} s, beside the others {beside:.3} s; \
         {rate_alone:.2} good jobs a second alone, {rate_beside:.2} of {good} among the others"
    );
    // Two hosts share the worker, so the share of each is half.
    assert!(rate_beside >= rate_alone / 4.0, "less than half of their share");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0));
}

#[test]
fn a_slow_server_holds_one_worker_for_one_try_and_then_it_is_the_turn_of_others() {
    let place = Place::new();
    let variables = [("WORKER_CONCURRENCY", "2"), ("AUDIO_DOWNLOAD_TIMEOUT", "2")];
    let mut worker = place.worker(&variables);
    let address = worker.says("embedded broker: ");
    worker.says("partitions assigned: ");
    let strangers = Strangers::start();
    let mut outcomes = Outcomes::at(&address);
    for number in 0..2 {
        outcomes.produce(number, &strangers.at(number, "/silent"));
    }
    for number in 2..5 {
        outcomes.produce(number, &strangers.at(number, "/good"));
    }
    outcomes.until(3, PATIENCE);
    assert_eq!(
        outcomes.codes,
        BTreeMap::new(),
        "no slow job had all its tries before the good ones had theirs"
    );
    outcomes.until(5, PATIENCE);
    let timeout = "DOWNLOAD_TIMEOUT".to_owned();
    assert_eq!(outcomes.codes, BTreeMap::from([(0, timeout.clone()), (1, timeout)]));
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
}

#[test]
fn jobs_of_other_hosts_pass_those_of_a_slow_one() {
    const SLOW: u32 = 60;
    const GOOD: u32 = 20;
    let place = Place::new();
    let mut worker = place.worker(&[("AUDIO_URL_ALLOW", "127.0.0.0/8")]);
    let address = worker.says("embedded broker: ");
    worker.says("partitions assigned: ");
    let strangers = Strangers::start();
    let mut outcomes = Outcomes::at(&address);
    for number in 0..SLOW {
        outcomes.produce(number, &strangers.at(number, "/good-but-slow"));
    }
    for number in SLOW..SLOW + GOOD {
        outcomes.produce(number, &strangers.good(number));
    }
    outcomes.until((SLOW + GOOD) as usize, PATIENCE);
    assert_eq!(outcomes.codes, BTreeMap::new());
    let is_last_good = |(number, _): &(u32, String)| *number >= SLOW;
    let behind = outcomes.texts.iter().rev().position(is_last_good).unwrap();
    assert!(
        behind >= SLOW as usize / 2,
        "only {behind} slow jobs ended after all others"
    );
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
}

#[test]
fn a_full_tmp_dir_keeps_no_short_download_back() {
    const LONG: u32 = 10;
    const GOOD: u32 = 20;
    let place = Place::new();
    let variables = [("AUDIO_URL_ALLOW", "127.0.0.0/8"), ("WORKER_QUEUE_MAX", "1")];
    // No file of it may be longer than 4 MiB, so a long download fails as on a full disk; the signal for that is ignored.
    let mut worker = place.worker_with_small_files(&variables);
    let address = worker.says("embedded broker: ");
    worker.says("partitions assigned: ");
    let strangers = Strangers::start();
    let mut outcomes = Outcomes::at(&address);
    for number in 0..LONG {
        outcomes.produce(number, &strangers.at(number, "/long-download"));
    }
    worker.says(" held for ");
    for number in LONG..LONG + GOOD {
        outcomes.produce(number, &strangers.good(number));
    }
    let began = Instant::now();
    outcomes.until(GOOD as usize, PATIENCE);
    let took = began.elapsed();
    assert_eq!(outcomes.texts.len(), GOOD as usize);
    assert!(
        took < Duration::from_secs(30),
        "{took:?}: the long downloads stopped the others"
    );
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
}

#[test]
fn a_host_that_times_out_is_shown_without_its_urls() {
    let place = Place::new();
    let mut worker = place.worker(&[("AUDIO_DOWNLOAD_TIMEOUT", "0.3")]);
    let address = worker.says("embedded broker: ");
    let ports = worker.says("metrics on port ");
    let (metrics, health) = ports.split_once(", health on port ").unwrap();
    worker.says("partitions assigned: ");
    let (strangers, outcomes) = (Strangers::start(), Outcomes::at(&address));
    for number in 0..8 {
        outcomes.produce(number, &strangers.at(number, "/silent"));
    }
    let began = Instant::now();
    let shown = loop {
        let (_, body) = get(health, "/readyz");
        let body: Value = serde_json::from_str(&body).unwrap();
        if body["hosts"]["paused"] == 1 {
            break body;
        }
        assert!(began.elapsed() < PATIENCE, "{body}");
        SystemClock.sleep(Duration::from_millis(50));
    };
    let host = shown["hosts"]["longest"][0]["host"].as_str().unwrap();
    assert!(host.starts_with("127.0.0.1:"), "{host}");
    assert!(!shown.to_string().contains("silent"), "{shown}");
    let (_, body) = get(metrics, "/metrics");
    assert!(body.contains("\nstt_hosts_paused 1\n"), "{body}");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
}
