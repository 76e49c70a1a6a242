//! Whole transcriptions, by a network that says what it is told to.

mod budget;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use stt_core::{Cancel, SystemClock};

use super::*;
use crate::backend::{Alignment, BackendError, Generated, POSITIONS, Search};
use crate::batch::BatchMax;
use crate::files::ModelDir;
use crate::mel::{MelExtractor, WINDOW_FRAMES};
use crate::options::{AudioContext, Options};
use crate::prompt::Prompt;
use crate::scheduler::Limits;

/// What is asked of the network to generate: prompt, temperature, most tokens.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    prompt: Vec<u32>,
    temperature: f32,
    max_length: usize,
}

/// Answers in the order of its script; the last answer goes on for ever.
struct Script {
    answers: Mutex<Vec<Generated>>,
    asked: Mutex<Vec<Asked>>,
    languages: Vec<(u32, f32)>,
    encoded: Mutex<usize>,
    /// Frames of each window that was encoded.
    frames: Mutex<Vec<usize>>,
    /// Steps of 0.02 s that each token of a text takes in its alignment; 0 gives none.
    pace: usize,
}

impl Backend for Script {
    type Encoded = ();

    fn encode(&self, windows: &[&[f32]], _: usize) -> Result<Vec<()>, BackendError> {
        *self.encoded.lock().expect("count") += 1;
        let frames = windows.iter().map(|window| window.len() / 80);
        self.frames.lock().expect("log").extend(frames);
        Ok(vec![(); windows.len()])
    }

    fn languages(&self, _: &[&()], _: usize) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        Ok(vec![self.languages.clone()])
    }

    fn generate(
        &self,
        _: &[&()],
        prompts: &[&[u32]],
        search: &Search,
        _: usize,
    ) -> Result<Vec<Generated>, BackendError> {
        self.asked.lock().expect("log").push(Asked {
            prompt: prompts[0].to_vec(),
            temperature: search.temperature,
            max_length: search.max_length,
        });
        let mut answers = self.answers.lock().expect("script");
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        Ok(vec![answer])
    }

    fn align(
        &self,
        _: &[&()],
        _: &[u32],
        texts: &[&[u32]],
        _: &[usize],
        _: usize,
    ) -> Result<Vec<Alignment>, BackendError> {
        if self.pace == 0 {
            return Ok(texts.iter().map(|_| Alignment::default()).collect());
        }
        let evenly = |text: &&[u32]| Alignment {
            path: (0..=text.len()).map(|token| (token, token * self.pace)).collect(),
            probabilities: vec![0.9; text.len()],
        };
        Ok(texts.iter().map(evenly).collect())
    }
}

fn scheduler(script: Script) -> BatchScheduler<Script> {
    let limits = Limits {
        replicas: 1,
        threads: 1,
        batch: BatchMax { encode: 1, decode: 1 },
        batch_wait: Duration::ZERO,
    };
    BatchScheduler::new(script, limits)
}

fn engine(answers: impl FnOnce(&Tokens) -> Vec<Generated>) -> Engine<Script> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/model");
    let tokens = Tokens::load(&ModelDir(&model)).expect("the model of the fixtures");
    let language = |tag: &str| {
        tokens
            .language(Language::from_tag(tag).expect("a language"))
            .expect("known")
    };
    let script = Script {
        answers: Mutex::new(answers(&tokens)),
        asked: Mutex::default(),
        languages: vec![(language("la"), 0.5), (language("en"), 0.3), (language("hi"), 0.1)],
        encoded: Mutex::default(),
        frames: Mutex::default(),
        pace: 0,
    };
    Engine {
        scheduler: scheduler(script),
        extractor: MelExtractor::new(80),
        multilingual: true,
        aligns: false,
        detects: true,
        tokens,
    }
}

/// The same, with a model that can align; each token of a text takes so many steps of 0.02 s.
fn aligning(pace: usize, answers: impl FnOnce(&Tokens) -> Vec<Generated>) -> Engine<Script> {
    let engine = engine(answers);
    let script = Script {
        pace,
        answers: Mutex::new(engine.scheduler.backend().answers.lock().expect("script").clone()),
        asked: Mutex::default(),
        languages: vec![],
        encoded: Mutex::default(),
        frames: Mutex::default(),
    };
    Engine {
        scheduler: scheduler(script),
        aligns: true,
        ..engine
    }
}

/// As the worker transcribes English, but for voice activity detection.
fn recommended() -> Options {
    Options {
        vad_filter: false,
        ..english(Options::recommended())
    }
}

/// Text between two timestamps, in seconds.
fn said(tokens: &Tokens, start: f64, text: &str, end: f64) -> Generated {
    let at = |seconds: f64| tokens.timestamp_begin() + (seconds * 50.0).round() as u32;
    let mut ids = vec![at(start)];
    ids.extend(tokens.encode(text));
    ids.push(at(end));
    sure(ids)
}

fn sure(tokens: Vec<u32>) -> Generated {
    Generated {
        tokens,
        score: -0.1,
        no_speech_prob: 0.0,
    }
}

/// So many text tokens without a timestamp, drawn from the vocabulary: what is cut off at a cap.
fn filled(tokens: &Tokens, len: usize) -> Generated {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        300 + (state >> 33) as u32 % 400
    };
    let mut ids = vec![tokens.timestamp_begin()];
    ids.extend((1..len).map(|_| next()));
    sure(ids)
}

fn english(options: Options) -> Options {
    Options {
        language: Language::from_tag("en").ok(),
        ..options
    }
}

fn transcribe(engine: &Engine<Script>, seconds: usize, options: &Options) -> Result<Transcript, Failure> {
    let pcm = Pcm {
        samples: vec![0.01; seconds * Pcm::RATE as usize],
    };
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(600));
    engine.transcribe(&pcm, options, &budget, &mut |_| {})
}

fn asked(engine: &Engine<Script>) -> Vec<Asked> {
    engine.scheduler.backend().asked.lock().expect("log").clone()
}

#[test]
fn options_that_make_no_sense_are_refused_for_good() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
    let defaults = Options::default;
    for (options, named) in [
        (
            Options {
                beam_size: 0,
                ..defaults()
            },
            "beam_size",
        ),
        (
            Options {
                best_of: 0,
                ..defaults()
            },
            "best_of",
        ),
        (
            Options {
                temperatures: vec![],
                ..defaults()
            },
            "temperature",
        ),
        (
            Options {
                temperatures: vec![-0.1],
                ..defaults()
            },
            "temperatures",
        ),
        (
            Options {
                patience: 0.0,
                ..defaults()
            },
            "patience",
        ),
        (
            Options {
                repetition_penalty: f32::NAN,
                ..defaults()
            },
            "penalties",
        ),
        (
            Options {
                chunk_length: Some(31),
                ..defaults()
            },
            "chunk_length",
        ),
        (
            Options {
                max_new_tokens: Some(0),
                ..defaults()
            },
            "max_new_tokens",
        ),
        (
            Options {
                clip_timestamps: vec![-1.0],
                ..defaults()
            },
            "clip_timestamps",
        ),
        (
            Options {
                max_initial_timestamp: f64::NAN,
                ..defaults()
            },
            "max_initial_timestamp",
        ),
    ] {
        let failure = transcribe(&engine, 1, &options).unwrap_err();
        assert_eq!(failure.fault, stt_core::Fault::Permanent);
        assert!(failure.error_chain().contains(named), "{}", failure.error_chain());
    }
}

#[test]
fn a_model_that_cannot_find_words_says_so() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
    let options = english(Options {
        word_timestamps: true,
        ..Options::default()
    });
    let failure = transcribe(&engine, 1, &options).unwrap_err();
    assert!(
        failure.error_chain().contains("alignment_heads"),
        "{}",
        failure.error_chain()
    );
}

#[test]
fn the_window_after_a_cut_off_text_begins_with_its_last_word() {
    // 223 text tokens of 0.08 s: the text ends at 17.84 s.
    let engine = aligning(4, |tokens| vec![filled(tokens, 224), said(tokens, 0.0, " Check", 12.0)]);
    let transcript = transcribe(&engine, 30, &recommended()).unwrap();
    let [first, second] = &transcript.segments[..] else {
        panic!("{transcript:?}")
    };
    assert_eq!((first.start_sec, second.start_sec), (0.0, first.end_sec));
    assert!((15.0..17.84).contains(&first.end_sec), "{}", first.end_sec);
    let lost = 224 - first.tokens.len();
    assert!(
        (1..50).contains(&lost),
        "its last word of {lost} tokens is left to the next window"
    );
    let stats = engine.scheduler.counts.stats();
    assert_eq!((asked(&engine).len(), stats.capped, stats.aligned), (2, 1, 1));
    assert!(asked(&engine).iter().all(|asked| asked.max_length == POSITIONS));
}

#[test]
fn a_cut_off_text_that_is_bad_costs_no_more_than_its_temperatures() {
    type Answers = fn(&Tokens) -> Vec<Generated>;
    let bad: [(&str, Answers); 4] = [
        ("a loop", |tokens| {
            let word = tokens.encode(" Check");
            vec![sure(word.iter().copied().cycle().take(224).collect())]
        }),
        ("doubted", |tokens| {
            vec![Generated {
                score: -3.0,
                ..filled(tokens, 224)
            }]
        }),
        ("silent", |tokens| {
            vec![Generated {
                score: -3.0,
                no_speech_prob: 0.9,
                ..filled(tokens, 224)
            }]
        }),
        ("sampled", |tokens| {
            let doubted = Generated {
                score: -3.0,
                ..filled(tokens, 224)
            };
            vec![doubted, filled(tokens, 224)]
        }),
    ];
    for (what, answers) in bad {
        let engine = aligning(4, answers);
        transcribe(&engine, 30, &recommended()).unwrap();
        let stats = engine.scheduler.counts.stats();
        assert_eq!((stats.windows, stats.encoded, stats.aligned), (1, 1, 0), "{what}");
        assert!(asked(&engine).len() <= 6, "{what}");
    }
}

#[test]
fn a_text_that_would_end_early_is_a_guess_and_ends_its_window() {
    // 223 text tokens of 0.02 s: nobody speaks that fast.
    let engine = aligning(1, |tokens| vec![filled(tokens, 224)]);
    let transcript = transcribe(&engine, 30, &recommended()).unwrap();
    assert_eq!((transcript.segments.len(), asked(&engine).len()), (1, 1));
    let engine = aligning(2, |tokens| vec![filled(tokens, 224)]);
    transcribe(&engine, 9, &recommended()).unwrap();
    let stats = engine.scheduler.counts.stats();
    assert_eq!(
        (stats.windows, stats.aligned),
        (1, 0),
        "so short a window is not even aligned"
    );
}

#[test]
fn thirty_seconds_cost_at_most_half_more_than_faster_whispers_worst() {
    // Cut off, as late as is taken, until the last window takes all temperatures and fills each.
    let worst = 6 * 225;
    for pace in 1..=7 {
        let engine = aligning(pace, |tokens| {
            let doubted = Generated {
                score: -3.0,
                ..filled(tokens, 224)
            };
            vec![filled(tokens, 224), filled(tokens, 224), doubted]
        });
        transcribe(&engine, 30, &recommended()).unwrap();
        let stats = engine.scheduler.counts.stats();
        assert!(2 * stats.steps <= 3 * worst, "{pace}: {stats:?}");
        assert!(2 * stats.generated <= 3 * 6 && stats.encoded <= 3, "{pace}: {stats:?}");
    }
}

#[test]
fn by_default_it_is_cut_off_as_faster_whisper_does() {
    let engine = engine(|tokens| vec![filled(tokens, 224)]);
    let transcript = transcribe(&engine, 30, &english(Options::default())).unwrap();
    assert_eq!(transcript.segments[0].tokens.len(), 224);
    assert_eq!(asked(&engine).len(), 1);
}

#[test]
fn languages_that_the_model_does_not_know_are_no_silence() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
    let unheard = Options {
        languages: vec![Language::from_tag("ta").unwrap()],
        ..Options::default()
    };
    let failure = transcribe(&engine, 1, &unheard).unwrap_err();
    assert_eq!(failure.code, ErrorCode::UnsupportedLanguage);
}

#[test]
fn a_model_of_english_takes_every_hint_for_english() {
    for hint in ["hi", "en"] {
        let mut engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
        engine.multilingual = false;
        let hinted = Options {
            language: Language::from_tag(hint).ok(),
            ..Options::default()
        };
        let found = transcribe(&engine, 1, &hinted).unwrap();
        assert_eq!(found.language.map(|language| language.code()), Some("en"));
        let none = transcribe(&engine, 1, &Options::default()).unwrap();
        assert_eq!(none.language.map(|language| language.code()), Some("en"));
        let prompts: Vec<_> = asked(&engine).into_iter().map(|asked| asked.prompt).collect();
        let start = vec![engine.tokens.sot];
        assert_eq!(prompts, [start.clone(), start], "no language and no task in the prompt");
    }
}

#[test]
fn a_model_that_lists_no_languages_needs_a_hint() {
    let mut engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
    engine.detects = false;
    assert_eq!(
        transcribe(&engine, 1, &english(Options::default())).unwrap().text,
        "Check"
    );
    let failure = transcribe(&engine, 1, &Options::default()).unwrap_err();
    assert!(failure.error_chain().contains("lang_ids"), "{}", failure.error_chain());
}

#[test]
fn detection_tells_every_languages_probability() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
    let found = transcribe(&engine, 1, &Options::default()).unwrap();
    let codes: Vec<_> = found
        .language_probs
        .iter()
        .map(|(language, _)| language.code())
        .collect();
    assert_eq!(codes, ["la", "en", "hi"]);
    assert_eq!((found.duration_sec, found.duration_after_vad_sec), (1.0, 1.0));
    let given = transcribe(&engine, 1, &english(Options::default())).unwrap();
    assert_eq!(given.language_probs, [], "nothing was detected");
}

#[test]
fn the_text_so_far_is_the_prompt_whenever_it_fits() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
    let previous = vec![engine.tokens.encode(" Check")[0]; 300];
    let prompt = |hotwords: Option<&str>| {
        let task = engine
            .task_tokens(Language::from_tag("en").ok(), &Options::default())
            .unwrap();
        let built = Prompt {
            previous: &previous,
            task: &task,
            hotwords,
            ..Prompt::default()
        };
        built.build(&engine.tokens).tokens.len()
    };
    assert_eq!(prompt(None), 1 + 223 + 3);
    let words = |count: usize| " Check".repeat(count);
    let each = engine.tokens.encode(" Check").len();
    // As much as faster-whisper can take, with 20 positions or fewer left to the text.
    let most = 200 / each;
    assert_eq!(prompt(Some(&words(most))), 1 + most * each + 223 + 3);
    // Where it fails, what is oldest is left out.
    assert_eq!(prompt(Some(&words(300))), POSITIONS - 64);
}

fn short_context() -> Options {
    Options {
        audio_context: AudioContext::Auto,
        ..recommended()
    }
}

fn frames(engine: &Engine<Script>) -> Vec<usize> {
    engine.scheduler.backend().frames.lock().expect("log").clone()
}

#[test]
fn a_short_window_is_encoded_short_with_a_margin() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Call Meera", 3.0)]);
    let transcript = transcribe(&engine, 3, &short_context()).unwrap();
    assert_eq!((transcript.text.as_str(), frames(&engine)), ("Call Meera", vec![1000]));
    let stats = engine.scheduler.counts.stats();
    assert_eq!((stats.short_contexts, stats.short_contexts_redone), (1, 0));
    assert!(asked(&engine)[0].max_length < 100, "3 s hold no 224 tokens");
}

#[test]
fn a_window_that_nearly_fills_the_context_has_it_all() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Call Meera", 24.0)]);
    transcribe(&engine, 24, &short_context()).unwrap();
    assert_eq!(frames(&engine), [WINDOW_FRAMES]);
    assert_eq!(engine.scheduler.counts.stats().short_contexts, 0);
}

#[test]
fn whatever_speaks_against_a_short_text_has_it_redone_in_full() {
    type Answer = fn(&Tokens) -> Generated;
    let doubts: [(&str, Answer); 5] = [
        ("improbable", |tokens| Generated {
            score: -0.9,
            ..said(tokens, 0.0, " Call Peter", 3.0)
        }),
        ("silent, perhaps", |tokens| Generated {
            score: -1.5,
            no_speech_prob: 0.9,
            ..said(tokens, 0.0, " Call Peter", 3.0)
        }),
        ("ends behind the audio", |tokens| said(tokens, 0.0, " Call Peter", 4.5)),
        ("repeats itself", |tokens| {
            said(tokens, 0.0, &" no no no".repeat(9), 3.0)
        }),
        ("fills its room", |tokens| filled(tokens, 200)),
    ];
    for (doubt, answer) in doubts {
        let engine = engine(|tokens| vec![answer(tokens), said(tokens, 0.0, " Call Meera", 3.0)]);
        let transcript = transcribe(&engine, 3, &short_context()).unwrap();
        assert_eq!(
            (transcript.text.as_str(), frames(&engine)),
            ("Call Meera", vec![1000, WINDOW_FRAMES]),
            "{doubt}"
        );
        let stats = engine.scheduler.counts.stats();
        assert_eq!(
            (stats.short_contexts, stats.short_contexts_redone, stats.fallbacks),
            (1, 1, 0),
            "{doubt}"
        );
        assert_eq!(asked(&engine)[1].max_length, POSITIONS, "{doubt}");
    }
}

#[test]
fn a_rest_without_room_for_a_word_is_not_transcribed() {
    // The text says that it goes on at 2.96 s of 3.
    let engine = engine(|tokens| {
        let mut found = said(tokens, 0.0, " Call Meera", 2.96);
        found.tokens.push(*found.tokens.last().expect("a timestamp"));
        vec![found, said(tokens, 0.0, " Peter", 0.04)]
    });
    let transcript = transcribe(&engine, 3, &short_context()).unwrap();
    assert_eq!((transcript.text.as_str(), asked(&engine).len()), ("Call Meera", 1));
}

#[test]
fn text_that_says_where_to_go_on_is_not_cut_off() {
    let options = Options {
        whole_context: true,
        ..english(Options::default())
    };
    let engine = engine(|tokens| {
        let mut filled = said(tokens, 0.0, " Call Meera", 20.0);
        filled.tokens.push(filled.tokens[filled.tokens.len() - 1]);
        let rest = 224 - filled.tokens.len();
        filled.tokens.extend(self::filled(tokens, rest + 1).tokens.split_off(1));
        vec![filled, said(tokens, 0.0, " Check", 10.0)]
    });
    let transcript = transcribe(&engine, 30, &options).unwrap();
    assert_eq!(transcript.text, "Call Meera Check");
    assert_eq!((asked(&engine).len(), engine.scheduler.counts.stats().capped), (2, 0));
}

#[test]
fn half_a_character_at_the_cap_is_dropped() {
    let engine = engine(|_| vec![]);
    let mut tokens = engine.tokens.encode(" \u{1f600}");
    assert!(tokens.len() > 1, "a character of several tokens: {tokens:?}");
    tokens.pop();
    let mut cut = engine.tokens.encode(" Check");
    let whole = cut.clone();
    cut.extend(&tokens[1..]);
    engine.tokens.drop_broken_end(&mut cut);
    assert_eq!(cut, whole);
}

#[test]
fn only_the_languages_allowed_are_heard() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
    let tags = ["hi", "en"].map(|tag| Language::from_tag(tag).unwrap());
    let free = transcribe(&engine, 1, &Options::default()).unwrap();
    assert_eq!(free.language.map(|language| language.code()), Some("la"));
    let allowed = Options {
        languages: tags.to_vec(),
        ..Options::default()
    };
    let bound = transcribe(&engine, 1, &allowed).unwrap();
    assert_eq!(bound.language.map(|language| language.code()), Some("en"));
    assert!((bound.language_probability.unwrap() - 0.75).abs() < 1e-6);
    let given = transcribe(&engine, 1, &english(Options::default())).unwrap();
    assert_eq!(
        given.language_probability, None,
        "what was not measured has no probability"
    );
}

#[test]
fn a_window_is_encoded_once_or_as_often_as_faster_whisper_does() {
    for (encode_once, encoded) in [(true, 1), (false, 2)] {
        let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
        transcribe(
            &engine,
            1,
            &Options {
                encode_once,
                ..Options::default()
            },
        )
        .unwrap();
        assert_eq!(*engine.scheduler.backend().encoded.lock().unwrap(), encoded);
    }
}

#[test]
fn every_temperature_uses_the_same_view_and_the_best_text_wins() {
    let engine = engine(|tokens| {
        let poor = |score| Generated {
            score,
            ..said(tokens, 0.0, " Check", 1.0)
        };
        vec![poor(-3.0), poor(-2.0), poor(-4.0)]
    });
    let options = Options {
        temperatures: vec![0.0, 0.5, 1.0],
        ..english(Options::default())
    };
    let transcript = transcribe(&engine, 1, &options).unwrap();
    assert!((transcript.segments[0].avg_logprob + 2.0 * 3.0 / 4.0).abs() < 0.2);
    let temperatures: Vec<_> = asked(&engine).iter().map(|asked| asked.temperature).collect();
    assert_eq!(temperatures, options.temperatures);
    assert_eq!(*engine.scheduler.backend().encoded.lock().unwrap(), 1);
    assert_eq!(engine.scheduler.counts.stats().fallbacks, 1);
}

#[test]
fn progress_is_told_window_by_window_and_a_cancelled_one_ends_there() {
    let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 29.0)]);
    let pcm = Pcm {
        samples: vec![0.01; 70 * Pcm::RATE as usize],
    };
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(600));
    let mut told = vec![];
    let failure = engine
        .transcribe(&pcm, &english(Options::default()), &budget, &mut |progress| {
            told.push((progress.done_sec, progress.total_sec, progress.segments.len()));
            if told.len() == 2 {
                cancel.cancel();
            }
        })
        .unwrap_err();
    assert_eq!(told, [(30.0, 70.0, 1), (60.0, 70.0, 1)]);
    assert_eq!(asked(&engine).len(), 2, "{}", failure.error_chain());
}

/// Voice activity detection is sure of nothing, and doubts everything.
fn doubting(threshold: f32) -> Options {
    english(Options {
        vad_parameters: vad::VadOptions {
            threshold,
            neg_threshold: Some(-1.0),
            doubt_threshold: Some(0.0),
            ..vad::VadOptions::recommended()
        },
        ..Options::recommended()
    })
}

#[test]
fn a_text_of_a_sound_in_doubt_counts_if_nothing_speaks_against_it() {
    type Answer = fn(&Tokens) -> Generated;
    let answers: [(&str, Answer, &str); 4] = [
        ("plain", |tokens| said(tokens, 0.0, " Call Meera", 1.0), "Call Meera"),
        (
            "doubted",
            |tokens| Generated {
                score: -0.9,
                ..said(tokens, 0.0, " Call Meera", 1.0)
            },
            "",
        ),
        (
            "no speech",
            |tokens| Generated {
                no_speech_prob: 0.7,
                ..said(tokens, 0.0, " Call Meera", 1.0)
            },
            "",
        ),
        ("a loop", |tokens| said(tokens, 0.0, &" Check".repeat(40), 1.0), ""),
    ];
    for (what, answer, text) in answers {
        let engine = engine(|tokens| vec![answer(tokens)]);
        let found = transcribe(&engine, 2, &doubting(2.0)).unwrap();
        let stats = engine.scheduler.counts.stats();
        assert_eq!((found.text.as_str(), asked(&engine).len()), (text, 1), "{what}");
        assert_eq!(stats.no_speech, u64::from(text.is_empty()), "{what}");
        assert_eq!((found.duration_sec, found.duration_after_vad_sec), (2.0, 2.0));
    }
    // What is surely speech gets all temperatures.
    let engine = engine(|tokens| {
        vec![Generated {
            score: -3.0,
            ..said(tokens, 0.0, " Call Meera", 1.0)
        }]
    });
    assert_eq!(transcribe(&engine, 2, &doubting(0.0)).unwrap().text, "Call Meera");
    assert_eq!(asked(&engine).len(), 6);
}

#[test]
fn times_without_silences_are_brought_back_into_the_whole() {
    // 5 s of silence cut before the segment.
    let map = TimeMap::new(&[vad::Span {
        start: 80_000,
        end: 160_000,
    }]);
    let word = |start: f64, end: f64| stt_core::Word {
        start_sec: start,
        end_sec: end,
        ..stt_core::Word::default()
    };
    let mut segment = Segment {
        start_sec: 0.5,
        end_sec: 2.0,
        ..Segment::default()
    };
    restore(&mut segment, &map);
    assert_eq!((segment.start_sec, segment.end_sec), (5.5, 7.0));
    let mut segment = Segment {
        words: vec![word(0.6, 1.0), word(1.0, 1.8)],
        ..Segment::default()
    };
    restore(&mut segment, &map);
    assert_eq!(
        (segment.start_sec, segment.end_sec, segment.words[1].start_sec),
        (5.6, 6.8, 6.0)
    );
}
