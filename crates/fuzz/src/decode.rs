//! Bytes as audio, decoded in this process.
//!
//! FFmpeg comes with the system, without the fuzzer's counters: the fuzzer sees which way our own reader goes, and of FFmpeg
//! only what the corpus and its mutations bring about. An input is media as it is; its last byte also picks the longest
//! audio taken.

use std::time::{Duration, Instant};

use stt_audio::{DecodeConfig, FfmpegDecode};
use stt_core::{Budget, Cancel, Decode as _, Failure, Fault, Fetched, Pcm, SystemClock};

/// Time for one input, and how much later it may end on a machine that has other things to do.
const ALLOWED: Duration = Duration::from_secs(5);
const LATE_MAX: Duration = Duration::from_secs(10);

const DURATIONS_MAX: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_secs(1),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// Holds the decoder to what is promised about its samples, its failures and its time.
///
/// # Panics
/// When a promise is broken.
pub fn check(input: &[u8]) {
    let picked = input.last().map_or(0, |last| usize::from(*last));
    let duration_max = DURATIONS_MAX[picked % DURATIONS_MAX.len()];
    let decode = FfmpegDecode::new(DecodeConfig { duration_max });
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, ALLOWED);

    let started = Instant::now();
    let decoded = decode.decode(&Fetched::Memory(input.to_vec()), &budget);
    let took = started.elapsed();
    assert!(took <= ALLOWED + LATE_MAX, "it took {took:?}");
    match decoded {
        Ok(pcm) => sounds(&pcm, duration_max),
        Err(failure) => fails(&failure),
    }
}

fn sounds(pcm: &Pcm, duration_max: Duration) {
    assert!(!pcm.samples.is_empty());
    assert!(
        pcm.duration() <= duration_max,
        "{:?} of {duration_max:?}",
        pcm.duration()
    );
    assert!(pcm.samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
}

fn fails(failure: &Failure) {
    assert!(FfmpegDecode::CODES.contains(&failure.code), "{}", failure.error_chain());
    assert_eq!(failure.fault, Fault::Permanent, "{}", failure.error_chain());
    let story = failure.error_chain();
    assert!(story.len() <= 300 && !story.contains(char::is_control), "{story:?}");
}
