//! Audios a second of the engine alone: `engine MODEL [name=value...] AUDIO.wav...`
//!
//! Values: `jobs` (threads that transcribe; 4), `replicas`, `threads`, `batch` (0, 0, 8), `compute` (int8 on the processor), `language`
//! (none: detected), `context` (full, or auto), `rounds` (1), `texts` (a file that the texts are written to, a line each). Prints one line with audios per
//! second, processor seconds per audio, and a hash of the texts.

#![allow(clippy::print_stdout)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stt_whisper::{AudioContext, Budget, Cancel, Config, Language, Options, Pcm, SystemClock, Whisper};

/// As the worker has it; it keeps large blocks, see `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut config = Config::new(arguments.next().ok_or("no model")?);
    let (mut jobs, mut rounds, mut options, mut files) = (4, 1, Options::recommended(), vec![]);
    let mut texts_file = None;
    for argument in arguments {
        match argument.split_once('=') {
            Some(("jobs", value)) => jobs = value.parse()?,
            Some(("texts", value)) => texts_file = Some(value.to_owned()),
            Some(("rounds", value)) => rounds = value.parse()?,
            Some(("replicas", value)) => config.replicas = value.parse()?,
            Some(("threads", value)) => config.cpu_threads = value.parse()?,
            Some(("batch", value)) => config.batch_size = value.parse()?,
            Some(("compute", value)) => config.compute_type = Some(value.to_owned()),
            Some(("context", "auto")) => options.audio_context = AudioContext::Auto,
            Some(("context", "full")) => options.audio_context = AudioContext::Full,
            Some(("language", value)) => options.language = Language::from_tag(value).ok(),
            _ => files.push(argument),
        }
    }
    let whisper = Whisper::load(&config)?;
    let audios = files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..rounds {
        let (next, texts) = (
            AtomicUsize::new(0),
            std::sync::Mutex::new(vec![String::new(); audios.len()]),
        );
        let (before, started, busy) = (whisper.stats(), Instant::now(), processor_seconds());
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < audios.len()) {
                        let cancel = Cancel::default();
                        let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(600));
                        let found = whisper
                            .transcribe_with(&audios[at], &options, &budget)
                            .expect("a transcript");
                        texts.lock().expect("texts")[at] = found.text;
                    }
                });
            }
        });
        let (seconds, busy) = (started.elapsed().as_secs_f64(), processor_seconds() - busy);
        let texts = texts.into_inner()?;
        if let Some(file) = &texts_file {
            std::fs::write(file, texts.join("\n") + "\n")?;
        }
        let mut hasher = DefaultHasher::new();
        texts.hash(&mut hasher);
        let (count, stats) = (audios.len() as f64, whisper.stats());
        let batch = (stats.generated - before.generated) as f64 / (stats.batches - before.batches) as f64;
        println!(
            "{:.2} audios/s, {:.2} processor seconds each, {batch:.1} windows a batch, {} steps, {} of {} windows redone, texts {:016x}",
            count / seconds,
            busy / count,
            stats.steps - before.steps,
            stats.short_contexts_redone - before.short_contexts_redone,
            stats.windows - before.windows,
            hasher.finish()
        );
    }
    Ok(())
}

fn read(path: &str) -> Result<Pcm, Box<dyn std::error::Error>> {
    let samples = hound::WavReader::open(path)?
        .into_samples::<i16>()
        .map(|sample| Ok(f32::from(sample?) / 32_768.0))
        .collect::<Result<_, hound::Error>>()?;
    Ok(Pcm { samples })
}

/// Of this process, from `/proc`; fields 14 and 15 count hundredths of a second.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|ticks| ticks.parse::<f64>().ok())
            .unwrap_or_default()
    };
    (ticks(11) + ticks(12)) / 100.0
}
