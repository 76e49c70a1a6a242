//! The engine: a loaded model and the loop over an audio's windows.

use std::sync::Arc;

use stt_core::{Budget, ErrorCode, Failure, Language, Pcm, Segment, Stop, Transcribe, TranscribeRequest, Transcript};

use crate::config::Config;
use crate::ct2::Ct2;
use crate::detect::{Guess, Vote};
use crate::fallback::{self, Decoded};
use crate::files::{LoadError, ModelDir};
use crate::mel::{FRAMES_PER_SECOND, Mel, MelExtractor, WINDOW_FRAMES};
use crate::net::{Net, Search};
use crate::options::Options;
use crate::prompt::Prompt;
use crate::seek::Seek;
use crate::split::{self, Window};
use crate::suppress::suppressed;
use crate::tokens::Tokens;

/// A loaded Whisper model. Shared between threads; they take turns, window by window.
pub struct Whisper {
    net: Ct2,
    tokens: Arc<Tokens>,
    extractor: MelExtractor,
    multilingual: bool,
}

impl std::fmt::Debug for Whisper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whisper")
            .field("mels", &self.net.mels())
            .field("multilingual", &self.multilingual)
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
        let dir = ModelDir(&config.model_dir);
        dir.check()?;
        let tokens = Arc::new(Tokens::load(&dir)?);
        let net = Ct2::load(config, Arc::clone(&tokens))?;
        let (mels, declared) = (net.mels(), dir.mels()?);
        if mels != declared {
            let reason =
                format!("model.bin takes {mels} mels, preprocessor_config.json (80 without one) says {declared}");
            return Err(dir.mismatch(reason));
        }
        if tokens.len() <= tokens.timestamp_begin() as usize {
            return Err(dir.mismatch("the vocabulary has no timestamps"));
        }
        let whisper = Self {
            multilingual: net.is_multilingual(),
            extractor: MelExtractor::new(mels),
            net,
            tokens,
        };
        whisper.warm_up().map_err(|failure| LoadError::WarmUp {
            path: config.model_dir.clone(),
            reason: failure.story(),
        })?;
        Ok(whisper)
    }

    fn warm_up(&self) -> Result<(), Failure> {
        let options = Options {
            max_new_tokens: Some(1),
            ..Options::default()
        };
        let encoded = self.net.encode(self.extractor.extract(&[0.0; 1600]).window(0, 10))?;
        if self.multilingual {
            self.net.languages(&encoded)?;
        }
        let english = Language::from_tag("en").ok();
        let prompt = Prompt {
            task: &self.task_tokens(english, &options)?,
            ..Prompt::default()
        };
        let prompt = prompt.build(&self.tokens);
        self.net
            .generate(&encoded, &prompt, &Search::at(0.0, &options, prompt.len(), &[]))?;
        Ok(())
    }

    /// Transcribes a whole audio. Blocks; the budget is checked before every window and every further temperature, so it
    /// is overrun by at most one of them.
    ///
    /// # Errors
    /// [`ErrorCode::TranscribeTimeout`] (transient), [`ErrorCode::TranscribeFailed`] (transient; fatal after a CUDA error
    /// that stays), [`ErrorCode::UnsupportedLanguage`] when this model does not know the language.
    pub fn transcribe_with(&self, pcm: &Pcm, options: &Options, budget: &Budget<'_>) -> Result<Transcript, Failure> {
        budget.check().map_err(|stop| stopped(stop, budget))?;
        let mel = self.extractor.extract(&pcm.samples);
        let suppress = suppressed(&self.tokens, &options.suppress_tokens);
        let mut pass = Pass {
            whisper: self,
            mel: &mel,
            options,
            budget,
            suppress: &suppress,
            encoded: None,
        };
        let duration_sec = pcm.duration().as_secs_f64();
        let Some((language, probability)) = pass.language()? else {
            return Ok(Transcript {
                duration_sec,
                ..Transcript::default()
            });
        };
        let segments = pass.segments(language)?;
        let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        Ok(Transcript {
            text: text.trim().to_owned(),
            language: Some(language),
            language_probability: probability,
            segments,
            duration_sec,
        })
    }

    /// The tokens of language and task that a prompt of this model has.
    fn task_tokens(&self, language: Option<Language>, options: &Options) -> Result<Vec<u32>, Failure> {
        if !self.multilingual {
            return Ok(vec![]);
        }
        let token = language
            .and_then(|language| self.tokens.language(language))
            .ok_or_else(|| {
                let name = language.map_or("none", |language| language.code());
                Failure::permanent(
                    ErrorCode::UnsupportedLanguage,
                    format!("this model does not know the language {name}"),
                )
            })?;
        Ok(vec![token, self.tokens.task(options.task)])
    }
}

impl Transcribe for Whisper {
    fn transcribe(&self, pcm: &Pcm, request: &TranscribeRequest, budget: &Budget<'_>) -> Result<Transcript, Failure> {
        let options = Options {
            language: request.language,
            ..Options::default()
        };
        self.transcribe_with(pcm, &options, budget)
    }
}

/// Why a transcription ended before its time.
pub(crate) fn stopped(stop: Stop, budget: &Budget<'_>) -> Failure {
    match stop {
        Stop::Expired => Failure::transient(
            ErrorCode::TranscribeTimeout,
            format!(
                "transcription did not end within {:.1} s",
                budget.allowed().as_secs_f64()
            ),
        ),
        Stop::Cancelled => Failure::transient(ErrorCode::TranscribeFailed, "transcription was cancelled"),
    }
}

/// One way through one audio.
struct Pass<'a> {
    whisper: &'a Whisper,
    mel: &'a Mel,
    options: &'a Options,
    budget: &'a Budget<'a>,
    suppress: &'a [u32],
    /// The window encoded last: its view serves detection and decoding alike.
    encoded: Option<(Window, <Ct2 as Net>::Encoded)>,
}

impl Pass<'_> {
    /// The language asked for, or heard; with a probability only when heard. `None` when there is nothing to hear.
    fn language(&mut self) -> Result<Option<(Language, Option<f32>)>, Failure> {
        if !self.whisper.multilingual {
            return Ok(Language::from_tag("en").ok().map(|english| (english, None)));
        }
        if let Some(language) = self.options.language {
            return Ok(Some((language, None)));
        }
        let content = self.mel.content_frames();
        let start = self
            .options
            .clip_timestamps
            .first()
            .map_or(0.0, |start| start * FRAMES_PER_SECOND as f64) as usize;
        let start = if start < content { start } else { 0 };
        let mut vote = Vote::default();
        for number in 0..self.options.language_detection_segments.max(1) {
            let seek = start + number * WINDOW_FRAMES;
            if seek >= content {
                break;
            }
            let frames = WINDOW_FRAMES.min(content - seek);
            if let Some(guess) = self.guess(Window { seek, frames })?
                && let Some((language, probability)) = vote.hear(guess, self.options.language_detection_threshold)
            {
                return Ok(Some((language, Some(probability))));
            }
        }
        Ok(vote
            .majority()
            .map(|(language, probability)| (language, Some(probability))))
    }

    fn guess(&mut self, window: Window) -> Result<Option<Guess>, Failure> {
        let (tokens, net) = (&self.whisper.tokens, &self.whisper.net);
        let guesses = net.languages(self.encode(window)?)?;
        Ok(guesses
            .into_iter()
            .find_map(|(token, probability)| Some((tokens.language_of(token)?, probability))))
    }

    fn encode(&mut self, window: Window) -> Result<&<Ct2 as Net>::Encoded, Failure> {
        self.budget.check().map_err(|stop| stopped(stop, self.budget))?;
        let known = self.encoded.take().filter(|(known, _)| *known == window);
        let encoded = match known {
            Some((_, encoded)) => encoded,
            None => self.whisper.net.encode(self.mel.window(window.seek, window.frames))?,
        };
        Ok(&self.encoded.insert((window, encoded)).1)
    }

    /// Source: `generate_segments` of faster-whisper.
    fn segments(&mut self, mut language: Language) -> Result<Vec<Segment>, Failure> {
        let (whisper, options) = (self.whisper, self.options);
        let mut seek = Seek::new(&options.clip_timestamps, self.mel.content_frames());
        let mut segments = Vec::new();
        let mut said: Vec<u32> = match &options.initial_prompt {
            Some(prompt) => whisper.tokens.encode(&format!(" {}", prompt.trim())),
            None => vec![],
        };
        let mut prompt_from = 0;
        while let Some(window) = seek.window() {
            if options.multilingual
                && whisper.multilingual
                && let Some((heard, _)) = self.guess(window)?
            {
                language = heard;
            }
            let prompt = Prompt {
                previous: &said[prompt_from..],
                task: &whisper.task_tokens(Some(language), options)?,
                without_timestamps: options.without_timestamps,
                prefix: options.prefix.as_deref().filter(|_| window.seek == 0),
                hotwords: options.hotwords.as_deref(),
            };
            let decoded = self.decode(window, &prompt.build(&whisper.tokens))?;
            if decoded.is_silent(options) {
                seek.at = window.seek + window.frames;
                continue;
            }
            let (pieces, next) = split::split(&decoded.tokens, whisper.tokens.timestamp_begin(), window);
            seek.at = next;
            for piece in pieces {
                let text = whisper.tokens.decode(&piece.tokens);
                if piece.start == piece.end || text.trim().is_empty() {
                    continue;
                }
                said.extend(&piece.tokens);
                segments.push(Segment {
                    start_sec: piece.start,
                    end_sec: piece.end,
                    text,
                    tokens: piece.tokens,
                    avg_logprob: decoded.avg_logprob,
                    compression_ratio: decoded.compression_ratio,
                    no_speech_prob: decoded.no_speech_prob,
                    temperature: decoded.temperature,
                    seek: u32::try_from(window.seek).unwrap_or(u32::MAX),
                    words: vec![],
                });
            }
            if !options.condition_on_previous_text || decoded.temperature > options.prompt_reset_on_temperature {
                prompt_from = said.len();
            }
        }
        Ok(segments)
    }

    fn decode(&mut self, window: Window, prompt: &[u32]) -> Result<Decoded, Failure> {
        let (whisper, options, budget, suppress) = (self.whisper, self.options, self.budget, self.suppress);
        let encoded = self.encode(window)?;
        let (net, tokens) = (&whisper.net, &whisper.tokens);
        fallback::decode(net, tokens, encoded, prompt, options, suppress, budget)
    }
}
