//! The whole way from a file to its text, against what faster-whisper 1.2.1 gives for the same files and model
//! (`fixtures/audio/transcripts.json`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use stt_audio::{DecodeConfig, FfmpegDecode};
use stt_core::{Budget, Cancel, Decode, Fetched, Language, SystemClock, Transcript};
use stt_whisper::{Config, Options, Whisper};

#[derive(Deserialize)]
struct Golden {
    hint: Option<String>,
    spoken: String,
    text: String,
    language: String,
    language_probability: f64,
    duration: f64,
    segments: Vec<GoldenSegment>,
}

#[derive(Deserialize)]
struct GoldenSegment {
    start: f64,
    end: f64,
    text: String,
    tokens: Vec<u32>,
    avg_logprob: f64,
    compression_ratio: f64,
    no_speech_prob: f64,
    temperature: f32,
    seek: u32,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// What of a transcript is not as it should be, one line each.
fn differences(found: &Transcript, golden: &Golden) -> Vec<String> {
    let mut lines = vec![];
    let mut say = |what: &str, found: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug, same: bool| {
        if !same {
            lines.push(format!("{what}: {found:?} for {wanted:?}"));
        }
    };
    let language = found.language.map_or("", |language| language.code());
    say("text", &found.text, &golden.text, found.text == golden.text);
    say("language", &language, &golden.language, language == golden.language);
    let near = |a: f64, b: f64, by: f64| (a - b).abs() <= by;
    say(
        "duration",
        &found.duration_sec,
        &golden.duration,
        near(found.duration_sec, golden.duration, 0.002),
    );
    // Of noise, either is a guess: faster-whisper's is made from one more frame, which counts for much there.
    if golden.hint.is_none() && !golden.spoken.is_empty() {
        let probability = found.language_probability.map_or(-1.0, f64::from);
        let same = near(probability, golden.language_probability, 1e-3);
        say("language probability", &probability, &golden.language_probability, same);
    }
    say(
        "segments",
        &found.segments.len(),
        &golden.segments.len(),
        found.segments.len() == golden.segments.len(),
    );
    for (number, (found, golden)) in found.segments.iter().zip(&golden.segments).enumerate() {
        let tokens = found.text == golden.text && found.tokens == golden.tokens;
        say(&format!("segment {number}"), &found.text, &golden.text, tokens);
        let mut say = |what: &str, found: f64, wanted: f64, by: f64| {
            say(
                &format!("segment {number} {what}"),
                &found,
                &wanted,
                near(found, wanted, by),
            );
        };
        say("start", found.start_sec, golden.start, 0.02);
        say("end", found.end_sec, golden.end, 0.02);
        say("avg_logprob", found.avg_logprob, golden.avg_logprob, 1e-3);
        say(
            "compression_ratio",
            found.compression_ratio,
            golden.compression_ratio,
            1e-9,
        );
        say("no_speech_prob", found.no_speech_prob, golden.no_speech_prob, 1e-3);
        say("temperature", found.temperature.into(), golden.temperature.into(), 0.0);
        say("seek", found.seek.into(), golden.seek.into(), 0.0);
    }
    lines
}

#[test]
fn every_clip_gives_what_faster_whisper_gives() {
    let text = std::fs::read_to_string(fixtures().join("audio/transcripts.json")).unwrap();
    let goldens: BTreeMap<String, Golden> = serde_json::from_str(&text).unwrap();
    assert!(goldens.len() > 30, "{} clips", goldens.len());
    let whisper = Whisper::load(&Config::new(fixtures().join("model"))).unwrap();
    let decode = FfmpegDecode::new(DecodeConfig::default());
    let cancel = Cancel::default();
    let mut wrong = vec![];
    for (name, golden) in &goldens {
        let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(300));
        let media = Fetched::Memory(std::fs::read(fixtures().join("audio").join(name)).unwrap());
        let pcm = decode.decode(&media, &budget).unwrap();
        let language = golden.hint.as_deref().map(|tag| Language::from_tag(tag).unwrap());
        let mut options = Options {
            language,
            ..Options::default()
        };
        // Temperatures above 0 sample: what comes of them is another thing each time, there as here. Without them there is
        // a text in the same language, and no more to compare.
        let sampled = golden.segments.iter().any(|segment| segment.temperature > 0.0);
        if sampled {
            options.temperatures.truncate(1);
        }
        let found = whisper.transcribe_with(&pcm, &options, &budget).unwrap();
        if sampled {
            let language = found.language.map(|language| language.code());
            assert_eq!(
                (language, found.text.is_empty()),
                (Some(golden.language.as_str()), false),
                "{name}"
            );
            continue;
        }
        wrong.extend(
            differences(&found, golden)
                .into_iter()
                .map(|line| format!("{name}: {line}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
