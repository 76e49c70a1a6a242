//! What the worker does by default, against what the bare model does: no word lost, none invented.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use stt_core::{Budget, Cancel, Language, Pcm, SystemClock, Transcript};
use stt_whisper::{Config, Options, Whisper};

use crate::clips::{Clips, Part, fixtures};

#[derive(Deserialize)]
struct Entry {
    hint: Option<String>,
    spoken: String,
}

fn entries() -> BTreeMap<String, Entry> {
    let text = std::fs::read_to_string(fixtures().join("audio/transcripts.json")).expect("the list of clips");
    serde_json::from_str(&text).expect("the list of clips")
}

fn model() -> Whisper {
    Whisper::load(&Config::new(fixtures().join("model"))).expect("the model of the fixtures")
}

/// At temperature 0 alone, so that nothing is drawn by lot.
fn transcribe(whisper: &Whisper, samples: &[f32], hint: Option<&str>, options: Options) -> Transcript {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(300));
    let options = Options {
        language: hint.map(|tag| Language::from_tag(tag).expect("a language")),
        temperatures: vec![0.0],
        ..options
    };
    let pcm = Pcm {
        samples: samples.to_vec(),
    };
    whisper.transcribe_with(&pcm, &options, &budget).expect("a transcript")
}

fn noise(sec: f64, gain: f64) -> Vec<Part> {
    vec![Part::Noise { noise: sec, gain }]
}

#[test]
fn where_nobody_speaks_nothing_is_invented() {
    let (whisper, mut clips) = (model(), Clips::default());
    let silent: Vec<_> = entries()
        .into_iter()
        .filter(|(_, entry)| entry.spoken.is_empty())
        .collect();
    assert!(silent.len() >= 4);
    for (name, _) in &silent {
        let found = transcribe(&whisper, clips.clip(name), None, Options::recommended());
        assert_eq!((found.text.as_str(), found.language), ("", None), "{name}");
    }
    let bare = transcribe(&whisper, clips.clip("tone.wav"), None, Options::default());
    assert!(!bare.text.is_empty(), "the bare model does invent: {}", bare.text);
    for parts in [
        noise(31.0, 0.02),
        noise(5.0, 0.5),
        vec![Part::Silence { silence: 31.0 }],
    ] {
        let samples = clips.samples(&parts);
        assert_eq!(
            transcribe(&whisper, &samples, Some("en-IN"), Options::recommended()).text,
            ""
        );
    }
}

#[test]
fn every_spoken_clip_keeps_its_text() {
    let (whisper, mut clips) = (model(), Clips::default());
    let (mut same, mut more) = (0, vec![]);
    for (name, entry) in entries().into_iter().filter(|(_, entry)| !entry.spoken.is_empty()) {
        let samples = clips.clip(&name).to_vec();
        let bare = transcribe(&whisper, &samples, entry.hint.as_deref(), Options::default());
        let ours = transcribe(&whisper, &samples, entry.hint.as_deref(), Options::recommended());
        if ours.text == bare.text {
            same += 1;
        } else {
            assert_eq!(bare.text, "", "{name} lost its text: {}", ours.text);
            assert_eq!(ours.language.map(|language| language.code()), Some("en"));
            more.push((name, ours));
        }
    }
    assert_eq!(same, 28);
    let [(name, late)] = &more[..] else { panic!("{more:?}") };
    assert_eq!(name, "late-en.flac", "which the bare model does not hear");
    assert!(
        late.segments[0].start_sec > 40.0,
        "on the time line of the whole: {late:?}"
    );
}
