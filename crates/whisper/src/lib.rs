//! The faster-whisper algorithm on CTranslate2: from samples to timed text.
//!
//! Main type: [`Whisper`], a loaded model. [`Whisper::transcribe_with`] takes mono samples at 16 kHz ([`Pcm`]) and
//! [`Options`], and gives a [`Transcript`]: text, language, segments, and words when asked for, with times in seconds.
//! `Whisper` is also [`stt_core::Transcribe`], with the options that it was loaded with.
//!
//! ```no_run
//! use stt_whisper::{Budget, Cancel, Config, Options, Pcm, SystemClock, Whisper};
//!
//! let whisper = Whisper::load(&Config::new("fixtures/model"))?;
//! let pcm = Pcm { samples: vec![0.0; 16_000] };
//! let cancel = Cancel::default();
//! let budget = Budget::new(&SystemClock, &cancel, std::time::Duration::from_secs(120));
//! let transcript = whisper.transcribe_with(&pcm, &Options::recommended(), &budget)?;
//! for segment in &transcript.segments {
//!     println!("{:7.2} {:7.2} {}", segment.start_sec, segment.end_sec, segment.text.trim());
//! }
//! stt_whisper::write_srt(&mut std::io::stdout(), &transcript.segments)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it gives
//! With [`Options::default`] what faster-whisper 1.2.1 gives for the same model, audio and options; `docs/fidelity.md` has
//! the comparison, field by field. [`Options::recommended`] loses and invents less.
//!
//! # How it works
//! Samples become [`Mel`] features, a frame for each 10 ms, once for the whole audio. Windows of up to 3,000 frames go
//! through the network: encoder, language detection, beam search of text with a timestamp token for each 0.02 s, and an
//! alignment when words are asked for. The last timestamp of a window says where the next begins.
//!
//! # What it costs
//! One copy of the weights in memory, whatever the number of threads that call. Nearly all time goes into the network.
//! As many calls of the network run at the same time as there are replicas ([`Config::replicas`]); windows that wait at the same
//! time are decoded in one batch ([`Config::batch_size`]). Whoever waits for a result runs what is next, so an audio that is
//! transcribed alone has all threads to itself.
//!
//! # What it leaves alone
//! It reads no environment, starts no logger and no thread, has no globals, downloads nothing, decodes no media, and never
//! exits. CTranslate2 computes with OpenMP, whose idle threads spin unless `OMP_WAIT_POLICY=PASSIVE` is set before the
//! process starts: do, wherever other work shares the cores.

mod backend;
mod batch;
mod bpe;
mod compression;
mod config;
mod counts;
mod ct2;
mod detect;
mod engine;
mod fallback;
mod files;
mod hallucination;
mod looks;
mod mel;
mod model_bin;
mod options;
mod pass;
mod prompt;
mod scheduler;
mod seek;
mod silero;
mod simd;
mod split;
mod suppress;
mod timeline;
mod tokens;
mod unicode;
mod vad;
mod whisper;
mod words;

pub use stt_core::{
    Budget, Cancel, Failure, Language, Pcm, Segment, SystemClock, Transcript, Word, write_json, write_srt, write_txt,
    write_vtt,
};

pub use compression::{compression_ratio, compression_ratio_of_characters};
pub use config::{COMPUTE_TYPES, Config, Device};
pub use counts::Stats;
pub use files::LoadError;
pub use mel::{FRAMES_PER_SECOND, Mel, MelExtractor, WINDOW_FRAMES};
pub use options::{AudioContext, CompressionUnit, InitialPrompt, Options, Task};
pub use pass::Progress;
pub use vad::VadOptions;
pub use whisper::Whisper;

/// The folder of a real model, for tests that `make test-real` runs.
#[cfg(test)]
#[allow(clippy::disallowed_methods)] // the environment: there is no other way into a test
fn real_model(name: &str) -> std::path::PathBuf {
    let models = std::env::var_os("REAL_MODELS").expect("REAL_MODELS is not set: run this by `make test-real`");
    std::path::PathBuf::from(models).join(name)
}
