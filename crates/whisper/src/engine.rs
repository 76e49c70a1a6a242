//! A network with its tokens and features: what transcribes an audio.

use stt_core::{Budget, ErrorCode, Failure, Language, Pcm, Segment, Transcript};

use crate::backend::Backend;
use crate::compression::{compression_ratio, compression_ratio_of_characters};
use crate::mel::MelExtractor;
use crate::options::{CompressionUnit, Options};
use crate::pass::{Pass, Progress, stopped};
use crate::scheduler::BatchScheduler;
use crate::timeline::{self, TimeMap};
use crate::tokens::Tokens;
use crate::vad::{self, Span};

/// Of a model that cannot find words.
pub(crate) const NO_WORDS: &str =
    "the model cannot find words: its config.json has no alignment_heads, or heads that the decoder does not have";

/// Of a model that cannot tell languages apart.
pub(crate) const NO_DETECTION: &str =
    "the model cannot detect languages: its config.json has no lang_ids; give a language";

/// When detection may not choose any language that the model knows.
pub(crate) const NONE_KNOWN: &str = "this model knows none of the languages allowed";

/// Of a model that needs all of its context.
pub(crate) const CUT_DOWN: &str = "the model has half as many layers in its decoder as in its encoder, or fewer (turbo, distilled): such models do not \
     bear a short context (AUDIO_CONTEXT=auto)";

/// Mean log-probability that a text needs where voice activity detection doubts that there is speech. Texts of noise and
/// music have -0.65 and less, or are loops (docs/decisions/003-voice-activity.md).
const DOUBTED_LOGPROB_MIN: f64 = -0.6;
/// Probability of no speech that it may have.
const DOUBTED_NO_SPEECH_MAX: f64 = 0.5;

pub(crate) struct Engine<B: Backend> {
    pub scheduler: BatchScheduler<B>,
    pub tokens: Tokens,
    pub extractor: MelExtractor,
    pub multilingual: bool,
    /// Whether the model tells which of its attention heads follow the words.
    pub aligns: bool,
    /// Whether the model lists its tokens of languages, which detection chooses from.
    pub detects: bool,
}

impl<B: Backend> Engine<B> {
    pub(crate) fn transcribe(
        &self,
        pcm: &Pcm,
        options: &Options,
        budget: &Budget<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Transcript, Failure> {
        if let Some(problem) = options.problem() {
            return Err(Failure::permanent(ErrorCode::TranscribeFailed, problem));
        }
        if options.word_timestamps && !self.aligns {
            return Err(Failure::permanent(ErrorCode::TranscribeFailed, NO_WORDS));
        }
        budget.check().map_err(|stop| stopped(stop, budget))?;
        let duration_sec = pcm.duration().as_secs_f64();
        if !options.vad_filter || !options.is_whole() {
            let found = self.transcribe_all(&pcm.samples, options, budget, progress)?;
            return Ok(Transcript {
                duration_sec,
                duration_after_vad_sec: duration_sec,
                ..found
            });
        }
        let found = vad::speech(&pcm.samples, &options.vad_parameters, &mut || budget.check())
            .map_err(|stop| stopped(stop, budget))?;
        if found.spans.is_empty() {
            self.scheduler.counts.no_speech.add(1);
            return Ok(Transcript {
                language: self.given(options),
                duration_sec,
                ..Transcript::default()
            });
        }
        if !found.is_sure {
            return self.decide(&pcm.samples, &found.spans, options, budget, progress);
        }
        self.transcribe_spans(&pcm.samples, &found.spans, options, budget, progress)
    }

    /// Lets the model decide whether there is speech where voice activity detection doubts it: one decode, and its text
    /// only where nothing speaks against it. Texts of noise are what further temperatures are spent on.
    fn decide(
        &self,
        samples: &[f32],
        spans: &[Span],
        options: &Options,
        budget: &Budget<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Transcript, Failure> {
        let once = Options {
            temperatures: options.temperatures[..1].to_vec(),
            ..options.clone()
        };
        let found = self.transcribe_spans(samples, spans, &once, budget, &mut |_| {})?;
        let is_good = |segment: &Segment| {
            segment.avg_logprob > DOUBTED_LOGPROB_MIN && segment.no_speech_prob < DOUBTED_NO_SPEECH_MAX
        };
        let repetition = match options.compression_unit {
            CompressionUnit::Bytes => compression_ratio(&found.text),
            CompressionUnit::Characters => compression_ratio_of_characters(&found.text),
        };
        let repeats_itself = options
            .compression_ratio_threshold
            .is_some_and(|most| repetition > most);
        if !found.segments.is_empty() && found.segments.iter().all(is_good) && !repeats_itself {
            progress(Progress {
                done_sec: found.duration_after_vad_sec,
                total_sec: found.duration_after_vad_sec,
                segments: &found.segments,
            });
            return Ok(found);
        }
        self.scheduler.counts.no_speech.add(1);
        Ok(Transcript {
            language: self.given(options),
            duration_sec: found.duration_sec,
            duration_after_vad_sec: found.duration_after_vad_sec,
            ..Transcript::default()
        })
    }

    /// Transcribes parts of an audio; times are those of the whole.
    fn transcribe_spans(
        &self,
        samples: &[f32],
        spans: &[Span],
        options: &Options,
        budget: &Budget<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Transcript, Failure> {
        let (speech, map) = (timeline::collect(samples, spans), TimeMap::new(spans));
        let mut restored = |told: Progress<'_>| {
            let mut segments = told.segments.to_vec();
            segments.iter_mut().for_each(|segment| restore(segment, &map));
            progress(Progress {
                segments: &segments,
                ..told
            });
        };
        let mut found = self.transcribe_all(&speech, options, budget, &mut restored)?;
        found.segments.iter_mut().for_each(|segment| restore(segment, &map));
        Ok(Transcript {
            duration_sec: samples.len() as f64 / f64::from(Pcm::RATE),
            duration_after_vad_sec: speech.len() as f64 / f64::from(Pcm::RATE),
            ..found
        })
    }

    fn transcribe_all(
        &self,
        samples: &[f32],
        options: &Options,
        budget: &Budget<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Transcript, Failure> {
        let mel = self
            .extractor
            .extract_while(samples, &mut || budget.check())
            .map_err(|stop| stopped(stop, budget))?;
        let mut pass = Pass::new(self, &mel, options, budget);
        let Some((language, language_probability)) = pass.language()? else {
            return Ok(Transcript::default());
        };
        let language_probs = std::mem::take(&mut pass.language_probs);
        let segments = pass.segments(language, progress)?;
        let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        Ok(Transcript {
            text: text.trim().to_owned(),
            language: Some(language),
            language_probability,
            language_probs,
            segments,
            ..Transcript::default()
        })
    }

    /// The language that needs no detection. A model of English takes everything for English, as faster-whisper does.
    pub(crate) fn given(&self, options: &Options) -> Option<Language> {
        if self.multilingual {
            return options.language;
        }
        let english = Language::from_tag("en").ok();
        if let Some(other) = options.language.filter(|language| Some(*language) != english) {
            log::warn!(
                "this model knows English only: language {} is taken for en",
                other.code()
            );
        }
        english
    }

    /// Whether detection has something to choose from.
    pub(crate) fn knows_any(&self, allowed: &[Language]) -> bool {
        !self.multilingual || allowed.is_empty() || allowed.iter().any(|one| self.tokens.language(*one).is_some())
    }

    /// The tokens of language and task that a prompt of this model has.
    pub(crate) fn task_tokens(&self, language: Option<Language>, options: &Options) -> Result<Vec<u32>, Failure> {
        if !self.multilingual {
            return Ok(vec![]);
        }
        let token = language
            .and_then(|language| self.tokens.language(language))
            .ok_or_else(|| unknown(language.map_or("none", |language| language.code())))?;
        Ok(vec![token, self.tokens.task(options.task)])
    }
}

fn unknown(language: &str) -> Failure {
    let message = format!("this model does not know the language {language}");
    Failure::permanent(ErrorCode::UnsupportedLanguage, message)
}

/// Brings a segment from the audio without its silences back into the whole.
fn restore(segment: &mut Segment, map: &TimeMap) {
    for word in &mut segment.words {
        (word.start_sec, word.end_sec) = map.word(word.start_sec, word.end_sec);
    }
    (segment.start_sec, segment.end_sec) = match (segment.words.first(), segment.words.last()) {
        (Some(first), Some(last)) => (first.start_sec, last.end_sec),
        _ => map.segment(segment.start_sec, segment.end_sec),
    };
}

#[cfg(test)]
mod tests;
