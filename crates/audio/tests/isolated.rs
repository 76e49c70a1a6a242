//! Decoding in processes of its own: whatever becomes of one, the next job is done.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod media;
mod processes;

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use media::{Wav, fixture, fixtures};
use processes::{children, descriptors};
use rustix::process::{Signal, kill_process};
use stt_audio::{DecodeChild, DecodeConfig, DecodeStats, FfmpegDecode, IsolatedDecode, IsolationConfig};
use stt_core::ErrorCode::{self, AudioDecodeFailed, AudioTooLong, AudioUnsupportedFormat, TranscribeTimeout};
use stt_core::{Budget, Cancel, Decode, Failure, Fault, Fetched, Pcm, SpillFile, SystemClock};

/// The processes and descriptors of this process are counted, so one story runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn real() -> IsolationConfig {
    IsolationConfig::new(DecodeChild {
        program: env!("CARGO_BIN_EXE_stt-decode-child").into(),
        arguments: vec![],
        environment: vec![],
    })
}

/// A shell in the place of a decoder; its standard input is the socket.
fn shell(script: &str) -> IsolationConfig {
    IsolationConfig::new(DecodeChild {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![],
    })
}

/// Says that it is ready, waits for the request, and then does as told. The words are the protocol's.
fn ready_then(script: &str) -> IsolationConfig {
    shell(&format!(
        "printf 'R\\002\\000\\000\\000\\001\\007' >&0; dd bs=16 count=1 of=/dev/null 2>/dev/null; {script}"
    ))
}

fn within(decode: &IsolatedDecode, media: &Fetched, allowed: Duration) -> Result<Pcm, Failure> {
    let cancel = Cancel::default();
    decode.decode(media, &Budget::new(&SystemClock, &cancel, allowed))
}

fn decode(decode: &IsolatedDecode, media: &Fetched) -> Result<Pcm, Failure> {
    within(decode, media, Duration::from_secs(60))
}

fn in_process(media: &Fetched) -> Result<Pcm, Failure> {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    FfmpegDecode::new(DecodeConfig::default()).decode(media, &budget)
}

fn tone() -> Fetched {
    Fetched::Memory(Wav::default().bytes(&Wav::tone(16_000, 1.0)))
}

#[track_caller]
fn assert_failed(result: Result<Pcm, Failure>, code: ErrorCode, fault: Fault, story: &str) {
    let failure = result.map(|pcm| pcm.samples.len()).expect_err("it should fail");
    assert_eq!(
        (failure.code, failure.fault),
        (code, fault),
        "{}",
        failure.error_chain()
    );
    assert!(failure.error_chain().contains(story), "{}", failure.error_chain());
}

/// Runs a story, and holds it to leaving nothing behind.
#[track_caller]
fn leaving_nothing(story: impl FnOnce()) {
    let _alone = alone();
    let before = descriptors();
    story();
    assert_eq!(children(), [], "processes are left");
    assert_eq!(descriptors(), before, "descriptors are left");
}

#[test]
fn a_program_that_ends_at_once_is_not_the_jobs_fault() {
    leaving_nothing(|| {
        for program in ["/bin/false", "/nowhere/at/all"] {
            let mut config = real();
            config.child.program = program.into();
            let result = decode(&IsolatedDecode::new(config), &tone());
            assert_failed(
                result,
                AudioDecodeFailed,
                Fault::WorkerLocal,
                "no decoder can be started: ",
            );
        }
        let mut config = shell("exec sleep 1000");
        config.start_wait = Duration::from_millis(50);
        let decoder = IsolatedDecode::new(config);
        let result = decode(&decoder, &tone());
        assert_failed(
            result,
            AudioDecodeFailed,
            Fault::WorkerLocal,
            "it was not ready within 50ms",
        );
        let expected = DecodeStats {
            started: 1,
            expired: 1,
            ..DecodeStats::default()
        };
        assert_eq!(decoder.stats(), expected);
    });
}

#[test]
fn one_that_hangs_is_killed_at_the_deadline_and_at_a_cancel() {
    leaving_nothing(|| {
        let decoder = IsolatedDecode::new(ready_then("exec sleep 1000"));
        let began = Instant::now();
        let result = within(&decoder, &tone(), Duration::from_millis(200));
        assert_failed(result, TranscribeTimeout, Fault::Permanent, "within 200ms");
        assert!(children().is_empty(), "it was killed, and waited for");

        let cancel = Cancel::default();
        let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(600));
        std::thread::scope(|scope| {
            let job = scope.spawn(|| decoder.decode(&tone(), &budget));
            while decoder.stats().started < 2 {
                std::thread::yield_now();
            }
            cancel.cancel();
            let result = job.join().unwrap();
            let fault = Fault::Transient { after: None };
            assert_failed(result, ErrorCode::TranscribeFailed, fault, "cancelled");
        });
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let stats = decoder.stats();
        assert_eq!((stats.started, stats.expired, stats.cancelled), (2, 1, 1));
    });
}

#[test]
fn one_that_crashes_fails_its_job_alone() {
    leaving_nothing(|| {
        let transient = Fault::Transient { after: None };
        for (script, fault, story) in [
            ("kill -SEGV $$", Fault::Permanent, "the decoder ended by signal SIGSEGV"),
            ("kill -ABRT $$", Fault::Permanent, "the decoder ended by signal SIGABRT"),
            ("exit 3", Fault::Permanent, "the decoder ended with exit code 3"),
            ("kill -KILL $$", transient, "the decoder was ended by signal SIGKILL"),
            // in the middle of its answer
            (
                "printf 'S\\004\\000\\000\\000\\001\\000\\002\\000S\\004\\000' >&0; kill -BUS $$",
                Fault::Permanent,
                "the decoder ended by signal SIGBUS",
            ),
        ] {
            let decoder = IsolatedDecode::new(ready_then(script));
            assert_failed(decode(&decoder, &tone()), AudioDecodeFailed, fault, story);
            let stats = decoder.stats();
            assert_eq!((stats.started, stats.crashed), (1, 1), "{script}");
        }
    });
}

#[test]
fn one_that_talks_nonsense_is_not_believed() {
    leaving_nothing(|| {
        for (script, story) in [
            ("echo hello >&0; exec sleep 1000", "a frame that is too long"),
            (
                "printf 'X\\000\\000\\000\\000' >&0; exec sleep 1000",
                "a frame of no known kind",
            ),
            (
                "printf 'R\\002\\000\\000\\000\\001\\007' >&0; exec sleep 1000",
                "ready in the middle of a job",
            ),
            (
                "printf 'F\\005\\000\\000\\000\\377\\000\\001\\000x' >&0; exec sleep 1000",
                "a failure that is not of decoding",
            ),
            ("exec sleep 1000 <&-", "it closed its socket"),
            (
                "while printf 'S\\020\\000\\000\\0000123456789abcdef'; do :; done >&0",
                "more samples than asked for",
            ),
        ] {
            let mut config = ready_then(script);
            config.decode.duration_max = Duration::from_secs(1);
            let decoder = IsolatedDecode::new(config);
            assert_failed(decode(&decoder, &tone()), AudioDecodeFailed, Fault::Permanent, story);
            let stats = decoder.stats();
            assert_eq!((stats.started, stats.protocol), (1, 1), "{script}");
        }
    });
}

#[test]
fn a_job_is_not_blamed_for_what_an_earlier_one_left() {
    leaving_nothing(|| {
        let decoder = IsolatedDecode::new(real());
        for killed in 0..3 {
            assert_eq!(decode(&decoder, &tone()).unwrap(), in_process(&tone()).unwrap());
            let [idle] = children()[..] else {
                panic!("one waits for the next job");
            };
            kill_process(idle, Signal::ABORT).unwrap();
            assert_eq!(decoder.stats().started, killed + 1);
        }
        decode(&decoder, &tone()).unwrap();

        // Good for one job, then crashes in the middle of each further one; a new one does the job.
        let marks = tempfile::tempdir().unwrap();
        let answer = "printf 'S\\002\\000\\000\\000\\000\\100D\\001\\000\\000\\000\\000' >&0";
        let script = format!(
            "{answer}; dd bs=16 count=1 of=/dev/null 2>/dev/null; echo >> {}/crashed; kill -SEGV $$",
            marks.path().display()
        );
        let decoder = IsolatedDecode::new(ready_then(&script));
        for _ in 0..3 {
            assert_eq!(decode(&decoder, &tone()).unwrap().samples, [0.5]);
        }
        assert_eq!(fs::read_to_string(marks.path().join("crashed")).unwrap().len(), 2);
        let stats = decoder.stats();
        assert_eq!((stats.started, stats.crashed), (3, 2));
    });
}

#[test]
fn one_whose_media_was_not_whole_does_no_further_job() {
    leaving_nothing(|| {
        let samples = "printf 'S\\002\\000\\000\\000\\000\\100' >&0";
        let damaged = IsolatedDecode::new(ready_then(&format!(
            "{samples}; printf 'D\\001\\000\\000\\000\\001' >&0; exec sleep 1000"
        )));
        for jobs in 1..=3 {
            assert_eq!(decode(&damaged, &tone()).unwrap().samples, [0.5]);
            let stats = damaged.stats();
            assert_eq!((stats.started, stats.retired), (jobs, jobs));
        }

        // A failure, code 3, for want of memory.
        let starved = "printf 'F\\004\\000\\000\\000\\003\\002\\000\\000' >&0; exec sleep 1000";
        let starved = IsolatedDecode::new(ready_then(starved));
        assert_failed(decode(&starved, &tone()), AudioDecodeFailed, Fault::Permanent, "");
        assert_eq!(starved.stats().started, 2, "another may have had the memory");

        let violent = IsolatedDecode::new(ready_then("kill -SYS $$"));
        assert_failed(decode(&violent, &tone()), AudioDecodeFailed, Fault::Permanent, "SIGSYS");
        let stats = violent.stats();
        assert_eq!((stats.violated, stats.crashed), (1, 0));
    });
}

#[test]
fn whether_one_can_be_started_is_seen_before_the_first_job() {
    leaving_nothing(|| {
        let decoder = IsolatedDecode::new(real());
        let holds = decoder.check().unwrap();
        assert!(holds.seccomp && holds.landlock > 0, "{holds:?}");
        decode(&decoder, &tone()).unwrap();
        assert_eq!(decoder.stats().started, 1, "it does the first job");
        let mut nowhere = real();
        nowhere.child.program = "/nowhere/at/all".into();
        assert!(IsolatedDecode::new(nowhere).check().is_err());
    });
}

#[test]
fn memory_ends_where_it_is_said_to() {
    leaving_nothing(|| {
        let mut config = real();
        config.memory_bytes_max = 64 << 10;
        let decoder = IsolatedDecode::new(config);
        let media = Fetched::Memory(fixture("en-long-03.m4a"));
        assert_failed(decode(&decoder, &media), AudioDecodeFailed, Fault::Permanent, "");

        let config = IsolationConfig {
            memory_bytes_max: 16 << 20,
            ..real()
        };
        assert_eq!(
            decode(&IsolatedDecode::new(config), &media).unwrap(),
            in_process(&media).unwrap(),
            "the samples are given on, not piled up"
        );
    });
}

#[test]
fn a_length_that_a_header_claims_crashes_nothing() {
    leaving_nothing(|| {
        // FFmpeg reads the text at once; the memory suffices for it once, not twice.
        let mut wav = Wav::default().bytes(&[]);
        wav.truncate(36);
        wav.extend(b"LIST\xf0\xff\xff\x7fINFOISFT\0\0\0\x15a name");
        wav.resize(1_000, b' ');
        let decoder = IsolatedDecode::new(real());
        let result = decode(&decoder, &Fetched::Memory(wav));
        assert_failed(result, AudioDecodeFailed, Fault::Permanent, "damaged wav");
        assert_eq!(decoder.stats().crashed, 0);
    });
}

#[test]
fn what_is_refused_is_refused_in_the_same_words() {
    leaving_nothing(|| {
        let decoder = IsolatedDecode::new(real());
        let cut = fixture("en-003.m4a")[..100].to_vec();
        for bytes in [vec![], b"It is not audio.\n".repeat(100), cut, media::silent_film()] {
            let media = Fetched::Memory(bytes);
            let (here, there) = (in_process(&media).unwrap_err(), decode(&decoder, &media).unwrap_err());
            assert_eq!(
                (here.code, here.fault, here.error_chain()),
                (there.code, there.fault, there.error_chain())
            );
        }
        let mut config = real();
        config.decode.duration_max = Duration::from_millis(999);
        let result = decode(&IsolatedDecode::new(config), &tone());
        assert_failed(result, AudioTooLong, Fault::Permanent, "longer than 999ms");
        let stats = decoder.stats();
        assert_eq!(
            (stats.started, stats.retired),
            (3, 3),
            "media that fails meets no other job's: {stats:?}"
        );
    });
}

#[test]
fn every_fixture_sounds_as_it_does_in_process() {
    leaving_nothing(|| {
        let decoder = IsolatedDecode::new(IsolationConfig { jobs_max: 8, ..real() });
        let dir = tempfile::tempdir().unwrap();
        let mut jobs = 0;
        for (name, bytes) in fixtures() {
            let path = dir.path().join(&name);
            fs::write(&path, &bytes).unwrap();
            let spilled = Fetched::Spilled(SpillFile::adopt(fs::File::open(path).unwrap(), bytes.len() as u64));
            let media = Fetched::Memory(bytes);
            let here = in_process(&media).unwrap();
            assert_eq!(decode(&decoder, &media).unwrap(), here, "{name}");
            assert_eq!(decode(&decoder, &spilled).unwrap(), here, "{name}");
            jobs += 2;
        }
        let stats = decoder.stats();
        let expected = DecodeStats {
            started: u64::div_ceil(jobs, 8),
            retired: jobs / 8,
            ..DecodeStats::default()
        };
        assert_eq!(stats, expected);
    });
}

#[test]
fn as_many_decode_at_once_as_ask() {
    leaving_nothing(|| {
        let decoder = IsolatedDecode::new(real());
        let (good, bad) = (Fetched::Memory(fixture("en-018.mp3")), Fetched::Memory(vec![7; 5_000]));
        let expected = in_process(&good).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        assert_eq!(decode(&decoder, &good).unwrap(), expected);
                        let result = decode(&decoder, &bad);
                        assert_failed(result, AudioUnsupportedFormat, Fault::Permanent, "");
                    }
                });
            }
        });
        assert!(decoder.stats().crashed <= 4, "{:?}", decoder.stats());
    });
}

#[test]
fn what_the_parent_has_open_stays_with_it() {
    leaving_nothing(|| {
        // As a library that does not care opens it.
        let file: OwnedFd = tempfile::tempfile().unwrap().into();
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        assert!(file.as_raw_fd() > 2);
        let decoder = IsolatedDecode::new(real());
        decode(&decoder, &tone()).unwrap();
        let [child] = children()[..] else {
            panic!("one waits for the next job");
        };
        let open = fs::read_dir(format!("/proc/{}/fd", child.as_raw_nonzero())).unwrap();
        let mut numbers: Vec<_> = open.map(|entry| entry.unwrap().file_name()).collect();
        numbers.sort();
        assert_eq!(numbers, ["0", "1", "2"]);
        let environment = fs::read(format!("/proc/{}/environ", child.as_raw_nonzero())).unwrap();
        assert_eq!(environment, b"");
    });
}

#[test]
fn a_job_has_no_more_of_the_processor_than_it_may() {
    let _one = alone();
    let mut config = ready_then("while :; do :; done");
    config.cpu_max = Some(Duration::from_secs(1));
    let isolated = IsolatedDecode::new(config);
    let story = "more of the processor";
    assert_failed(decode(&isolated, &tone()), TranscribeTimeout, Fault::Permanent, story);
    assert_eq!(isolated.stats().crashed, 1);
}
