//! How the engine is made.

use std::path::PathBuf;
use std::time::Duration;

use crate::Options;

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
#[derive(Clone, Debug, PartialEq)]
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
    /// Most windows, of different audios, that go to the network at once. Default 8. Memory: the encoder's view of a window
    /// takes 1,500 times the model's width in floats, 2 to 8 MB; decoding takes several times that.
    pub batch_size: usize,
    /// How long a batch that is not full waits for audios whose next window is not ready yet; nothing is waited for when
    /// one audio is transcribed alone. Default 10 ms.
    pub batch_wait: Duration,
    /// Seed of what is sampled at temperatures above 0. Default `None`: another at each start. One for the process: the
    /// model that is loaded last has the say. Texts then are the same from run to run as long as jobs come one by one, in
    /// the same order.
    pub seed: Option<u32>,
    /// What [`stt_core::Transcribe::transcribe`] does. Default [`Options::recommended`].
    pub options: Options,
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
            batch_size: 8,
            batch_wait: Duration::from_millis(10),
            seed: None,
            options: Options::recommended(),
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
