//! The network, on CTranslate2.

use ct2rs::sys::{self, ComputeType, DetectionResult, StorageView, WhisperGenerationResult, WhisperOptions};

use crate::config::{COMPUTE_TYPES, Config, Device};
use crate::files::LoadError;
use crate::mel::WINDOW_FRAMES;
use crate::net::{Alignment, Generated, Net, NetError, Search};
use crate::tokens::Tokens;

/// Width of the median filter over the attention that words are found by, as faster-whisper has it.
const MEDIAN_FILTER: i64 = 7;

/// A loaded model.
pub(crate) struct Ct2 {
    model: sys::Whisper,
    /// For prompts, which CTranslate2 takes as strings.
    tokens: std::sync::Arc<Tokens>,
}

impl Ct2 {
    pub(crate) fn load(config: &Config, tokens: std::sync::Arc<Tokens>) -> Result<Self, LoadError> {
        let settings = sys::Config {
            device: match config.device {
                Device::Cpu => sys::Device::CPU,
                Device::Cuda => sys::Device::CUDA,
            },
            compute_type: compute_type(config.compute_type.as_deref())?,
            // One replica: CTranslate2 copies the weights for each.
            device_indices: vec![0],
            num_threads_per_replica: config.threads(),
            ..sys::Config::default()
        };
        // Before the model: each thread of CTranslate2 takes the seed when it first samples.
        if let Some(seed) = config.seed {
            sys::set_random_seed(seed);
        }
        let model = sys::Whisper::new(&config.model_dir, settings).map_err(|error| LoadError::Engine {
            path: config.model_dir.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { model, tokens })
    }

    pub(crate) fn mels(&self) -> usize {
        self.model.n_mels()
    }

    pub(crate) fn is_multilingual(&self) -> bool {
        self.model.is_multilingual()
    }
}

fn compute_type(name: Option<&str>) -> Result<ComputeType, LoadError> {
    let name = name.unwrap_or("default");
    Ok(match name {
        "default" => ComputeType::DEFAULT,
        "auto" => ComputeType::AUTO,
        "float32" => ComputeType::FLOAT32,
        "int8" => ComputeType::INT8,
        "int8_float32" => ComputeType::INT8_FLOAT32,
        "int8_float16" => ComputeType::INT8_FLOAT16,
        "int8_bfloat16" => ComputeType::INT8_BFLOAT16,
        "int16" => ComputeType::INT16,
        "float16" => ComputeType::FLOAT16,
        "bfloat16" => ComputeType::BFLOAT16,
        other => {
            debug_assert!(!COMPUTE_TYPES.contains(&other));
            return Err(LoadError::ComputeType { name: other.to_owned() });
        }
    })
}

impl Net for Ct2 {
    type Encoded = StorageView<'static>;

    fn encode(&self, windows: &[&[f32]]) -> Result<Self::Encoded, NetError> {
        let shape = [windows.len(), self.mels(), WINDOW_FRAMES];
        let mut values = windows.concat();
        let view = StorageView::new(&shape, &mut values, sys::Device::CPU).map_err(failed)?;
        self.model.encode(&view, false).map_err(failed)
    }

    fn languages(&self, encoded: &Self::Encoded) -> Result<Vec<Vec<(u32, f32)>>, NetError> {
        let found = self.model.detect_language(encoded).map_err(failed)?;
        let known = |guess: DetectionResult| Some((self.tokens.id(&guess.language)?, guess.probability));
        let rows = found.into_iter().map(|row| row.into_iter().filter_map(known).collect());
        Ok(rows.collect())
    }

    fn generate(
        &self,
        encoded: &Self::Encoded,
        prompts: &[&[u32]],
        search: &Search,
    ) -> Result<Vec<Generated>, NetError> {
        let sampled = search.temperature > 0.0;
        let options = WhisperOptions {
            beam_size: search.beam_size,
            patience: search.patience,
            length_penalty: search.length_penalty,
            repetition_penalty: search.repetition_penalty,
            no_repeat_ngram_size: search.no_repeat_ngram_size,
            max_length: search.max_length,
            sampling_topk: usize::from(!sampled), // 0: from the whole distribution
            sampling_temperature: if sampled { search.temperature } else { 1.0 },
            num_hypotheses: search.hypotheses,
            return_scores: true,
            return_logits_vocab: false,
            return_no_speech_prob: true,
            max_initial_timestamp_index: search.max_initial_timestamp_index,
            suppress_blank: search.suppress_blank,
            suppress_tokens: search.suppress_tokens.iter().map(|id| *id as i32).collect(),
        };
        let prompts: Vec<_> = prompts.iter().map(|prompt| self.tokens.strings(prompt)).collect();
        let found = self.model.generate(encoded, &prompts, &options).map_err(failed)?;
        found.into_iter().map(best).collect()
    }

    fn align(
        &self,
        encoded: &Self::Encoded,
        start: &[u32],
        texts: &[&[u32]],
        frames: &[usize],
    ) -> Result<Vec<Alignment>, NetError> {
        let ids = |ids: &[u32]| ids.iter().map(|id| *id as usize).collect();
        let texts: Vec<Vec<usize>> = texts.iter().map(|text| ids(text)).collect();
        let start: Vec<usize> = ids(start);
        let found = self.model.align(encoded, &start, &texts, frames, MEDIAN_FILTER);
        let alignment = |row: sys::WhisperAlignmentResult| Alignment {
            path: row
                .alignments
                .iter()
                .map(|step| (step.token_x as usize, step.frame_x as usize))
                .collect(),
            probabilities: row.text_token_probs,
        };
        Ok(found.map_err(failed)?.into_iter().map(alignment).collect())
    }
}

fn best(result: WhisperGenerationResult) -> Result<Generated, NetError> {
    let nothing = || NetError("CTranslate2 returned no hypothesis".to_owned());
    let tokens = result.sequences_ids.into_iter().next().ok_or_else(nothing)?;
    Ok(Generated {
        tokens: tokens.into_iter().map(|id| id as u32).collect(),
        score: result.scores.first().copied().ok_or_else(nothing)?,
        no_speech_prob: result.no_speech_prob,
    })
}

fn failed(error: impl std::fmt::Display) -> NetError {
    NetError(error.to_string())
}
