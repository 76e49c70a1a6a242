//! The loaded model, as others use it.

use std::sync::Arc;

use stt_core::{Budget, Failure, Language, Pcm, Transcribe, TranscribeRequest, Transcript};
use stt_ctranslate2::Model;

use crate::backend::{Backend, Search};
use crate::config::Config;
use crate::counts::Stats;
use crate::ct2;
use crate::engine::{CUT_DOWN, Engine, NO_WORDS, NONE_KNOWN};
use crate::files::{LoadError, ModelDir};
use crate::mel::MelExtractor;
use crate::options::{AudioContext, Options};
use crate::pass::Progress;
use crate::prompt::Prompt;
use crate::scheduler::BatchScheduler;
use crate::tokens::Tokens;

/// A loaded Whisper model. Shared between threads: up to [`Config::replicas`] calls of the network run at the same time, and windows
/// that wait are decoded in batches of up to [`Config::batch_size`].
pub struct Whisper {
    engine: Engine<Model>,
    options: Options,
}

impl std::fmt::Debug for Whisper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whisper")
            .field("mels", &self.engine.scheduler.backend().mels())
            .field("multilingual", &self.engine.multilingual)
            .finish_non_exhaustive()
    }
}

impl Whisper {
    /// Loads a model, checks that its files fit each other, and decodes one window of silence with it: a model that is
    /// returned works. Takes a second or a few, and the size of the weights in memory.
    ///
    /// # Errors
    /// With the file and the reason.
    pub fn load(config: &Config) -> Result<Self, LoadError> {
        if let Some(problem) = config.options.problem() {
            return Err(LoadError::Options(problem));
        }
        let dir = ModelDir(&config.model_dir);
        dir.check()?;
        let tokens = Tokens::load(&dir)?;
        let net = ct2::load(config)?;
        let mels = net.mels();
        if let Some(declared) = dir.mels().filter(|declared| *declared != mels) {
            let reason = format!("model.bin takes {mels} mels, preprocessor_config.json says {declared}");
            return Err(dir.mismatch(reason));
        }
        let described = dir.config()?;
        let heads = described.alignment_heads.filter(|heads| !heads.is_empty());
        let size = dir.network_size()?;
        // CTranslate2 indexes by them without a check, and conversions of distilled models carry those of their teacher, which has
        // more layers.
        let aligns = heads.as_ref().is_some_and(|heads| size.has(heads));
        if config.options.audio_context == AudioContext::Auto && 2 * size.decoder_layers <= size.encoder_layers {
            return Err(dir.mismatch(CUT_DOWN));
        }
        if heads.is_some() && !aligns {
            log::warn!(
                "alignment_heads of config.json name attention heads that the decoder does not have (those of the model \
                 that it was distilled from, maybe): it cannot find words"
            );
        }
        let engine = Engine {
            aligns,
            detects: described.lang_ids.is_some_and(|ids| !ids.is_empty()),
            multilingual: net.is_multilingual(),
            extractor: MelExtractor::new(mels),
            scheduler: BatchScheduler::new(net, config.limits()),
            tokens,
        };
        warm_up(&engine).map_err(|failure| LoadError::WarmUp {
            path: config.model_dir.clone(),
            reason: failure.error_chain(),
        })?;
        if config.options.word_timestamps && !engine.aligns {
            return Err(dir.mismatch(NO_WORDS));
        }
        if !engine.knows_any(&config.options.languages) {
            return Err(dir.mismatch(NONE_KNOWN));
        }
        let options = config.options.clone();
        Ok(Self { engine, options })
    }

    /// Transcribes a whole audio. Blocks; the budget is checked about every 50 ms while the audio is prepared (voice activity,
    /// features), and before every call to the network: it is overrun by at most the one batch that is under way (should that
    /// fail, by its windows one by one).
    ///
    /// # Errors
    /// [`stt_core::ErrorCode::TranscribeTimeout`] (transient), [`stt_core::ErrorCode::TranscribeFailed`] (transient;
    /// permanent when the options make no sense; fatal after a CUDA error that stays),
    /// [`stt_core::ErrorCode::UnsupportedLanguage`] when this model does not know the language.
    pub fn transcribe_with(&self, pcm: &Pcm, options: &Options, budget: &Budget<'_>) -> Result<Transcript, Failure> {
        self.transcribe_and_tell(pcm, options, budget, &mut |_| {})
    }

    /// The same, telling after each window how far it came and what it heard.
    ///
    /// # Errors
    /// As [`Whisper::transcribe_with`]; what was told before is good all the same.
    pub fn transcribe_and_tell(
        &self,
        pcm: &Pcm,
        options: &Options,
        budget: &Budget<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Transcript, Failure> {
        self.engine.transcribe(pcm, options, budget, progress)
    }

    /// The compute type that is used: that of [`Config`], or what the device supports instead.
    #[must_use]
    pub fn compute_type(&self) -> String {
        self.engine.scheduler.backend().compute_type()
    }

    /// What was done since the model was loaded.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.scheduler.counts.stats()
    }
}

impl Transcribe for Whisper {
    /// With [`Config::options`], and the language and the words that the request tells.
    fn transcribe(&self, pcm: &Pcm, request: &TranscribeRequest, budget: &Budget<'_>) -> Result<Transcript, Failure> {
        let options = Options {
            language: request.language.or(self.options.language),
            word_timestamps: request.words || self.options.word_timestamps,
            ..self.options.clone()
        };
        self.transcribe_with(pcm, &options, budget)
    }
}

/// Length of the window of silence that everything is tried on.
const WARM_UP_FRAMES: usize = 100;

/// Everything that the network is asked for, once, on silence.
fn warm_up(engine: &Engine<Model>) -> Result<(), Failure> {
    let options = Options::default();
    let (backend, threads) = (engine.scheduler.backend(), engine.scheduler.threads());
    let mel = engine.extractor.extract(&[0.0; 1600]).window(0, 10, WARM_UP_FRAMES);
    let encoded = Backend::encode(backend, &[&mel], threads)?;
    let encoded: Vec<_> = encoded.iter().collect();
    if engine.multilingual && engine.detects {
        Backend::languages(backend, &encoded, threads)?;
    }
    let english = Language::from_tag("en").ok();
    let task = engine.task_tokens(english, &options)?;
    let prompt = Prompt {
        task: &task,
        ..Prompt::default()
    }
    .build(&engine.tokens);
    let search = Search::at(0.0, prompt.tokens.len() + 1, &options, &Arc::from([]));
    Backend::generate(backend, &encoded, &[&prompt.tokens], &search, threads)?;
    if engine.aligns {
        let text = engine.tokens.encode(" a");
        Backend::align(backend, &encoded, &engine.tokens.start(&task), &[&text], &[10], threads)?;
    }
    Ok(())
}
