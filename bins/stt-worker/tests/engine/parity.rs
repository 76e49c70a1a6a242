//! What faster-whisper 1.2.1 gives for the cases of `fixtures/parity`, against what this engine gives: text, tokens, times,
//! scores, words, language, field by field.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use stt_core::{Budget, Cancel, Pcm, SystemClock};
use stt_whisper::{Config, Whisper};

use crate::clips::{Clips, Part, fixtures};
use crate::golden::{Differences, Golden, options};

#[derive(Deserialize)]
struct Goldens {
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    audio: Vec<Part>,
    #[serde(flatten)]
    golden: Golden,
}

/// Cases that differ, and why.
const DIFFERENT: [(&str, &str); 2] = [
    (
        "clip_timestamps backwards",
        "a clip at 0 behind another: faster-whisper decodes the other's window once more",
    ),
    (
        "clip_timestamps overlapping",
        "avg_logprob differs by 0.0011: faster-whisper's spectrum is in f32, this one's in f64",
    ),
];

/// `least`: how many cases the file holds, at least.
fn compare(file: &str, least: usize, different: &[(&str, &str)]) {
    let text = std::fs::read_to_string(fixtures().join("parity").join(file)).expect("goldens");
    let goldens: Goldens = serde_json::from_str(&text).expect("goldens");
    assert!(goldens.cases.len() >= least, "{} cases in {file}", goldens.cases.len());
    let whisper = Whisper::load(&Config {
        // As the goldens were made.
        compute_type: Some("float32".to_owned()),
        ..Config::new(fixtures().join("model"))
    })
    .expect("the model of the fixtures");
    let mut clips = Clips::default();
    let (mut wrong, mut excepted) = (vec![], vec![]);
    for (name, case) in &goldens.cases {
        let cancel = Cancel::default();
        let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(300));
        let samples = clips.samples(&case.audio);
        let found = whisper.transcribe_with(&Pcm { samples }, &options(&case.golden.options), &budget);
        let differences = Differences::of(&found.expect("a transcript"), &case.golden);
        if differences.is_empty() {
            continue;
        }
        if different.iter().any(|(known, _)| known == name) {
            excepted.push(name.as_str());
        } else {
            wrong.extend(differences.into_iter().map(|line| format!("{name}: {line}")));
        }
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
    assert_eq!(
        excepted.len(),
        different.len(),
        "{file}: only {excepted:?} still differ"
    );
}

#[test]
fn clips() {
    compare("clips.json", 100, &[]);
}

#[test]
fn every_option() {
    compare("options.json", 80, &DIFFERENT);
}

#[test]
fn words() {
    compare("words.json", 50, &[]);
}
