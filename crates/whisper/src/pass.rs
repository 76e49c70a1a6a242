//! One way through one audio: window by window, from features to segments.

mod language;
mod place;
mod text;

use std::sync::Arc;

use stt_core::{Budget, ErrorCode, Failure, Language, Segment, Stop};

use crate::backend::Backend;
use crate::batch::{EncodedWindow, Request, Response};
use crate::detect::Guess;
use crate::engine::Engine;
use crate::fallback::Decoded;
use crate::mel::{FRAMES_PER_SECOND, Mel, WINDOW_FRAMES};
use crate::options::{AudioContext, InitialPrompt, Options};
use crate::prompt::Prompt;
use crate::scheduler::{SchedulerClient, SubmitError};
use crate::seek::Seek;
use crate::split::{self, Window};
use crate::suppress::suppressed;
use crate::words::Spoken;

/// Frames behind a window in a short context. Less makes more texts go on behind the end of the audio, which are decoded twice then:
/// of 17 short English notes 12 with 100 frames, 1 with 300, none with 700.
const CONTEXT_MARGIN: usize = 700;
/// Short contexts are a multiple of so many frames: only windows of one length share a batch.
const CONTEXT_STEP: usize = 100;

/// What a transcription tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// How far it came, in seconds of the audio that is transcribed: without silences that were cut out.
    pub done_sec: f64,
    /// Of how much.
    pub total_sec: f64,
    /// The segments of the window that was done last.
    pub segments: &'a [Segment],
}

pub(crate) struct Pass<'a, B: Backend> {
    engine: &'a Engine<B>,
    client: SchedulerClient<'a, B>,
    mel: &'a Mel,
    options: &'a Options,
    budget: &'a Budget<'a>,
    suppress: Arc<[u32]>,
    /// Length of a window.
    window_frames: usize,
    /// The window encoded last: it serves detection, decoding and alignment alike.
    encoded: Option<(Window, EncodedWindow<B::Encoded>)>,
    /// The window that a short context did not do for.
    full: Option<Window>,
    /// Each language's probability in the window that detection was asked about last.
    pub(crate) language_probs: Vec<Guess>,
}

impl<'a, B: Backend> Pass<'a, B> {
    pub(crate) fn new(engine: &'a Engine<B>, mel: &'a Mel, options: &'a Options, budget: &'a Budget<'a>) -> Self {
        Self {
            engine,
            client: engine.scheduler.client(),
            mel,
            options,
            budget,
            suppress: suppressed(&engine.tokens, &options.suppress_tokens).into(),
            window_frames: options
                .chunk_length
                .map_or(WINDOW_FRAMES, |sec| sec as usize * FRAMES_PER_SECOND),
            encoded: None,
            full: None,
            language_probs: vec![],
        }
    }

    /// Frames that the encoder is given of a window.
    fn context(&self, window: Window) -> usize {
        match self.options.audio_context {
            AudioContext::Auto if self.full != Some(window) => {
                let frames = (window.frames + CONTEXT_MARGIN).next_multiple_of(CONTEXT_STEP);
                frames.min(WINDOW_FRAMES)
            }
            _ => WINDOW_FRAMES,
        }
    }

    fn ask(&mut self, window: Window, request: Request) -> Result<Response, Failure> {
        let budget = self.budget;
        let failure = |error| match error {
            SubmitError::Stopped(stop) => stopped(stop, budget),
            SubmitError::Failed(error) => error.into(),
        };
        let context = self.context(window);
        let is_it = |(known, encoded): &(Window, EncodedWindow<_>)| *known == window && encoded.frames == context;
        let encoded = match self.encoded.take().filter(is_it) {
            Some((_, encoded)) => encoded,
            None => {
                let mel = self.mel.window(window.seek, window.frames, context);
                self.client.encode(mel, context, budget).map_err(failure)?
            }
        };
        let response = self.client.decode(&encoded, request, budget).map_err(failure);
        self.encoded = Some((window, encoded));
        response
    }

    /// Source: `generate_segments` of faster-whisper.
    pub(crate) fn segments(
        &mut self,
        mut language: Language,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<Segment>, Failure> {
        let (engine, options) = (self.engine, self.options);
        let content = self.mel.content_frames();
        let mut seek = Seek::new(&options.clip_timestamps, content, self.window_frames);
        let mut segments = Vec::new();
        let mut said: Vec<u32> = match &options.initial_prompt {
            Some(InitialPrompt::Text(text)) => engine.tokens.encode(&format!(" {}", text.trim())),
            Some(InitialPrompt::Tokens(ids)) => engine.tokens.known(ids),
            None => vec![],
        };
        let mut prompt_from = 0;
        let mut last_speech = 0.0;
        while let Some(window) = seek.window() {
            if options.multilingual
                && engine.multilingual
                && let Some((heard, _)) = self.hear(window)?
            {
                language = heard;
            }
            let task = engine.task_tokens(Some(language), options)?;
            let prompt = (Prompt {
                previous: &said[prompt_from..],
                task: &task,
                without_timestamps: options.without_timestamps,
                prefix: options.prefix.as_deref().filter(|_| window.seek == 0),
                hotwords: options.hotwords.as_deref(),
            })
            .build(&engine.tokens);
            let mut decoded = self.decode(window, &prompt)?;
            engine.scheduler.counts.windows.add(1);
            if decoded.is_silent(options) {
                engine.scheduler.counts.silent.add(1);
                seek.at = window.seek + window.frames;
                progress(far(seek.at, content, &[]));
                continue;
            }
            let reach = self.reach(window, &prompt, &task, language, &mut decoded)?;
            let mut split = split::split(&decoded.tokens, engine.tokens.timestamp_begin(), window);
            if let Some(reach) = reach {
                split.end_after(reach, window);
            }
            seek.at = split.next;
            let spoken = if options.word_timestamps {
                match self.place(split, window, &task, language, &mut last_speech)? {
                    (Some(spoken), next) => {
                        seek.at = next;
                        spoken
                    }
                    (None, next) => {
                        seek.at = next;
                        progress(far(seek.at, content, &[]));
                        continue;
                    }
                }
            } else {
                split.pieces.into_iter().map(Spoken::from).collect()
            };
            let before = segments.len();
            for piece in spoken {
                let text = engine.tokens.decode(&piece.tokens);
                if piece.start == piece.end || text.trim().is_empty() {
                    continue;
                }
                said.extend(&piece.tokens);
                segments.push(segment(piece, text, &decoded, window));
            }
            if !options.condition_on_previous_text || decoded.temperature > options.prompt_reset_on_temperature {
                prompt_from = said.len();
            }
            progress(far(seek.at, content, &segments[before..]));
        }
        Ok(segments)
    }
}

fn far(frames: usize, content: usize, segments: &[Segment]) -> Progress<'_> {
    let seconds = |frames: usize| frames as f64 / FRAMES_PER_SECOND as f64;
    Progress {
        done_sec: seconds(frames.min(content)),
        total_sec: seconds(content),
        segments,
    }
}

fn segment(piece: Spoken, text: String, decoded: &Decoded, window: Window) -> Segment {
    Segment {
        start_sec: piece.start,
        end_sec: piece.end,
        text,
        tokens: piece.tokens,
        avg_logprob: decoded.avg_logprob,
        compression_ratio: decoded.compression_ratio,
        no_speech_prob: decoded.no_speech_prob,
        temperature: decoded.temperature,
        seek: u32::try_from(window.seek).unwrap_or(u32::MAX),
        words: piece.words,
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
