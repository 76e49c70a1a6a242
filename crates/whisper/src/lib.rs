//! The faster-whisper algorithm on CTranslate2: from samples to timed text.
//!
//! Main type: [`Whisper`], which is [`stt_core::Transcribe`] and can be asked directly, with [`Options`] of its own, by
//! [`Whisper::transcribe_with`]. For the same model, audio and options it gives what faster-whisper 1.2.1 gives.
//!
//! This crate reads no environment, starts no logger, downloads nothing, decodes no media, and never exits. It keeps one
//! copy of the weights; the windows of calls that wait at the same time go to the network in one batch.
//!
//! ```no_run
//! use stt_core::{Budget, Cancel, Pcm, SystemClock};
//! use stt_whisper::{Config, Options, Whisper};
//!
//! let whisper = Whisper::load(&Config::new("fixtures/model"))?;
//! let pcm = Pcm { samples: vec![0.0; 16_000] };
//! let cancel = Cancel::default();
//! let budget = Budget::new(&SystemClock, &cancel, std::time::Duration::from_secs(120));
//! let transcript = whisper.transcribe_with(&pcm, &Options::default(), &budget)?;
//! for segment in &transcript.segments {
//!     println!("{:7.2} {:7.2} {}", segment.start_sec, segment.end_sec, segment.text.trim());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod compression;
mod config;
mod counts;
mod ct2;
mod desk;
mod detect;
mod engine;
mod fallback;
mod files;
mod hallucination;
mod mel;
mod net;
mod options;
mod pass;
mod prompt;
mod seek;
mod split;
mod suppress;
mod timeline;
mod tokens;
mod unicode;
mod vad;
mod voice;
mod whisper;
mod words;

pub use compression::{compression_ratio, compression_ratio_of_characters};
pub use config::{COMPUTE_TYPES, Config, Device};
pub use counts::Stats;
pub use files::LoadError;
pub use mel::{FRAMES_PER_SECOND, Mel, MelExtractor, WINDOW_FRAMES};
pub use options::{CompressionUnit, InitialPrompt, Options, Task};
pub use pass::Progress;
pub use vad::VadOptions;
pub use whisper::Whisper;
