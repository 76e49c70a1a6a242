//! The files of a model directory.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::bpe;
use crate::model_bin::{self, NetworkSize};

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file is not there, or cannot be read.
    #[error("cannot read {path} of the model: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is damaged or of another kind of model: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The files do not belong together.
    #[error("the files in {path} do not fit each other: {reason}")]
    Mismatch {
        /// The model's directory.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// [`crate::Config::compute_type`] is none of [`crate::COMPUTE_TYPES`].
    #[error("{name:?} is no compute type; there are {}", crate::COMPUTE_TYPES.join(", "))]
    ComputeType {
        /// The name given.
        name: String,
    },
    /// [`crate::Config::options`] make no sense.
    #[error("the options of transcription make no sense: {0}")]
    Options(&'static str),
    /// CTranslate2 refused the model, the device or the compute type.
    #[error("CTranslate2 cannot load the model in {path}: {reason}")]
    Engine {
        /// The model's directory.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// The model was loaded, but decoding a window of silence failed.
    #[error("the model in {path} was loaded but does not work: {reason}")]
    WarmUp {
        /// The model's directory.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// What `config.json` says beside what CTranslate2 reads of it.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct ModelConfig {
    /// Layer and head of the attention that follows the words.
    #[serde(default)]
    pub alignment_heads: Option<Vec<(usize, usize)>>,
    /// The tokens of the languages.
    #[serde(default)]
    pub lang_ids: Option<Vec<u32>>,
}

/// The directory of a model, read as far as the algorithm needs it.
pub(crate) struct ModelDir<'a>(pub &'a Path);

impl ModelDir<'_> {
    /// Whether everything that is always there is there.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        ["model.bin", "config.json"]
            .into_iter()
            .try_for_each(|name| self.open(name).map(drop))
    }

    /// The tokenizer of `tokenizer.json`, or one made from the vocabulary where the model comes without that file.
    pub(crate) fn tokenizer(&self, vocabulary: &[String]) -> Result<tokenizers::Tokenizer, LoadError> {
        if self.0.join("tokenizer.json").exists() {
            return tokenizers::Tokenizer::from_file(self.0.join("tokenizer.json"))
                .map_err(|error| self.content("tokenizer.json", error));
        }
        bpe::tokenizer(vocabulary).ok_or_else(|| {
            self.mismatch(
                "there is no tokenizer.json, and the vocabulary is no byte-level BPE that one could be made from; \
                 copy the tokenizer.json of the original model (openai/whisper-tiny or openai/whisper-tiny.en on \
                 the Hugging Face hub) into the directory",
            )
        })
    }

    pub(crate) fn config(&self) -> Result<ModelConfig, LoadError> {
        self.json("config.json")
    }

    pub(crate) fn network_size(&self) -> Result<NetworkSize, LoadError> {
        model_bin::network_size(&self.0.join("model.bin")).map_err(|source| self.unreadable("model.bin", source))
    }

    /// The decoder's tokens by id: `vocabulary.json`, or `vocabulary.txt` with a token a line.
    pub(crate) fn vocabulary(&self) -> Result<Vec<String>, LoadError> {
        if self.0.join("vocabulary.json").exists() || !self.0.join("vocabulary.txt").exists() {
            return self.json("vocabulary.json");
        }
        let text = self.text("vocabulary.txt")?;
        Ok(text.trim_end_matches('\n').split('\n').map(str::to_owned).collect())
    }

    /// Mel bands by `preprocessor_config.json`; `None` when the file is missing, damaged or silent about them, as in
    /// faster-whisper.
    pub(crate) fn mels(&self) -> Option<usize> {
        #[derive(serde::Deserialize)]
        struct Preprocessor {
            feature_size: Option<usize>,
        }
        if !self.0.join("preprocessor_config.json").exists() {
            return None;
        }
        let found: Result<Preprocessor, LoadError> = self.json("preprocessor_config.json");
        found
            .inspect_err(|error| log::warn!("{error}; the features are made as model.bin takes them"))
            .ok()?
            .feature_size
    }

    pub(crate) fn mismatch(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Mismatch {
            path: self.0.to_owned(),
            reason: reason.into(),
        }
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, LoadError> {
        serde_json::from_str(&self.text(name)?).map_err(|error| self.content(name, error))
    }

    fn text(&self, name: &str) -> Result<String, LoadError> {
        std::fs::read_to_string(self.0.join(name)).map_err(|source| self.unreadable(name, source))
    }

    fn open(&self, name: &str) -> Result<std::fs::File, LoadError> {
        std::fs::File::open(self.0.join(name)).map_err(|source| self.unreadable(name, source))
    }

    fn unreadable(&self, name: &str, source: std::io::Error) -> LoadError {
        let path = self.0.join(name);
        LoadError::File { path, source }
    }

    fn content(&self, name: &str, error: impl std::fmt::Display) -> LoadError {
        let (path, reason) = (self.0.join(name), error.to_string());
        LoadError::Content { path, reason }
    }
}
