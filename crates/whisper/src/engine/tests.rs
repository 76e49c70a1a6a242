//! Whole transcriptions, by a network that says what it is told to.

mod budget;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use stt_core::{Cancel, SystemClock};

use super::*;
use crate::files::ModelDir;
use crate::mel::MelExtractor;
use crate::net::{Alignment, Generated, NetError, POSITIONS, Search};
use crate::options::Options;

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
}

impl Net for Script {
    type Encoded = ();

    fn encode(&self, _: &[&[f32]]) -> Result<(), NetError> {
        *self.encoded.lock().expect("count") += 1;
        Ok(())
    }

    fn languages(&self, (): &()) -> Result<Vec<Vec<(u32, f32)>>, NetError> {
        Ok(vec![self.languages.clone()])
    }

    fn generate(&self, (): &(), prompts: &[&[u32]], search: &Search) -> Result<Vec<Generated>, NetError> {
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

    fn align(&self, (): &(), _: &[u32], texts: &[&[u32]], _: &[usize]) -> Result<Vec<Alignment>, NetError> {
        Ok(texts.iter().map(|_| Alignment::default()).collect())
    }
}

fn engine(answers: impl FnOnce(&Tokens) -> Vec<Generated>) -> Engine<Script> {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/model");
    let tokens = Arc::new(Tokens::load(&ModelDir(&model)).expect("the model of the fixtures"));
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
    };
    Engine {
        desk: Desk::new(script, 1, Duration::ZERO),
        extractor: MelExtractor::new(80),
        multilingual: true,
        aligns: false,
        tokens,
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
    engine.desk.net().asked.lock().expect("log").clone()
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
        assert!(failure.story().contains(named), "{}", failure.story());
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
    assert!(failure.story().contains("alignment_heads"), "{}", failure.story());
}

#[test]
fn text_that_fills_half_of_the_positions_is_generated_with_all_of_them() {
    let whole = Options {
        whole_context: true,
        ..english(Options::default())
    };
    let engine = engine(|tokens| {
        vec![
            filled(tokens, 224),
            filled(tokens, 300),
            said(tokens, 0.0, " Check", 1.0),
        ]
    });
    let transcript = transcribe(&engine, 30, &whole).unwrap();
    assert_eq!(transcript.segments[0].tokens.len(), 300);
    let lengths: Vec<_> = asked(&engine).iter().map(|asked| asked.max_length).collect();
    assert_eq!(lengths, [POSITIONS, 2 * 441]);
    assert_eq!(engine.desk.counts.stats().capped, 1);
    assert_eq!(*engine.desk.net().encoded.lock().unwrap(), 1, "by the same view");
}

#[test]
fn by_default_it_is_cut_off_as_faster_whisper_does() {
    let engine = engine(|tokens| vec![filled(tokens, 224)]);
    let transcript = transcribe(&engine, 30, &english(Options::default())).unwrap();
    assert_eq!(transcript.segments[0].tokens.len(), 224);
    assert_eq!(asked(&engine).len(), 1);
}

#[test]
fn text_that_fills_all_positions_is_generated_in_shorter_windows() {
    let options = Options {
        whole_context: true,
        condition_on_previous_text: false,
        ..english(Options::default())
    };
    let engine = engine(|tokens| {
        let half = said(tokens, 0.0, " Call Meera", 15.0);
        vec![filled(tokens, 224), filled(tokens, 441), half.clone(), half]
    });
    let transcript = transcribe(&engine, 30, &options).unwrap();
    let times: Vec<_> = transcript
        .segments
        .iter()
        .map(|segment| (segment.start_sec, segment.end_sec))
        .collect();
    assert_eq!(times, [(0.0, 15.0), (15.0, 30.0)], "two windows of half the length");
    assert_eq!(transcript.text, "Call Meera Call Meera");
}

#[test]
fn a_longer_text_that_is_poor_is_not_taken_and_the_window_is_halved() {
    let options = Options {
        whole_context: true,
        condition_on_previous_text: false,
        temperatures: vec![0.0],
        ..english(Options::default())
    };
    let engine = engine(|tokens| {
        let half = said(tokens, 0.0, " Call Meera", 15.0);
        let poor = Generated {
            score: -3.0,
            ..filled(tokens, 300)
        };
        vec![filled(tokens, 224), poor, half.clone(), half]
    });
    assert_eq!(transcribe(&engine, 30, &options).unwrap().text, "Call Meera Call Meera");
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
fn a_model_of_english_knows_no_other() {
    let mut engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 1.0)]);
    engine.multilingual = false;
    let hindi = Options {
        language: Language::from_tag("hi").ok(),
        ..Options::default()
    };
    assert_eq!(
        transcribe(&engine, 1, &hindi).unwrap_err().code,
        ErrorCode::UnsupportedLanguage
    );
    let none = transcribe(&engine, 1, &Options::default()).unwrap();
    assert_eq!(none.language.map(|language| language.code()), Some("en"));
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
    assert_eq!((asked(&engine).len(), engine.desk.counts.stats().capped), (2, 0));
}

#[test]
fn a_loop_that_fills_the_positions_is_no_text_that_was_cut_off() {
    let options = Options {
        whole_context: true,
        temperatures: vec![0.0],
        ..english(Options::default())
    };
    let engine = engine(|tokens| {
        let word = tokens.encode(" Check");
        vec![sure(word.iter().copied().cycle().take(224).collect())]
    });
    transcribe(&engine, 30, &options).unwrap();
    assert_eq!(asked(&engine).len(), 1);
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
        assert_eq!(*engine.desk.net().encoded.lock().unwrap(), encoded);
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
    assert_eq!(*engine.desk.net().encoded.lock().unwrap(), 1);
    assert_eq!(engine.desk.counts.stats().fallbacks, 1);
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
    assert_eq!(asked(&engine).len(), 2, "{}", failure.story());
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
