//! Real models with what they come with, and with less.

use std::path::Path;

use stt_core::Language;
use stt_whisper::{Config, Options, Whisper};

use crate::site::{MODELS, goldens, load, model_dir, recording, transcribe};

/// The model without one of its files.
fn without(model: &str, missing: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(model_dir(model)).expect("a model") {
        let entry = entry.expect("a file");
        if entry.file_name() != missing {
            std::os::unix::fs::symlink(entry.path(), dir.path().join(entry.file_name())).expect("a link");
        }
    }
    dir
}

fn int8(dir: &Path) -> Whisper {
    let config = Config {
        compute_type: Some("int8".into()),
        ..Config::new(dir)
    };
    Whisper::load(&config).expect("a model that faster-whisper loads")
}

#[test]
fn without_tokenizer_json_prompts_and_texts_are_the_same() {
    let options = Options {
        temperatures: vec![0.0],
        hotwords: Some("Kennedy, fellow-citizens; don't \u{2014} गुरुवार 1961".into()),
        word_timestamps: true,
        ..Options::default()
    };
    let pcm = recording("en_faster-whisper__jfk.flac");
    for model in MODELS {
        let whole = transcribe(&load(model, "int8"), &pcm, &options);
        let dir = without(model, "tokenizer.json");
        assert_eq!(transcribe(&int8(dir.path()), &pcm, &options), whole, "{model}");
    }
}

#[test]
fn a_model_of_english_transcribes_whatever_the_hint() {
    let whisper = load("tiny.en", "float32");
    let case = &goldens("tiny.en").cases["en_faster-whisper__jfk.flac"];
    let options = Options {
        temperatures: vec![0.0],
        language: Language::from_tag("hi-IN").ok(),
        ..Options::default()
    };
    let found = transcribe(&whisper, &recording(&case.file), &options);
    assert_eq!(found.segments[0].text, case.golden.segments[0].text);
    assert_eq!(found.language.map(|language| language.code()), Some("en"));
}
