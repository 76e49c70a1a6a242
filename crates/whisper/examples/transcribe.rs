//! From a file to its segments. From the root of the workspace:
//!
//! ```sh
//! cargo run --release --example transcribe -- fixtures/model fixtures/audio/hi-016.wav
//! ```
//!
//! The file must be WAV, 16 kHz, mono, 16 bit; `stt-audio` decodes everything else.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use stt_whisper::{Budget, Cancel, Config, Options, Pcm, SystemClock, Transcript, Whisper};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, file] = &arguments[..] else {
        return Err("which model directory, and which file?".into());
    };
    for segment in transcribe(Path::new(model), Path::new(file))?.segments {
        println!(
            "{:7.2} {:7.2} {}",
            segment.start_sec,
            segment.end_sec,
            segment.text.trim()
        );
    }
    Ok(())
}

pub(crate) fn transcribe(model: &Path, file: &Path) -> Result<Transcript, Box<dyn Error>> {
    let samples: Result<Vec<i16>, _> = hound::WavReader::open(file)?.into_samples().collect();
    let pcm = Pcm {
        samples: samples?.iter().map(|sample| f32::from(*sample) / 32_768.0).collect(),
    };
    let whisper = Whisper::load(&Config::new(model))?;
    let cancel = Cancel::default(); // A clone of it, in another thread, ends the transcription after its window.
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    Ok(
        whisper.transcribe_and_tell(&pcm, &Options::recommended(), &budget, &mut |progress| {
            eprintln!("{:.1} of {:.1} s", progress.done_sec, progress.total_sec);
        })?,
    )
}
