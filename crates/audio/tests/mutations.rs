//! Damaged media, thousands of files, through the isolated decoder: they fail, or what is left of them is heard; nothing
//! else happens. One story alone in its process, whose descriptors, threads and children it counts.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod made;
mod media;
mod processes;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use made::mutate::{Mutant, Whole, mutant};
use made::rows::ROWS;
use media::{Wav, fixtures};
use processes::{Peak, children, descriptors, mapped_max, peak, threads};
use rustix::process::{Pid, Signal, kill_process};
use stt_audio::{DecodeChild, DecodeConfig, FfmpegDecode, IsolatedDecode, IsolationConfig};
use stt_core::{Budget, Cancel, Clock as _, Decode, Failure, Fault, Fetched, Pcm, SpillFile, SystemClock};

/// To make a file of a failing run again: its seed and number are all that it is made of.
const SEED: u64 = 0x05ee_d0fa_0d10;
const FILES: u64 = 3_600;
const THREADS: usize = 2;
/// Larger files take longer to decode, not other ways.
const BYTES_MAX: usize = 128 << 10;
const DURATION_MAX: Duration = Duration::from_secs(20);
const ALLOWED: Duration = Duration::from_secs(5);
/// How late an answer may be: a killed process is waited for, on a machine that has other things to do.
const GRACE: Duration = Duration::from_secs(2);
/// A job that is later is ended from outside, so that a hang fails the test and does not become it.
const HANG: Duration = Duration::from_secs(20);

/// Short fixtures, and a file of every format.
fn wholes() -> Vec<Whole> {
    let kind = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let fixtures = fixtures().into_iter().map(|(name, bytes)| Whole {
        kind: kind(&name),
        name,
        bytes,
    });
    let made = ROWS.iter().map(|row| Whole {
        name: row.name.to_owned(),
        kind: row.demuxer.to_owned(),
        bytes: row.bytes(),
    });
    fixtures
        .chain(made)
        .filter(|whole| whole.bytes.len() <= BYTES_MAX)
        .collect()
}

/// What became of the files.
#[derive(Default)]
struct Tally {
    heard: u64,
    failed: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
    slowest: Duration,
    peaks: HashMap<Pid, Peak>,
}

impl Tally {
    /// Counts an answer, and says what is wrong with it.
    fn note(&mut self, result: &Result<Pcm, Failure>, took: Duration, allowed: Duration) -> Option<String> {
        self.slowest = self.slowest.max(took);
        match result {
            Ok(_) => self.heard += 1,
            Err(failure) => *self.failed.entry(failure.code.as_str()).or_default() += 1,
        }
        match result {
            _ if took > allowed + GRACE => Some(format!("it took {took:?} of {allowed:?}")),
            Ok(pcm) if pcm.duration() > DURATION_MAX => Some(format!("{:?} of sound", pcm.duration())),
            Ok(_) => None,
            Err(failure) if failure.fault != Fault::Permanent || !FfmpegDecode::CODES.contains(&failure.code) => Some(
                format!("{:?} {:?}: {}", failure.fault, failure.code, failure.error_chain()),
            ),
            Err(_) => None,
        }
    }

    /// Remembers the most memory that a process had.
    fn see(&mut self, process: Pid) {
        if let Some(now) = peak(process) {
            let most = self.peaks.entry(process).or_default();
            most.mapped = most.mapped.max(now.mapped);
            most.resident = most.resident.max(now.resident);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn decode(decoder: &IsolatedDecode, media: &Fetched, allowed: Duration) -> Result<Pcm, Failure> {
    let cancel = Cancel::default();
    decoder.decode(media, &Budget::new(&SystemClock, &cancel, allowed))
}

/// Every sixteenth from a file, as long downloads are; every fortieth with too little time, to be ended anywhere.
fn job(number: u64, mutant: &Mutant, dir: &Path) -> (Fetched, Duration) {
    let bytes = mutant.bytes.clone();
    let media = if number.is_multiple_of(16) {
        let path = dir.join(number.to_string());
        fs::write(&path, &bytes).unwrap();
        Fetched::Spilled(SpillFile::adopt(fs::File::open(path).unwrap(), bytes.len() as u64))
    } else {
        Fetched::Memory(bytes)
    };
    let allowed = if number % 40 == 7 {
        Duration::from_millis(number % 9)
    } else {
        ALLOWED
    };
    (media, allowed)
}

#[test]
fn damaged_media_fails_alone_in_time_and_within_its_memory() {
    let wholes = wholes();
    assert!(wholes.len() > 50, "{}", wholes.len());
    assert_eq!(mutant(SEED, 17, &wholes), mutant(SEED, 17, &wholes), "made again");
    let (threads_before, descriptors_before) = (threads(), descriptors());
    let dir = tempfile::tempdir().unwrap();
    let config = IsolationConfig {
        decode: DecodeConfig {
            duration_max: DURATION_MAX,
        },
        ..IsolationConfig::new(DecodeChild {
            program: env!("CARGO_BIN_EXE_stt-decode-child").into(),
            arguments: vec![],
            environment: vec![],
        })
    };
    let memory_max = config.memory_bytes_max;
    let decoder = IsolatedDecode::new(config);

    decode(
        &decoder,
        &Fetched::Memory(Wav::default().bytes(&Wav::tone(16_000, 1.0))),
        ALLOWED,
    )
    .unwrap();
    let [first] = children()[..] else {
        panic!("one waits for the next job");
    };
    let usual = peak(first).unwrap();

    let tally = Mutex::new(Tally::default());
    let (next, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let under_way: [Mutex<Option<Instant>>; THREADS] = Default::default();
    std::thread::scope(|scope| {
        let jobs: Vec<_> = under_way
            .iter()
            .map(|began| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= FILES {
                            return;
                        }
                        let mutant = mutant(SEED, number, &wholes);
                        let (media, allowed) = job(number, &mutant, dir.path());
                        let start = Instant::now();
                        *lock(began) = Some(start);
                        let result = decode(&decoder, &media, allowed);
                        *lock(began) = None;
                        let mut tally = lock(&tally);
                        if let Some(wrong) = tally.note(&result, start.elapsed(), allowed) {
                            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mutant-{number}"));
                            fs::write(&kept, &mutant.bytes).unwrap();
                            let Mutant { of, damages, .. } = mutant;
                            tally.wrong.push(format!(
                                "seed {SEED:#x}, number {number} ({of}, {damages:?}), kept as {}: {wrong}",
                                kept.display()
                            ));
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                SystemClock.sleep(Duration::from_millis(20));
                let children = children();
                children.iter().for_each(|child| lock(&tally).see(*child));
                if under_way
                    .iter()
                    .any(|began| lock(began).is_some_and(|began| began.elapsed() > HANG))
                {
                    for child in children {
                        let _ = kill_process(child, Signal::KILL); // it may just have ended
                    }
                }
            }
        });
        for job in jobs {
            job.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });

    // One whose last file was damaged is gone; one that is good for more is to be seen.
    decoder.check().unwrap();
    let idle = children();
    let mut tally = tally.into_inner().unwrap();
    idle.iter().for_each(|child| tally.see(*child));
    let stats = decoder.stats();
    let most = |part: fn(&Peak) -> u64| tally.peaks.values().map(part).max().unwrap_or_default() >> 20;
    println!(
        "{FILES} damaged files: {} heard, {:?}; {} crashed, {} expired, of {} started; slowest {:?}; at most {} MiB \
         mapped, {} MiB resident, of {} processes",
        tally.heard,
        tally.failed,
        stats.crashed,
        stats.expired,
        stats.started,
        tally.slowest,
        most(|peak| peak.mapped),
        most(|peak| peak.resident),
        tally.peaks.len(),
    );
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
    assert_eq!(stats.protocol, 0, "answers that are none: {stats:?}");
    assert_eq!(tally.heard + tally.failed.values().sum::<u64>(), FILES);
    assert!(
        tally.heard > FILES / 4 && tally.failed.len() >= 4,
        "they are neither whole nor rubble"
    );

    assert!(tally.peaks.len() >= THREADS, "{:?}", tally.peaks);
    assert!((1..=THREADS).contains(&idle.len()), "{idle:?}");
    let mapped_max = idle
        .iter()
        .map(|child| mapped_max(*child).expect("there is a limit"))
        .max();
    let mapped_max = mapped_max.unwrap();
    assert!(mapped_max <= usual.mapped + memory_max, "{mapped_max}, {usual:?}");
    for (process, peak) in &tally.peaks {
        assert!(
            peak.mapped <= mapped_max && peak.resident < memory_max,
            "{process:?}: {peak:?}"
        );
    }

    drop(decoder);
    assert_eq!(children(), [], "processes are left");
    assert_eq!(descriptors(), descriptors_before, "descriptors are left");
    let ended = Instant::now(); // the kernel has a thread for a moment longer than who joined it
    while threads() != threads_before && ended.elapsed() < GRACE {
        SystemClock.sleep(Duration::from_millis(5));
    }
    assert_eq!(threads(), threads_before, "threads are left");
}
