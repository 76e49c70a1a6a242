//! A network with its tokens and features: what transcribes an audio.

use std::sync::Arc;

use stt_core::{Budget, ErrorCode, Failure, Language, Pcm, Segment, Transcript};

use crate::desk::Desk;
use crate::mel::MelExtractor;
use crate::net::Net;
use crate::options::Options;
use crate::pass::{Pass, Progress, stopped};
use crate::timeline::{self, TimeMap};
use crate::tokens::Tokens;
use crate::vad;

/// Of a model that cannot find words.
pub(crate) const NO_WORDS: &str = "the model cannot find words: its config.json has no alignment_heads";

/// When detection may not choose any language that the model knows.
pub(crate) const NONE_KNOWN: &str = "this model knows none of the languages allowed";

pub(crate) struct Engine<N: Net> {
    pub desk: Desk<N>,
    pub tokens: Arc<Tokens>,
    pub extractor: MelExtractor,
    pub multilingual: bool,
    /// Whether the model tells which of its attention heads follow the words.
    pub aligns: bool,
}

impl<N: Net> Engine<N> {
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
            return Ok(Transcript { duration_sec, ..found });
        }
        let spans = vad::speech(&pcm.samples, &options.vad_parameters, &mut || budget.check())
            .map_err(|stop| stopped(stop, budget))?;
        if spans.is_empty() {
            self.desk.counts.no_speech.add(1);
            return Ok(Transcript {
                language: self.given(options)?,
                duration_sec,
                ..Transcript::default()
            });
        }
        let (speech, map) = (timeline::collect(&pcm.samples, &spans), TimeMap::new(&spans));
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
        Ok(Transcript { duration_sec, ..found })
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
        let segments = pass.segments(language, progress)?;
        let text: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        Ok(Transcript {
            text: text.trim().to_owned(),
            language: Some(language),
            language_probability,
            segments,
            duration_sec: 0.0,
        })
    }

    /// The language that needs no detection. A model of English knows no other.
    pub(crate) fn given(&self, options: &Options) -> Result<Option<Language>, Failure> {
        if self.multilingual {
            return Ok(options.language);
        }
        let english = Language::from_tag("en").ok();
        match options.language {
            Some(language) if Some(language) != english => Err(unknown(language.code())),
            _ => Ok(english),
        }
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
