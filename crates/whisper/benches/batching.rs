//! How many windows a second when 1, 4, 8, 16 jobs wait: one at a time, and in batches. `cargo bench --bench batching`
//! from the root of the workspace; two minutes on 2 cores.
//!
//! Both ways alternate, and the best of three rounds counts: the machine's other work only ever slows a round.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use stt_core::{Budget, Cancel, Language, Pcm, SystemClock};
use stt_whisper::{Config, Options, Whisper};

/// Clips that each job transcribes, one after another.
const CLIPS: usize = 2;
const ROUNDS: usize = 3;

fn main() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let clip = hound::WavReader::open(fixtures.join("audio/en-long-00.wav")).expect("a clip");
    let samples = clip
        .into_samples::<i16>()
        .map(|sample| f32::from(sample.expect("a sample")) / 32_768.0);
    let pcm = Pcm {
        samples: samples.collect(),
    };
    let load = |batch_size| {
        let config = Config {
            batch_size,
            ..Config::new(fixtures.join("model"))
        };
        Whisper::load(&config).expect("the model of the fixtures")
    };
    let (alone, batched) = (load(1), load(16));
    println!("jobs  alone/s  batched/s  ratio  mean batch");
    for jobs in [1, 4, 8, 16] {
        let (mut slow, mut fast) = (0.0f64, 0.0f64);
        let before = batched.stats();
        for _ in 0..ROUNDS {
            slow = slow.max(windows_per_second(&alone, &pcm, jobs));
            fast = fast.max(windows_per_second(&batched, &pcm, jobs));
        }
        let after = batched.stats();
        let mean = (after.generated - before.generated) as f64 / (after.batches - before.batches) as f64;
        println!("{jobs:4}  {slow:7.1}  {fast:9.1}  {:5.2}  {mean:10.1}", fast / slow);
    }
}

fn windows_per_second(whisper: &Whisper, pcm: &Pcm, jobs: usize) -> f64 {
    let options = Options {
        language: Language::from_tag("en").ok(),
        ..Options::default()
    };
    let before = whisper.stats().windows;
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let cancel = Cancel::default();
                let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(600));
                for _ in 0..CLIPS {
                    let transcript = whisper.transcribe_with(pcm, &options, &budget).expect("a transcript");
                    assert!(!transcript.text.is_empty());
                }
            });
        }
    });
    (whisper.stats().windows - before) as f64 / started.elapsed().as_secs_f64()
}
