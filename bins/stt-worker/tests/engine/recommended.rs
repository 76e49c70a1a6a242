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
    text: String,
    recommended: Option<String>,
}

fn entries() -> BTreeMap<String, Entry> {
    let text = std::fs::read_to_string(fixtures().join("audio/transcripts.json")).expect("the list of clips");
    serde_json::from_str(&text).expect("the list of clips")
}

fn model() -> Whisper {
    Whisper::load(&Config {
        // In int8 a near tie of this small model turns over.
        compute_type: Some("float32".to_owned()),
        ..Config::new(fixtures().join("model"))
    })
    .expect("the model of the fixtures")
}

fn transcribe(whisper: &Whisper, samples: &[f32], hint: Option<&str>, options: Options) -> Transcript {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(300));
    let options = Options {
        language: hint.map(|tag| Language::from_tag(tag).expect("a language")),
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
fn voice_activity_detection_costs_no_word() {
    let (whisper, mut clips) = (model(), Clips::default());
    let mut heard = vec![];
    for (name, entry) in entries() {
        let samples = clips.clip(&name).to_vec();
        let deaf = Options {
            vad_filter: false,
            ..Options::recommended()
        };
        let without = transcribe(&whisper, &samples, entry.hint.as_deref(), deaf);
        let with = transcribe(&whisper, &samples, entry.hint.as_deref(), Options::recommended());
        // faster-whisper with the same options.
        assert_eq!(&with.text, entry.recommended.as_ref().unwrap_or(&entry.text), "{name}");
        if !entry.spoken.is_empty() && with.text != without.text {
            assert_eq!(without.text, "", "{name} lost its text: {}", with.text);
            heard.push((name, with));
        }
    }
    let [(name, late)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(name, "late-en.flac", "whose silence is too long for the bare model");
    assert!(
        late.segments[0].start_sec > 40.0,
        "on the time line of the whole: {late:?}"
    );
}
