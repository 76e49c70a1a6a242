//! What faster-whisper 1.2.1 gave for a case, and where a transcript differs from it.

use serde::Deserialize;
use serde_json::{Map, Value};
use stt_core::{Language, Transcript};
use stt_whisper::{InitialPrompt, Options, Task, VadOptions};

/// What it gave.
#[derive(Deserialize)]
pub(crate) struct Golden {
    pub(crate) options: Map<String, Value>,
    pub(crate) language: String,
    pub(crate) language_probability: f64,
    pub(crate) language_probs: Option<Vec<(String, f64)>>,
    pub(crate) duration: f64,
    pub(crate) duration_after_vad: Option<f64>,
    pub(crate) segments: Vec<GoldenSegment>,
}

#[derive(Deserialize)]
pub(crate) struct GoldenSegment {
    pub(crate) seek: u32,
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) text: String,
    pub(crate) tokens: Vec<u32>,
    pub(crate) avg_logprob: f64,
    pub(crate) compression_ratio: f64,
    pub(crate) no_speech_prob: f64,
    pub(crate) temperature: f64,
    pub(crate) words: Option<Vec<GoldenWord>>,
}

#[derive(Deserialize)]
pub(crate) struct GoldenWord {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) word: String,
    pub(crate) probability: f64,
}

/// faster-whisper's keyword arguments as options.
pub(crate) fn options(arguments: &Map<String, Value>) -> Options {
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
            "vad_filter" => options.vad_filter = flag(),
            "vad_parameters" => options.vad_parameters = vad(value),
            other => panic!("{other} is no option"),
        }
    }
    options
}

fn vad(parameters: &Value) -> VadOptions {
    let number = |name: &str| parameters[name].as_f64();
    let milliseconds = |name: &str, default: u32| number(name).map_or(default, |value| value as u32);
    let defaults = VadOptions::default();
    VadOptions {
        threshold: number("threshold").map_or(defaults.threshold, |value| value as f32),
        min_silence_duration_ms: milliseconds("min_silence_duration_ms", defaults.min_silence_duration_ms),
        speech_pad_ms: milliseconds("speech_pad_ms", defaults.speech_pad_ms),
        max_speech_duration_s: number("max_speech_duration_s")
            .map_or(defaults.max_speech_duration_s, |value| value as f32),
        ..defaults
    }
}

/// What of a transcript is not as it should be, one line each.
#[derive(Default)]
pub(crate) struct Differences(Vec<String>);

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

    pub(crate) fn of(found: &Transcript, case: &Golden) -> Vec<String> {
        let mut all = Self::default();
        let language = found.language.map_or("", |language| language.code());
        all.near("duration", found.duration_sec, case.duration, 0.002);
        if let Some(wanted) = case.duration_after_vad {
            all.near("duration after vad", found.duration_after_vad_sec, wanted, 0.032);
        }
        // A language's probability is found behind the comma that floating point leaves.
        for ((language, probability), (code, wanted)) in
            found.language_probs.iter().zip(case.language_probs.iter().flatten())
        {
            if *wanted > 0.1 {
                all.same("language", language.code(), code);
                all.near("language probability", (*probability).into(), *wanted, 1e-3);
            }
        }
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
