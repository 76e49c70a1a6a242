//! Whisper models of CTranslate2: what `ct2rs` does not bind.
//!
//! `ct2rs` compiles CTranslate2; this crate has its own binding (cxx) of the Whisper model, for three things:
//!
//! * **Replicas that share their weights** ([`LoadOptions::replicas`]). `ct2rs` runs several replicas by naming a device
//!   several times, which copies the weights each time.
//! * **Encoded windows that batch freely.** [`Model::encode`] gives each window of a batch by itself ([`Encoded`]), and
//!   [`Model::generate`], [`Model::languages`] and [`Model::align`] take any windows together, whatever call encoded them.
//! * **Threads per call**, so that one call alone can use all cores and several share them.
//!
//! Calls block. As many run at the same time as there are replicas; further ones queue. Upstream: `ctranslate2::models::Whisper`
//! (`include/ctranslate2/models/whisper.h`, version 4.8).

// The only CTranslate2 in the program: this links it.
use ct2rs as _;
use cxx::SharedPtr;

#[allow(unsafe_code, missing_docs, unreachable_pub)]
#[cxx::bridge(namespace = "stt")]
mod ffi {
    struct LoadOptions {
        model_dir: String,
        gpus: Vec<i32>,
        replicas: usize,
        compute_type: String,
        threads: usize,
    }

    struct SearchOptions<'a> {
        beam_size: usize,
        patience: f32,
        length_penalty: f32,
        repetition_penalty: f32,
        no_repeat_ngram_size: usize,
        max_length: usize,
        sampling_topk: usize,
        sampling_temperature: f32,
        num_hypotheses: usize,
        max_initial_timestamp_index: usize,
        suppress_blank: bool,
        suppress_tokens: &'a [u32],
    }

    #[derive(Clone)]
    struct EncodedRow {
        encoded: SharedPtr<Encoded>,
    }

    struct LanguageRow {
        tokens: Vec<u32>,
        probabilities: Vec<f32>,
    }

    struct Generated {
        tokens: Vec<u32>,
        score: f32,
        no_speech_prob: f32,
    }

    struct Alignment {
        tokens: Vec<u32>,
        steps: Vec<u32>,
        probabilities: Vec<f32>,
    }

    unsafe extern "C++" {
        include!("whisper.h");

        type Encoded;
        fn positions(self: &Encoded) -> usize;

        type Model;
        fn load(options: &LoadOptions) -> Result<UniquePtr<Model>>;
        fn is_multilingual(self: &Model) -> bool;
        fn mels(self: &Model) -> usize;
        fn compute_type(self: &Model) -> String;
        fn encode(self: &Model, features: &[f32], windows: usize, threads: usize) -> Result<Vec<EncodedRow>>;
        fn languages(self: &Model, rows: &[EncodedRow], threads: usize) -> Result<Vec<LanguageRow>>;
        fn generate(
            self: &Model,
            rows: &[EncodedRow],
            prompts: &[u32],
            options: &SearchOptions<'_>,
            threads: usize,
        ) -> Result<Vec<Generated>>;
        #[allow(clippy::too_many_arguments)]
        fn align(
            self: &Model,
            rows: &[EncodedRow],
            start: &[u32],
            texts: &[u32],
            text_lens: &[usize],
            frames: &[usize],
            median_filter_width: usize,
            threads: usize,
        ) -> Result<Vec<Alignment>>;

        fn set_random_seed(seed: u32);
    }
}

/// Which model to load, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Directory of a Whisper model in CTranslate2 form, in UTF-8.
    pub model_dir: String,
    /// Indices of NVIDIA GPUs, each with its copy of the weights; none: the processor.
    pub gpus: Vec<i32>,
    /// Calls that run at the same time, on each device. They share the weights; each needs memory for its own activations.
    pub replicas: usize,
    /// A compute type as CTranslate2 spells it, for example `int8`; `default` is that of the saved model. One that the device
    /// does not support falls back to the nearest, see [`Model::compute_type`].
    pub compute_type: String,
    /// Threads for loading and converting the weights.
    pub threads: usize,
}

/// How [`Model::generate`] searches, as `ctranslate2::models::WhisperOptions`.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions<'a> {
    /// Hypotheses kept in each step; 1 is greedy.
    pub beam_size: usize,
    /// The search ends with `beam_size × patience` finished hypotheses.
    pub patience: f32,
    /// Exponent of the length by which scores are divided.
    pub length_penalty: f32,
    /// Above 1 punishes tokens that were generated before.
    pub repetition_penalty: f32,
    /// Length of n-grams that may not repeat; 0: any may.
    pub no_repeat_ngram_size: usize,
    /// Most tokens of prompt and text; the text has at most half of it.
    pub max_length: usize,
    /// Candidates that are sampled from; 0: all, 1: none is sampled.
    pub sampling_topk: usize,
    /// Temperature of sampling.
    pub sampling_temperature: f32,
    /// Hypotheses of which the best is returned.
    pub num_hypotheses: usize,
    /// Latest first timestamp, in steps of 0.02 s.
    pub max_initial_timestamp_index: usize,
    /// Whether the text may not begin with a blank or be empty.
    pub suppress_blank: bool,
    /// Tokens that are never generated.
    pub suppress_tokens: &'a [u32],
}

/// The best hypothesis of a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generated {
    /// Text and timestamps, without `<|endoftext|>`.
    pub tokens: Vec<u32>,
    /// Sum of the log-probabilities over the length to the power of the length penalty.
    pub score: f32,
    /// Probability of `<|nospeech|>` at the start of the transcript.
    pub no_speech_prob: f32,
}

/// Where in a window its text tokens are spoken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alignment {
    /// The way through tokens and time: index of a token, and of a step of 0.02 s.
    pub path: Vec<(usize, usize)>,
    /// Probability of each text token.
    pub probabilities: Vec<f32>,
}

/// What CTranslate2 threw, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl From<cxx::Exception> for Error {
    fn from(exception: cxx::Exception) -> Self {
        Self(exception.what().to_owned())
    }
}

/// One window as the encoder gives it, on the device of its model. Clones share it. Memory: positions (half of the frames) ×
/// width of the model × 4 bytes (2 with float16): 3 MB for 30 s with base, 7.7 MB with large.
#[derive(Clone)]
pub struct Encoded(SharedPtr<ffi::Encoded>);

impl Encoded {
    /// Positions in time, each of 0.02 s.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.0.positions()
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded").field("positions", &self.positions()).finish()
    }
}

/// A loaded model.
pub struct Model(cxx::UniquePtr<ffi::Model>);

// SAFETY: `ctranslate2::ReplicaPool` takes calls from any thread: each call is a job in a queue under a lock, done in the thread
// of a replica. The functions that are not calls (`mels`, `is_multilingual`, `compute_type`) read what loading has set.
#[allow(unsafe_code)]
unsafe impl Send for ffi::Model {}
#[allow(unsafe_code)]
unsafe impl Sync for ffi::Model {}
// SAFETY: an `Encoded` is not changed after it is made. On a GPU (not tried: from reading CTranslate2 4.8) the call that makes it
// waits for its stream before it returns, and its memory may be freed in any thread: `src/cuda/allocator.cc` uses cub's
// `CachingDeviceAllocator`, which locks, or `cudaFreeAsync` on the stream of the thread that frees.
#[allow(unsafe_code)]
unsafe impl Send for ffi::Encoded {}
#[allow(unsafe_code)]
unsafe impl Sync for ffi::Encoded {}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("mels", &self.mels())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a model. Takes a second or a few; memory: the weights in the compute type, once for each device.
    ///
    /// # Errors
    /// What CTranslate2 says about files, device and compute type.
    pub fn load(options: &LoadOptions) -> Result<Self, Error> {
        let options = ffi::LoadOptions {
            model_dir: options.model_dir.clone(),
            gpus: options.gpus.clone(),
            replicas: options.replicas.max(1),
            compute_type: options.compute_type.clone(),
            threads: options.threads,
        };
        Ok(Self(ffi::load(&options)?))
    }

    /// Bands of the features that the encoder takes: 80, or 128.
    #[must_use]
    pub fn mels(&self) -> usize {
        self.0.mels()
    }

    /// Whether the model knows languages other than English.
    #[must_use]
    pub fn is_multilingual(&self) -> bool {
        self.0.is_multilingual()
    }

    /// The compute type that is used in fact.
    #[must_use]
    pub fn compute_type(&self) -> String {
        self.0.compute_type()
    }

    /// Encodes `windows` windows of equal length; `features` are window by window, in it band by band, frame by frame.
    ///
    /// # Errors
    /// What CTranslate2 says, out of memory for example.
    pub fn encode(&self, features: &[f32], windows: usize, threads: usize) -> Result<Vec<Encoded>, Error> {
        let rows = self.0.encode(features, windows, threads)?;
        Ok(rows.into_iter().map(|row| Encoded(row.encoded)).collect())
    }

    /// The tokens of the languages with their probabilities, most probable first, for each window.
    ///
    /// # Errors
    /// As [`Model::encode`]; and windows of different lengths.
    pub fn languages(&self, windows: &[&Encoded], threads: usize) -> Result<Vec<Vec<(u32, f32)>>, Error> {
        let found = self.0.languages(&rows(windows), threads)?;
        Ok(found
            .into_iter()
            .map(|row| row.tokens.into_iter().zip(row.probabilities).collect())
            .collect())
    }

    /// Generates a text for each window. The prompts have one length, `<|startoftranscript|>` at one place, and as many
    /// special tokens behind it.
    ///
    /// # Errors
    /// As [`Model::languages`]; and prompts that differ in what they must have in common.
    pub fn generate(
        &self,
        windows: &[&Encoded],
        prompts: &[&[u32]],
        options: &SearchOptions<'_>,
        threads: usize,
    ) -> Result<Vec<Generated>, Error> {
        if prompts.len() != windows.len() || prompts.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
            return Err(Error("a prompt for each window, all of one length".to_owned()));
        }
        let options = ffi::SearchOptions {
            beam_size: options.beam_size,
            patience: options.patience,
            length_penalty: options.length_penalty,
            repetition_penalty: options.repetition_penalty,
            no_repeat_ngram_size: options.no_repeat_ngram_size,
            max_length: options.max_length,
            sampling_topk: options.sampling_topk,
            sampling_temperature: options.sampling_temperature,
            num_hypotheses: options.num_hypotheses,
            max_initial_timestamp_index: options.max_initial_timestamp_index,
            suppress_blank: options.suppress_blank,
            suppress_tokens: options.suppress_tokens,
        };
        let found = self.0.generate(&rows(windows), &prompts.concat(), &options, threads)?;
        let generated = |row: ffi::Generated| Generated {
            tokens: row.tokens,
            score: row.score,
            no_speech_prob: row.no_speech_prob,
        };
        Ok(found.into_iter().map(generated).collect())
    }

    /// Finds where each window's text tokens are spoken in its first `frames` frames, by the attention of the model's
    /// alignment heads. `start`: `<|startoftranscript|>` and what follows it of language and task.
    ///
    /// # Errors
    /// As [`Model::languages`].
    pub fn align(
        &self,
        windows: &[&Encoded],
        start: &[u32],
        texts: &[&[u32]],
        frames: &[usize],
        median_filter_width: usize,
        threads: usize,
    ) -> Result<Vec<Alignment>, Error> {
        if texts.len() != windows.len() || frames.len() != windows.len() {
            return Err(Error("a text and a number of frames for each window".to_owned()));
        }
        let lens: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let rows = rows(windows);
        let found = self.0.align(
            &rows,
            start,
            &texts.concat(),
            &lens,
            frames,
            median_filter_width,
            threads,
        )?;
        let alignment = |row: ffi::Alignment| Alignment {
            path: row
                .tokens
                .into_iter()
                .zip(row.steps)
                .map(|(token, step)| (token as usize, step as usize))
                .collect(),
            probabilities: row.probabilities,
        };
        Ok(found.into_iter().map(alignment).collect())
    }
}

fn rows(windows: &[&Encoded]) -> Vec<ffi::EncodedRow> {
    windows
        .iter()
        .map(|window| ffi::EncodedRow {
            encoded: window.0.clone(),
        })
        .collect()
}

/// Sets the seed of what is sampled at temperatures above 0, for models that are loaded from now on: each thread of a replica
/// takes it when it first samples.
pub fn set_random_seed(seed: u32) {
    ffi::set_random_seed(seed);
}
