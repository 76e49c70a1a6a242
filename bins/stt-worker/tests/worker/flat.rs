//! Many jobs of strangers leave nothing behind, and keep nobody from his turn.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use stt_core::{Clock as _, SystemClock};
use stt_kafka::{Connection, EmbeddedBroker, committed_offsets};

use crate::hostile::{Strangers, TOKEN, hostile};
use crate::outcomes::Outcomes;
use crate::place::Place;
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

/// Good jobs that come first, one after another.
const ALONE: u32 = 10;

/// Good jobs that come next, all at once.
const BESIDE_EACH_OTHER: u32 = 60;

fn is_good(number: u32) -> bool {
    number % 40 == 21
}

/// How many records these jobs make, with all their tries.
fn records(numbers: Range<u32>) -> i64 {
    let tries = numbers.map(|number| if is_good(number) { 1 } else { hostile(number).tries });
    tries.map(i64::from).sum()
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
    let mut outcomes = Outcomes::at(broker.bootstrap_servers());
    let produce = |outcomes: &Outcomes, number: u32| {
        if is_good(number) {
            outcomes.produce(number, &strangers.good(number));
        } else {
            outcomes.produce_with(number, &strangers.bad(number), &Strangers::headers(number));
        }
    };
    // Each producer waits for its record, so there are some of them.
    let produce_all = |outcomes: &Outcomes, numbers: Range<u32>| {
        std::thread::scope(|scope| {
            for first in 0..PRODUCERS {
                let own = numbers.clone().skip(first).step_by(PRODUCERS);
                scope.spawn(|| own.for_each(|number| produce(outcomes, number)));
            }
        });
    };

    for number in 0..ALONE {
        outcomes.produce(number, &strangers.good(number));
        outcomes.until(number as usize + 1, PATIENCE);
    }
    let began = Instant::now();
    for number in 12_000..12_000 + BESIDE_EACH_OTHER {
        outcomes.produce(number, &strangers.good(number));
    }
    outcomes.until((ALONE + BESIDE_EACH_OTHER) as usize, PATIENCE);
    let rate_alone = f64::from(BESIDE_EACH_OTHER) / began.elapsed().as_secs_f64();
    let text = outcomes.texts[0].1.clone();
    worker.hear();
    let (alone, said_alone) = (seconds(&worker.said), worker.said.len());
    // The first part warms the caches up: of jobs, of connections, of the allocator.
    produce_all(&outcomes, ALONE..2_000);
    outcomes.until((2_000 + BESIDE_EACH_OTHER) as usize, PATIENCE);
    let good_first = i64::from(ALONE + BESIDE_EACH_OTHER);
    until_passed(&connection, good_first + records(ALONE..2_000));
    let before = Holds::of(&worker);
    let (began, done_before) = (Instant::now(), outcomes.texts.len());
    produce_all(&outcomes, 2_000..12_000);
    let all_good = (ALONE + BESIDE_EACH_OTHER) as usize + (ALONE..12_000).filter(|number| is_good(*number)).count();
    outcomes.until_completed(all_good, PATIENCE);
    let rate_beside = (all_good - done_before) as f64 / began.elapsed().as_secs_f64();
    outcomes.until((12_000 + BESIDE_EACH_OTHER) as usize, PATIENCE);
    until_passed(&connection, good_first + records(ALONE..12_000));
    let after = Holds::of(&worker);

    for (number, found) in &outcomes.texts {
        assert_eq!(found, &text, "job {number}");
    }
    for (number, code) in &outcomes.codes {
        assert_eq!(code, hostile(*number).code, "job {number}");
    }
    assert_eq!(outcomes.texts.len(), all_good);
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
         {rate_alone:.2} good jobs a second alone, {rate_beside:.2} among the others"
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
