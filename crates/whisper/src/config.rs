//! How the engine is made.

use std::path::PathBuf;

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA GPU; needs the feature `cuda`.
    Cuda,
}

/// The names that [`Config::compute_type`] takes, as CTranslate2 spells them.
pub const COMPUTE_TYPES: &[&str] = &[
    "default",
    "auto",
    "float32",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
];

/// Which model to load, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of a Whisper model in CTranslate2 form: `model.bin`, `config.json`, `tokenizer.json`, `vocabulary.json`
    /// (or `.txt`), and `preprocessor_config.json` when it has other than 80 mels.
    pub model_dir: PathBuf,
    /// Where it runs. Default the processor.
    pub device: Device,
    /// One of [`COMPUTE_TYPES`]. Default `None`: as the model was saved.
    pub compute_type: Option<String>,
    /// Threads of one call. Default 0: the number of cores, at most 4.
    pub cpu_threads: usize,
}

impl Config {
    /// The model in `model_dir`, with the defaults.
    #[must_use]
    pub fn new(model_dir: impl Into<PathBuf>) -> Self {
        Self {
            model_dir: model_dir.into(),
            device: Device::Cpu,
            compute_type: None,
            cpu_threads: 0,
        }
    }

    pub(crate) fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self.cpu_threads {
            0 => cores.min(4),
            asked => asked.min(cores),
        }
    }
}
