//! The engine on the model in `fixtures/model`; the golden transcripts of spoken clips are in the worker's tests, where
//! there is a decoder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stt_core::{Budget, Cancel, ErrorCode, Fault, Language, Pcm, SystemClock};
use stt_whisper::{Config, LoadError, Options, Whisper};
use tempfile::TempDir;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/model")
}

/// A copy of the model that can be damaged.
fn copy() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for file in std::fs::read_dir(model()).expect("the model of the fixtures") {
        let file = file.expect("a file of the model");
        std::fs::copy(file.path(), dir.path().join(file.file_name())).expect("a copy");
    }
    dir
}

fn refused(dir: &Path) -> LoadError {
    Whisper::load(&Config::new(dir)).expect_err("a damaged model")
}

#[test]
fn a_damaged_model_is_refused_with_the_reason() {
    for name in ["model.bin", "config.json", "vocabulary.json"] {
        let dir = copy();
        std::fs::remove_file(dir.path().join(name)).unwrap();
        let error = refused(dir.path()).to_string();
        assert!(error.contains(name), "without {name}: {error}");
    }
    let dir = copy();
    let weights = std::fs::read(dir.path().join("model.bin")).unwrap();
    std::fs::write(dir.path().join("model.bin"), &weights[..weights.len() / 2]).unwrap();
    let error = refused(dir.path());
    assert!(
        matches!(error, LoadError::Engine { .. }),
        "half of the weights: {error}"
    );

    let dir = copy();
    std::fs::write(dir.path().join("preprocessor_config.json"), r#"{"feature_size": 128}"#).unwrap();
    let error = refused(dir.path()).to_string();
    assert!(
        error.contains("80 mels") && error.contains("128"),
        "wrong mels: {error}"
    );

    let dir = copy();
    let vocabulary = std::fs::read_to_string(dir.path().join("vocabulary.json")).unwrap();
    std::fs::write(
        dir.path().join("vocabulary.json"),
        vocabulary.replace("<|transcribe|>", "<|x|>"),
    )
    .unwrap();
    let error = refused(dir.path()).to_string();
    assert!(
        error.contains("<|transcribe|>") && error.contains("<|x|>"),
        "wrong vocabulary: {error}"
    );

    let dir = copy();
    let vocabulary = std::fs::read_to_string(dir.path().join("vocabulary.json")).unwrap();
    let twice = vocabulary.replace("<|0.02|>", "<|0.04|>");
    std::fs::write(dir.path().join("vocabulary.json"), twice).unwrap();
    let error = refused(dir.path()).to_string();
    assert!(error.contains("<|0.04|>") && error.contains("twice"), "{error}");

    let dir = copy();
    let vocabulary = vocabulary.replace("<|mr|>", "<|xx|>");
    std::fs::write(dir.path().join("vocabulary.json"), vocabulary).unwrap();
    let error = refused(dir.path()).to_string();
    assert!(error.contains("<|mr|>") && error.contains("<|xx|>"), "{error}");

    let config = Config {
        compute_type: Some("int9".into()),
        ..Config::new(model())
    };
    let error = Whisper::load(&config).expect_err("no such type").to_string();
    assert!(error.contains("int9") && error.contains("int8_float16"), "{error}");
}

#[test]
fn what_cannot_be_transcribed_says_so() {
    let whisper = Whisper::load(&Config::new(model())).unwrap();
    let second = Pcm {
        samples: vec![0.0; 16_000],
    };
    let cancel = Cancel::default();
    let spent = Budget::new(&SystemClock, &cancel, Duration::ZERO);
    let failure = whisper
        .transcribe_with(&second, &Options::default(), &spent)
        .unwrap_err();
    assert_eq!(failure.code, ErrorCode::TranscribeTimeout);

    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    let cantonese = Options {
        language: Language::from_tag("yue").ok(),
        ..Options::default()
    };
    let failure = whisper.transcribe_with(&second, &cantonese, &budget).unwrap_err();
    assert_eq!(
        (failure.code, failure.fault),
        (ErrorCode::UnsupportedLanguage, Fault::Permanent)
    );

    let nothing = whisper
        .transcribe_with(&Pcm::default(), &Options::default(), &budget)
        .unwrap();
    assert_eq!(
        (nothing.text.as_str(), nothing.language),
        ("", None),
        "no language is made up for no audio"
    );

    cancel.cancel();
    let failure = whisper
        .transcribe_with(&second, &Options::default(), &budget)
        .unwrap_err();
    assert_eq!(failure.error_chain(), "transcription was cancelled");
}

#[test]
fn a_model_without_alignment_heads_is_refused_only_by_those_who_want_words() {
    let dir = copy();
    let path = dir.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config
        .as_object_mut()
        .unwrap()
        .remove("alignment_heads")
        .expect("the fixture has them");
    std::fs::write(&path, config.to_string()).unwrap();
    Whisper::load(&Config::new(dir.path())).expect("text alone needs none");
    let words = Config {
        options: Options {
            word_timestamps: true,
            ..Options::recommended()
        },
        ..Config::new(dir.path())
    };
    let error = Whisper::load(&words).expect_err("no words").to_string();
    assert!(error.contains("alignment_heads"), "{error}");
}
