//! Where the models and the recordings are, and what faster-whisper gave for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use stt_audio::{DecodeConfig, FfmpegDecode};
use stt_core::{Budget, Cancel, Decode, Fetched, Pcm, SystemClock, Transcript};
use stt_whisper::{Config, Options, Whisper};

use crate::golden::Golden;

/// The models, each with its goldens.
pub(crate) const MODELS: [&str; 2] = ["base", "tiny.en"];

/// What `fixtures/recipe/real.py` wrote about a model.
#[derive(Deserialize)]
pub(crate) struct Goldens {
    /// float32 at temperature 0.
    pub(crate) cases: BTreeMap<String, Case>,
    /// The same of each recording alone in int8, as faster-whisper's wheel computed it.
    pub(crate) int8: BTreeMap<String, Case>,
    /// Encodes, decodes and decoder steps with all defaults, and with `vad_filter` too.
    pub(crate) costs: BTreeMap<String, [[u64; 3]; 2]>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) file: String,
    #[serde(flatten)]
    pub(crate) golden: Golden,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/real")
}

pub(crate) fn goldens(model: &str) -> Goldens {
    let text = std::fs::read_to_string(fixtures().join(format!("{model}.json"))).expect("goldens");
    serde_json::from_str(&text).expect("goldens")
}

/// The folder of a model.
pub(crate) fn model_dir(model: &str) -> PathBuf {
    let models = std::env::var_os("REAL_MODELS").expect("REAL_MODELS is not set: run this by `make test-real`");
    let dir = PathBuf::from(models).join(model);
    assert!(
        dir.join("model.bin").is_file(),
        "there is no model in {}: `make real-models` fetches it",
        dir.display()
    );
    dir
}

pub(crate) fn load(model: &str, compute_type: &str) -> Whisper {
    let config = Config {
        compute_type: Some(compute_type.into()),
        ..Config::new(model_dir(model))
    };
    Whisper::load(&config).expect("a model that faster-whisper loads")
}

/// The bytes of a recording, of `REAL_AUDIO` or of the fixtures.
pub(crate) fn media(file: &str) -> Vec<u8> {
    let folders = std::env::var_os("REAL_AUDIO")
        .map(PathBuf::from)
        .into_iter()
        .chain([fixtures().join("audio")]);
    let path = folders.map(|folder| folder.join(file)).find(|path| path.is_file());
    std::fs::read(path.unwrap_or_else(|| panic!("no recording {file}"))).expect("a recording")
}

/// Its samples.
pub(crate) fn recording(file: &str) -> Pcm {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    let decoder = FfmpegDecode::new(DecodeConfig::default());
    let decoded = decoder.decode(&Fetched::Memory(media(file)), &budget);
    decoded.expect("a recording that can be decoded")
}

pub(crate) fn transcribe(whisper: &Whisper, pcm: &Pcm, options: &Options) -> Transcript {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(600));
    whisper.transcribe_with(pcm, options, &budget).expect("a transcript")
}
