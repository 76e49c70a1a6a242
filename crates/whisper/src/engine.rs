//! A network with its tokens and features: what transcribes an audio.

use std::sync::Arc;

use stt_core::{Budget, ErrorCode, Failure, Language, Pcm, Transcript};

use crate::desk::Desk;
use crate::mel::MelExtractor;
use crate::net::Net;
use crate::options::Options;
use crate::pass::{Pass, Progress, stopped};
use crate::tokens::Tokens;

pub(crate) struct Engine<N: Net> {
    pub desk: Desk<N>,
    pub tokens: Arc<Tokens>,
    pub extractor: MelExtractor,
    pub multilingual: bool,
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
        budget.check().map_err(|stop| stopped(stop, budget))?;
        let mel = self.extractor.extract(&pcm.samples);
        let mut transcript = self.transcribe_mel(&mel, options, budget, progress)?;
        transcript.duration_sec = pcm.duration().as_secs_f64();
        Ok(transcript)
    }

    fn transcribe_mel(
        &self,
        mel: &crate::Mel,
        options: &Options,
        budget: &Budget<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Transcript, Failure> {
        let mut pass = Pass::new(self, mel, options, budget);
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

    /// The tokens of language and task that a prompt of this model has.
    pub(crate) fn task_tokens(&self, language: Option<Language>, options: &Options) -> Result<Vec<u32>, Failure> {
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
