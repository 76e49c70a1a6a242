//! What faster-whisper 1.2.1 gives for the cases of `fixtures/parity`, against what this engine gives: text, tokens, times,
//! scores, words, language, field by field.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use stt_core::{Budget, Cancel, Language, Pcm, SystemClock, Transcript};
use stt_whisper::{Config, InitialPrompt, Options, Task, Whisper};

use crate::clips::{Clips, Part, fixtures};

#[derive(Deserialize)]
struct Goldens {
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    audio: Vec<Part>,
    options: Map<String, Value>,
    language: String,
    language_probability: f64,
    duration: f64,
    segments: Vec<GoldenSegment>,
}

#[derive(Deserialize)]
struct GoldenSegment {
    seek: u32,
    start: f64,
    end: f64,
    text: String,
    tokens: Vec<u32>,
    avg_logprob: f64,
    compression_ratio: f64,
    no_speech_prob: f64,
    temperature: f64,
    words: Option<Vec<GoldenWord>>,
}

#[derive(Deserialize)]
struct GoldenWord {
    start: f64,
    end: f64,
    word: String,
    probability: f64,
}

/// faster-whisper's keyword arguments as options.
fn options(arguments: &Map<String, Value>) -> Options {
    let mut options = Options::default();
    for (name, value) in arguments {
        let number = || value.as_f64().expect("a number");
        let count = || value.as_u64().expect("a count") as usize;
        let flag = || value.as_bool().expect("a flag");
        let text = || value.as_str().expect("a text").to_owned();
        // None is no element.
        let list = || value.as_array().into_iter().flatten();
        match name.as_str() {
            "language" => options.language = Some(Language::from_tag(&text()).expect("a language")),
            "task" => {
                options.task = if text() == "translate" {
                    Task::Translate
                } else {
                    Task::Transcribe
                }
            }
            "beam_size" => options.beam_size = count(),
            "best_of" => options.best_of = count(),
            "patience" => options.patience = number() as f32,
            "length_penalty" => options.length_penalty = number() as f32,
            "repetition_penalty" => options.repetition_penalty = number() as f32,
            "no_repeat_ngram_size" => options.no_repeat_ngram_size = count(),
            "temperature" => {
                let temperatures = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                options.temperatures = temperatures
                    .iter()
                    .filter_map(Value::as_f64)
                    .map(|t| t as f32)
                    .collect();
            }
            "compression_ratio_threshold" => options.compression_ratio_threshold = value.as_f64(),
            "log_prob_threshold" => options.log_prob_threshold = value.as_f64(),
            "no_speech_threshold" => options.no_speech_threshold = value.as_f64(),
            "condition_on_previous_text" => options.condition_on_previous_text = flag(),
            "prompt_reset_on_temperature" => options.prompt_reset_on_temperature = number() as f32,
            "initial_prompt" => {
                options.initial_prompt = Some(match value {
                    Value::String(text) => text.as_str().into(),
                    _ => InitialPrompt::Tokens(list().filter_map(Value::as_u64).map(|id| id as u32).collect()),
                });
            }
            "prefix" => options.prefix = Some(text()),
            "hotwords" => options.hotwords = Some(text()),
            "suppress_blank" => options.suppress_blank = flag(),
            "suppress_tokens" => {
                options.suppress_tokens = list().filter_map(Value::as_i64).map(|id| id as i32).collect();
            }
            "without_timestamps" => options.without_timestamps = flag(),
            "max_initial_timestamp" => options.max_initial_timestamp = number(),
            "max_new_tokens" => options.max_new_tokens = Some(count()),
            "chunk_length" => options.chunk_length = Some(count() as u32),
            "clip_timestamps" => {
                options.clip_timestamps = match value {
                    Value::String(text) => text
                        .split_terminator(',')
                        .map(|clip| clip.parse().expect("seconds"))
                        .collect(),
                    _ => list().filter_map(Value::as_f64).collect(),
                };
            }
            "multilingual" => options.multilingual = flag(),
            "language_detection_threshold" => options.language_detection_threshold = number() as f32,
            "language_detection_segments" => options.language_detection_segments = count(),
            "word_timestamps" => options.word_timestamps = flag(),
            "prepend_punctuations" => options.prepend_punctuations = text(),
            "append_punctuations" => options.append_punctuations = text(),
            "hallucination_silence_threshold" => options.hallucination_silence_threshold = value.as_f64(),
            other => panic!("{other} is no option"),
        }
    }
    options
}

/// What of a transcript is not as it should be, one line each.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, wanted: T) {
        if found != wanted {
            self.0.push(format!("{what}: {found:?} for {wanted:?}"));
        }
    }

    fn near(&mut self, what: &str, found: f64, wanted: f64, by: f64) {
        if (found - wanted).abs() > by {
            self.0.push(format!("{what}: {found} for {wanted}"));
        }
    }

    fn of(found: &Transcript, case: &Case) -> Vec<String> {
        let mut all = Self::default();
        let language = found.language.map_or("", |language| language.code());
        all.near("duration", found.duration_sec, case.duration, 0.002);
        // An audio without a single frame has no language; faster-whisper guesses one all the same.
        if found.language.is_some() {
            all.same("language", language, &case.language);
        }
        if let Some(probability) = found.language_probability {
            all.near(
                "language probability",
                probability.into(),
                case.language_probability,
                1e-3,
            );
        }
        all.same("segments", found.segments.len(), case.segments.len());
        for (number, (found, wanted)) in found.segments.iter().zip(&case.segments).enumerate() {
            let what = |what: &str| format!("segment {number} {what}");
            all.same(&what("text"), &found.text, &wanted.text);
            all.same(&what("tokens"), &found.tokens, &wanted.tokens);
            all.same(&what("seek"), found.seek, wanted.seek);
            all.near(&what("start"), found.start_sec, wanted.start, 0.02);
            all.near(&what("end"), found.end_sec, wanted.end, 0.02);
            all.near(&what("avg_logprob"), found.avg_logprob, wanted.avg_logprob, 1e-3);
            all.near(
                &what("compression_ratio"),
                found.compression_ratio,
                wanted.compression_ratio,
                1e-5,
            );
            all.near(
                &what("no_speech_prob"),
                found.no_speech_prob,
                wanted.no_speech_prob,
                1e-3,
            );
            all.near(&what("temperature"), found.temperature.into(), wanted.temperature, 1e-6);
            let words = wanted.words.as_deref().unwrap_or_default();
            all.same(&what("words"), found.words.len(), words.len());
            for (found, wanted) in found.words.iter().zip(words) {
                let what = |field: &str| format!("segment {number} word {} {field}", wanted.word);
                all.same(&what("text"), &found.text, &wanted.word);
                all.near(&what("start"), found.start_sec, wanted.start, 0.0201);
                all.near(&what("end"), found.end_sec, wanted.end, 0.0201);
                // Another library multiplies the matrices; a word is the mean of few tokens.
                all.near(&what("probability"), found.probability, wanted.probability, 3e-3);
            }
        }
        all.0
    }
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
    let whisper = Whisper::load(&Config::new(fixtures().join("model"))).expect("the model of the fixtures");
    let mut clips = Clips::default();
    let (mut wrong, mut excepted) = (vec![], vec![]);
    for (name, case) in &goldens.cases {
        let cancel = Cancel::default();
        let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(300));
        let samples = clips.samples(&case.audio);
        let found = whisper.transcribe_with(&Pcm { samples }, &options(&case.options), &budget);
        let differences = Differences::of(&found.expect("a transcript"), case);
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
