//! The network, on CTranslate2.

use std::path::Path;

use stt_ctranslate2::{Encoded, Error, LoadOptions, Model, SearchOptions, set_random_seed};

use crate::backend::{Alignment, Backend, BackendError, Generated, Search};
use crate::config::{COMPUTE_TYPES, Config, Device};
use crate::files::LoadError;

/// Width of the median filter over the attention that words are found by, as faster-whisper has it.
const MEDIAN_FILTER: usize = 7;

/// Loads the model of a configuration.
pub(crate) fn load(config: &Config) -> Result<Model, LoadError> {
    let compute_type = config.compute_type();
    if !COMPUTE_TYPES.contains(&compute_type) {
        return Err(LoadError::ComputeType {
            name: compute_type.to_owned(),
        });
    }
    let options = LoadOptions {
        model_dir: utf8(&config.model_dir)?,
        gpus: match config.device {
            Device::Cpu => vec![],
            Device::Cuda => vec![0],
        },
        replicas: config.replicas(),
        compute_type: compute_type.to_owned(),
        threads: config.threads(),
    };
    // Before the model: each thread of CTranslate2 takes the seed when it first samples.
    if let Some(seed) = config.seed {
        set_random_seed(seed);
    }
    Model::load(&options).map_err(|error| LoadError::Engine {
        path: config.model_dir.clone(),
        reason: error.to_string(),
    })
}

fn utf8(path: &Path) -> Result<String, LoadError> {
    path.to_str().map(str::to_owned).ok_or_else(|| LoadError::Engine {
        path: path.to_owned(),
        reason: "the path is not UTF-8".to_owned(),
    })
}

impl Backend for Model {
    type Encoded = Encoded;

    fn encode(&self, windows: &[&[f32]], threads: usize) -> Result<Vec<Encoded>, BackendError> {
        match windows {
            [window] => Ok(Self::encode(self, window, 1, threads)?),
            windows => Ok(Self::encode(self, &windows.concat(), windows.len(), threads)?),
        }
    }

    fn languages(&self, windows: &[&Encoded], threads: usize) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        Ok(Self::languages(self, windows, threads)?)
    }

    fn generate(
        &self,
        windows: &[&Encoded],
        prompts: &[&[u32]],
        search: &Search,
        threads: usize,
    ) -> Result<Vec<Generated>, BackendError> {
        let sampled = search.temperature > 0.0;
        let options = SearchOptions {
            beam_size: search.beam_size,
            patience: search.patience,
            length_penalty: search.length_penalty,
            repetition_penalty: search.repetition_penalty,
            no_repeat_ngram_size: search.no_repeat_ngram_size,
            max_length: search.max_length,
            sampling_topk: usize::from(!sampled), // 0: from the whole distribution
            sampling_temperature: if sampled { search.temperature } else { 1.0 },
            num_hypotheses: search.hypotheses,
            max_initial_timestamp_index: search.max_initial_timestamp_index,
            suppress_blank: search.suppress_blank,
            suppress_tokens: &search.suppress_tokens,
        };
        Ok(Self::generate(self, windows, prompts, &options, threads)?)
    }

    fn align(
        &self,
        windows: &[&Encoded],
        start: &[u32],
        texts: &[&[u32]],
        frames: &[usize],
        threads: usize,
    ) -> Result<Vec<Alignment>, BackendError> {
        Ok(Self::align(
            self,
            windows,
            start,
            texts,
            frames,
            MEDIAN_FILTER,
            threads,
        )?)
    }
}

impl From<Error> for BackendError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}
