//! faster-whisper's own tests (tests/test_transcribe.py, version 1.2.1), each by its name there; with `base` where they take
//! `tiny`. Its batched pipeline has no counterpart: here windows of different jobs go in one batch.

use std::sync::OnceLock;

use stt_core::{Pcm, Transcript};
use stt_whisper::{Options, VadOptions, Whisper};

use crate::site::{load, media, recording, transcribe};

const JFK: &str = "en_faster-whisper__jfk.flac";

fn base() -> &'static Whisper {
    static MODEL: OnceLock<Whisper> = OnceLock::new();
    MODEL.get_or_init(|| load("base", "float32"))
}

fn check(file: &str, options: Options) -> Transcript {
    transcribe(base(), &recording(file), &options)
}

#[test]
fn test_supported_languages() {
    let found = transcribe(&load("tiny.en", "float32"), &recording(JFK), &Options::default());
    assert_eq!(found.language.map(|language| language.code()), Some("en"));
    assert_eq!(found.language_probs, [], "there is nothing to choose from");
}

#[test]
fn test_transcribe() {
    let found = check(
        JFK,
        Options {
            word_timestamps: true,
            ..Options::default()
        },
    );
    assert_eq!(found.language.map(|language| language.code()), Some("en"));
    let probability = found.language_probability.expect("it was detected");
    assert!(probability > 0.9);
    assert_eq!(found.duration_sec, 11.0);
    assert_eq!(
        found.language_probs.first().copied(),
        found.language.zip(Some(probability))
    );
    // With one comma more than `tiny`, which the test is about there, and in two segments.
    assert_eq!(
        found.text,
        "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
    );
    assert!(!found.segments.is_empty());
    for segment in &found.segments {
        let words: String = segment.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words, segment.text);
        let (first, last) = (&segment.words[0], &segment.words[segment.words.len() - 1]);
        assert_eq!((segment.start_sec, segment.end_sec), (first.start_sec, last.end_sec));
    }
}

#[test]
fn test_empty_audio() {
    assert_eq!(transcribe(base(), &Pcm::default(), &Options::default()).segments, []);
}

#[test]
fn test_prefix_with_timestamps() {
    let found = check(
        JFK,
        Options {
            prefix: Some("And so my fellow Americans".into()),
            ..Options::default()
        },
    );
    let [segment] = &found.segments[..] else {
        panic!("{found:?}")
    };
    assert!(
        segment.text.starts_with(" And so my fellow Americans"),
        "{}",
        segment.text
    );
    assert!(
        segment.text.ends_with(" ask what you can do for your country."),
        "{}",
        segment.text
    );
    assert_eq!(segment.start_sec, 0.0);
    assert!((10.0..=11.0).contains(&segment.end_sec), "{}", segment.end_sec);
}

#[test]
fn test_vad() {
    let found = check(
        JFK,
        Options {
            vad_filter: true,
            vad_parameters: VadOptions {
                min_silence_duration_ms: 500,
                speech_pad_ms: 200,
                ..VadOptions::default()
            },
            ..Options::default()
        },
    );
    let [first, .., last] = &found.segments[..] else {
        panic!("{}", found.text)
    };
    assert!(
        last.text.ends_with("what you can do for your country."),
        "{}",
        last.text
    );
    assert!(first.start_sec > 0.0 && first.start_sec < 1.0, "{}", first.start_sec);
    assert!(last.end_sec > 10.0 && last.end_sec < 11.0, "{}", last.end_sec);
}

#[test]
fn test_stereo_diarization() {
    // 16-bit stereo at 16 kHz behind a header of 44 bytes; the worker mixes channels, so they are taken apart here.
    let media = media("en_faster-whisper__stereo_diarization.wav");
    let channel = |at: usize| Pcm {
        samples: media[44..]
            .chunks_exact(4)
            .map(|frame| f32::from(i16::from_le_bytes([frame[at], frame[at + 1]])) / 32_768.0)
            .collect(),
    };
    let left = transcribe(base(), &channel(0), &Options::default()).text;
    assert_eq!(
        left.replace(',', ""),
        "He began a confused complaint against the wizard who had vanished behind the curtain on the left."
    );
    let right = transcribe(base(), &channel(2), &Options::default()).text;
    assert_eq!(right, "The horizon seems extremely distant.");
}

#[test]
fn test_multilingual_transcription() {
    let found = check(
        "en_faster-whisper__multilingual.mp3",
        Options {
            multilingual: true,
            without_timestamps: true,
            condition_on_previous_text: false,
            ..Options::default()
        },
    );
    let [english, german, ..] = &found.segments[..] else {
        panic!("{found:?}")
    };
    assert!(
        english
            .text
            .starts_with(" Permission is hereby granted, free of charge"),
        "{}",
        english.text
    );
    assert!(german.text.contains("die Software zu"), "{}", german.text);
}

#[test]
fn test_hotwords() {
    let found = check(
        "en_faster-whisper__hotwords.mp3",
        Options {
            hotwords: Some("ComfyUI".into()),
            ..Options::default()
        },
    );
    assert!(found.text.contains("ComfyUI"), "{}", found.text);
}

#[test]
fn test_monotonic_timestamps() {
    let found = check(
        "en_joinly__OSR_us_000_0034_8k.wav",
        Options {
            word_timestamps: true,
            ..Options::default()
        },
    );
    assert!(found.segments.len() > 5);
    for pair in found.segments.windows(2) {
        assert!(pair[0].start_sec <= pair[0].end_sec && pair[0].end_sec <= pair[1].start_sec);
    }
    for segment in &found.segments {
        for word in &segment.words {
            assert!(
                word.start_sec <= word.end_sec && word.end_sec <= segment.end_sec,
                "{word:?}"
            );
        }
    }
    assert!(found.segments.last().expect("some").end_sec <= found.duration_sec);
}
