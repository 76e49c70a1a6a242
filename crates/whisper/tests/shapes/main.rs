//! Models of every shape that faster-whisper loads: small ones with random weights, written as CTranslate2's converter
//! would. Their texts mean nothing; that they load, decode and align does.

mod made;

use std::time::Duration;

use made::Shape;
use stt_core::{Budget, Cancel, Failure, Language, Pcm, SystemClock, Transcript};
use stt_whisper::{AudioContext, Config, Options, Whisper};

fn load(shape: &Shape) -> Whisper {
    let dir = shape.write();
    Whisper::load(&Config::new(dir.path())).unwrap_or_else(|error| panic!("{error}"))
}

/// A second of sound, a few tokens of text.
fn transcribe(whisper: &Whisper, language: Option<&str>, words: bool) -> Result<Transcript, Failure> {
    let pcm = Pcm {
        samples: (0..16_000_u32)
            .map(|at| ((at * at) % 977) as f32 / 977.0 - 0.5)
            .collect(),
    };
    let options = Options {
        language: language.and_then(|tag| Language::from_tag(tag).ok()),
        temperatures: vec![0.0],
        max_new_tokens: Some(8),
        hotwords: Some("Kafka, मराठी".into()),
        no_speech_threshold: None,
        word_timestamps: words,
        ..Options::default()
    };
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    whisper.transcribe_with(&pcm, &options, &budget)
}

#[test]
fn large_v3_has_128_mels_and_100_languages() {
    // Neither preprocessor_config.json nor tokenizer.json.
    let whisper = load(&Shape {
        mels: 128,
        languages: 100,
        text_tokens: 50_257,
        ..Shape::default()
    });
    let found = transcribe(&whisper, None, true).unwrap();
    assert_eq!(found.language_probs.len(), 100);
    let cantonese = transcribe(&whisper, Some("yue"), false).unwrap();
    assert_eq!(cantonese.language.map(|language| language.code()), Some("yue"));
}

#[test]
fn a_vocabulary_is_a_list_in_json_or_lines_of_text() {
    for as_text in [false, true] {
        let whisper = load(&Shape {
            as_text,
            ..Shape::default()
        });
        transcribe(&whisper, None, true).unwrap();
    }
}

#[test]
fn a_padded_vocabulary_repeats_timestamps_behind_the_last() {
    let whisper = load(&Shape {
        padding: 64,
        ..Shape::default()
    });
    transcribe(&whisper, Some("hi"), true).unwrap();
}

#[test]
fn older_models_call_no_speech_no_captions() {
    for (vocabulary, tokenizer) in [
        ("<|nocaptions|>", "<|nocaptions|>"),
        ("<|nocaptions|>", "<|nospeech|>"),
        ("<|nospeech|>", "<|nocaptions|>"),
    ] {
        let whisper = load(&Shape {
            no_speech: vocabulary,
            tokenizer_no_speech: Some(tokenizer),
            ..Shape::default()
        });
        transcribe(&whisper, Some("en"), false).unwrap();
    }
}

#[test]
fn a_model_of_english_has_no_language_tokens_in_its_prompt() {
    let whisper = load(&Shape {
        multilingual: false,
        ..Shape::default()
    });
    for hint in [None, Some("en"), Some("hi")] {
        let found = transcribe(&whisper, hint, true).unwrap();
        assert_eq!(found.language.map(|language| language.code()), Some("en"), "{hint:?}");
    }
}

#[test]
fn a_distilled_model_with_its_teachers_heads_finds_no_words() {
    let distilled = Shape {
        decoder_layers: 2,
        alignment_heads: "[[7, 0], [31, 1]]",
        ..Shape::default()
    };
    let whisper = load(&distilled);
    transcribe(&whisper, Some("en"), false).unwrap();
    let failure = transcribe(&whisper, Some("en"), true).unwrap_err();
    assert!(
        failure.error_chain().contains("alignment_heads"),
        "{}",
        failure.error_chain()
    );

    let dir = distilled.write();
    let config = Config {
        options: Options {
            word_timestamps: true,
            ..Options::recommended()
        },
        ..Config::new(dir.path())
    };
    let error = Whisper::load(&config).expect_err("words were asked for").to_string();
    assert!(error.contains("the decoder does not have"), "{error}");
}

#[test]
fn a_decoder_that_was_cut_down_needs_all_of_its_context() {
    let dir = Shape {
        encoder_layers: 2,
        ..Shape::default()
    }
    .write();
    let mut config = Config::new(dir.path());
    config.options.audio_context = AudioContext::Auto;
    let error = Whisper::load(&config).expect_err("it is refused").to_string();
    assert!(error.contains("AUDIO_CONTEXT=auto"), "{error}");
    config.options.audio_context = AudioContext::Full;
    Whisper::load(&config).expect("in full it loads");
}

#[test]
fn a_head_beyond_the_last_of_a_layer_is_none_either() {
    let whisper = load(&Shape {
        alignment_heads: "[[0, 9]]",
        ..Shape::default()
    });
    assert!(transcribe(&whisper, Some("en"), true).is_err());
}

#[test]
fn without_lang_ids_a_model_needs_a_hint() {
    let whisper = load(&Shape {
        lists_languages: false,
        ..Shape::default()
    });
    transcribe(&whisper, Some("hi"), true).unwrap();
    let failure = transcribe(&whisper, None, false).unwrap_err();
    assert!(failure.error_chain().contains("lang_ids"), "{}", failure.error_chain());
}

#[test]
fn a_damaged_preprocessor_config_is_passed_over() {
    for content in ["{", "{}", r#"{"feature_size": "eighty"}"#] {
        let dir = Shape::default().write();
        std::fs::write(dir.path().join("preprocessor_config.json"), content).unwrap();
        Whisper::load(&Config::new(dir.path())).unwrap_or_else(|error| panic!("{content}: {error}"));
    }
}

#[test]
fn without_a_tokenizer_and_a_vocabulary_to_make_it_from_it_is_told_what_to_do() {
    let dir = Shape::default().write();
    let path = dir.path().join("vocabulary.json");
    let vocabulary = std::fs::read_to_string(&path).unwrap();
    // A word that no merge of two known parts makes.
    std::fs::write(&path, vocabulary.replacen(r#""!!""#, r#""!#%&""#, 1)).unwrap();
    let error = Whisper::load(&Config::new(dir.path()))
        .expect_err("no tokenizer")
        .to_string();
    assert!(
        error.contains("tokenizer.json") && error.contains("openai/whisper-tiny"),
        "{error}"
    );
}
