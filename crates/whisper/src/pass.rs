//! One way through one audio: window by window, from features to segments.

use std::sync::Arc;

use stt_core::{Budget, ErrorCode, Failure, Language, Segment, Stop};

use crate::batch::{Answer, Call};
use crate::desk::{Held, NoAnswer, Seat};
use crate::detect::{self, Guess, Vote};
use crate::engine::{Engine, NONE_KNOWN};
use crate::fallback::{self, Decoded};
use crate::hallucination::{self, Verdict};
use crate::mel::{FRAMES_PER_SECOND, Mel, WINDOW_FRAMES};
use crate::net::{Alignment, Generated, Net, POSITIONS, Search};
use crate::options::{InitialPrompt, Options};
use crate::prompt::{Built, Prompt};
use crate::seek::Seek;
use crate::split::{self, Split, Window};
use crate::suppress::suppressed;
use crate::unicode;
use crate::words::{self, Spoken};

/// A window that is not shortened further, in frames.
const SHORTEST: usize = 500;

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

pub(crate) struct Pass<'a, N: Net> {
    engine: &'a Engine<N>,
    seat: Seat<'a, N>,
    mel: &'a Mel,
    options: &'a Options,
    budget: &'a Budget<'a>,
    suppress: Arc<[u32]>,
    /// Length of a window.
    window_frames: usize,
    /// The window asked about last: its view serves detection, decoding and alignment alike.
    held: Option<(Window, Held<N::Encoded>)>,
}

impl<'a, N: Net> Pass<'a, N> {
    pub(crate) fn new(engine: &'a Engine<N>, mel: &'a Mel, options: &'a Options, budget: &'a Budget<'a>) -> Self {
        Self {
            engine,
            seat: engine.desk.sit(),
            mel,
            options,
            budget,
            suppress: suppressed(&engine.tokens, &options.suppress_tokens).into(),
            window_frames: options
                .chunk_length
                .map_or(WINDOW_FRAMES, |sec| sec as usize * FRAMES_PER_SECOND),
            held: None,
        }
    }

    /// The language asked for, or heard; with a probability only when heard. `None` when there is nothing to hear.
    pub(crate) fn language(&mut self) -> Result<Option<(Language, Option<f32>)>, Failure> {
        if let Some(language) = self.engine.given(self.options)? {
            return Ok(Some((language, None)));
        }
        let content = self.mel.content_frames();
        let first = self.options.clip_timestamps.first().copied().unwrap_or_default();
        let start = (first * FRAMES_PER_SECOND as f64) as usize;
        let start = if start < content { start } else { 0 };
        // faster-whisper hears one frame of the padding, too.
        let end = if self.options.encode_once {
            content
        } else {
            self.mel.frames()
        };
        let mut vote = Vote::default();
        for number in 0..self.options.language_detection_segments.max(1) {
            let seek = start + number * self.window_frames;
            if seek >= end || content == 0 {
                break;
            }
            let frames = self.window_frames.min(end - seek);
            if let Some(guess) = self.hear(Window { seek, frames })?
                && let Some((language, probability)) = vote.hear(guess, self.options.language_detection_threshold)
            {
                return Ok(Some((language, Some(probability))));
            }
        }
        let winner = vote.majority();
        if winner.is_none() && content > 0 {
            return Err(Failure::permanent(ErrorCode::UnsupportedLanguage, NONE_KNOWN));
        }
        Ok(winner.map(|(language, probability)| (language, Some(probability))))
    }

    fn hear(&mut self, window: Window) -> Result<Option<Guess>, Failure> {
        let Answer::Languages(heard) = self.ask(window, Call::Languages)? else {
            unreachable!("languages were asked for")
        };
        let tokens = &self.engine.tokens;
        let guesses = heard
            .into_iter()
            .filter_map(|(token, probability)| Some((tokens.language_of(token)?, probability)));
        Ok(detect::likeliest(guesses, &self.options.languages))
    }

    fn ask(&mut self, window: Window, call: Call) -> Result<Answer, Failure> {
        let known = self.held.take().filter(|(known, _)| *known == window);
        let (_, held) = self
            .held
            .insert(known.unwrap_or_else(|| (window, Held::new(self.mel.window(window.seek, window.frames)))));
        self.seat.ask(held, call, self.budget).map_err(|none| match none {
            NoAnswer::Stopped(stop) => stopped(stop, self.budget),
            NoAnswer::Failed(error) => error.into(),
        })
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
        let mut most_frames = self.window_frames;
        while let Some(mut window) = seek.window() {
            window.frames = window.frames.min(most_frames);
            if options.multilingual
                && engine.multilingual
                && let Some((heard, _)) = self.hear(window)?
            {
                language = heard;
            }
            let task = engine.task_tokens(Some(language), options)?;
            let prompt = Prompt {
                previous: &said[prompt_from..],
                task: &task,
                without_timestamps: options.without_timestamps,
                prefix: options.prefix.as_deref().filter(|_| window.seek == 0),
                hotwords: options.hotwords.as_deref(),
            };
            let (decoded, cut_off) = self.decode(window, &prompt.build(&engine.tokens))?;
            if cut_off && window.frames >= 2 * SHORTEST {
                most_frames = window.frames / 2;
                continue;
            }
            most_frames = self.window_frames;
            engine.desk.counts.windows.add(1);
            if decoded.is_silent(options) {
                engine.desk.counts.silent.add(1);
                seek.at = window.seek + window.frames;
                progress(far(seek.at, content, &[]));
                continue;
            }
            let split = split::split(&decoded.tokens, engine.tokens.timestamp_begin(), window);
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

    /// The window's text, and whether it is cut off although it had all the room there is.
    fn decode(&mut self, window: Window, prompt: &Built) -> Result<(Decoded, bool), Failure> {
        let (engine, options, shape) = (self.engine, self.options, prompt.shape);
        let max_length = match options.max_new_tokens {
            Some(most) if options.whole_context => shape.with_room(most.min(shape.room_max())),
            Some(most) => (shape.len + most).min(POSITIONS),
            None => POSITIONS,
        };
        let mut tries = 0;
        let mut decoded = fallback::decode(&engine.tokens, options, |temperature| {
            tries += 1;
            self.generate(window, prompt, temperature, max_length)
        })?;
        let counts = &engine.desk.counts;
        counts.fallbacks.add(usize::from(tries > 1));
        let room = shape.room(max_length);
        let lift = options.whole_context && options.max_new_tokens.is_none();
        if !lift || decoded.tokens.len() < room || decoded.repeats_itself(options) {
            return Ok((decoded, false));
        }
        counts.capped.add(1);
        if shape.room_max() > room {
            let all = shape.with_room(shape.room_max());
            let longer = self.generate(window, prompt, decoded.drawn_at, all)?;
            let longer = Decoded::new(longer, decoded.drawn_at, &engine.tokens, options);
            let good = !longer.is_poor(options) && !longer.is_silent(options);
            if good && longer.tokens.len() < shape.room_max() {
                return Ok((longer, false));
            }
            if good {
                decoded = longer;
            }
        }
        engine.tokens.drop_broken_end(&mut decoded.tokens);
        Ok((decoded, true))
    }

    fn generate(
        &mut self,
        window: Window,
        prompt: &Built,
        temperature: f32,
        max_length: usize,
    ) -> Result<Generated, Failure> {
        let call = Call::Generate {
            prompt: prompt.tokens.clone(),
            shape: prompt.shape,
            search: Search::at(temperature, max_length, self.options, &self.suppress),
        };
        match self.ask(window, call)? {
            Answer::Generated(generated) => Ok(generated),
            _ => unreachable!("text was asked for"),
        }
    }

    /// The pieces with their words, and where to go on; no pieces when they seem invented.
    fn place(
        &mut self,
        split: Split,
        window: Window,
        task: &[u32],
        language: Language,
        last_speech: &mut f64,
    ) -> Result<(Option<Vec<Spoken>>, usize), Failure> {
        let (tokens, options) = (&self.engine.tokens, self.options);
        let offset = window.seek as f64 / FRAMES_PER_SECOND as f64;
        let mut next = split.next;
        let mut pieces: Vec<Spoken> = split.pieces.into_iter().map(Spoken::from).collect();
        let texts: Vec<Vec<u32>> = pieces.iter().map(|piece| tokens.text(&piece.tokens)).collect();
        let text = texts.concat();
        if !text.is_empty() {
            let alignment = self.align(window, task, &text)?;
            let lens: Vec<usize> = texts.iter().map(Vec::len).collect();
            let spellings = unicode::split(&text, language.code(), tokens);
            words::place(&mut pieces, spellings, &alignment, &lens, options, offset, *last_speech);
        }
        if !split.single_ending
            && let Some(end) = words::end(&pieces).filter(|end| *end > offset)
        {
            next = (end * FRAMES_PER_SECOND as f64).round_ties_even() as usize;
        }
        if let Some(threshold) = options.hallucination_silence_threshold {
            let content = self.mel.content_frames();
            match hallucination::judge(&pieces, window, self.window_frames, content, threshold, *last_speech) {
                Verdict::Keep => {}
                Verdict::Skip(seek) => return Ok((None, seek.max(window.seek + 1))),
                Verdict::Cut { from, seek } => {
                    pieces.truncate(from);
                    next = seek;
                }
            }
        }
        if let Some(end) = words::end(&pieces) {
            *last_speech = end;
        }
        // A window that would be begun again for ever is passed.
        let next = if next > window.seek {
            next
        } else {
            window.seek + window.frames
        };
        Ok((Some(pieces), next))
    }

    fn align(&mut self, window: Window, task: &[u32], text: &[u32]) -> Result<Alignment, Failure> {
        let call = Call::Align {
            start: self.engine.tokens.start(task),
            text: text.to_vec(),
            frames: window.frames,
        };
        match self.ask(window, call)? {
            Answer::Alignment(alignment) => Ok(alignment),
            _ => unreachable!("an alignment was asked for"),
        }
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
