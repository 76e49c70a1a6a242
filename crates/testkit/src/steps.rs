//! Scripted steps of a job.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use stt_core::{
    AudioUrl, Budget, Decode, ErrorCode, Failure, Fetch, Fetched, Language, Pcm, Segment, Transcribe,
    TranscribeRequest, Transcript, Word,
};

/// Answers in the order given, then successes without end. For [`Fetch`] and [`Transcribe`] alike.
#[derive(Debug, Default)]
pub struct Script {
    answers: Mutex<VecDeque<Option<Failure>>>,
    calls: Mutex<u32>,
    gate: Mutex<bool>,
    opened: Condvar,
    panics: bool,
}

impl Script {
    /// Fails so, one after another (`None` succeeds), then succeeds.
    pub fn answering(answers: impl IntoIterator<Item = Option<Failure>>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            gate: Mutex::new(true),
            ..Self::default()
        }
    }

    /// Succeeds, but only once [`Script::open`] was called or the budget is cancelled.
    #[must_use]
    pub fn gated() -> Self {
        Self::default()
    }

    /// Panics at every call.
    #[must_use]
    pub fn panicking() -> Self {
        Self {
            panics: true,
            gate: Mutex::new(true),
            ..Self::default()
        }
    }

    /// Lets a gated script go on.
    pub fn open(&self) {
        *self.gate.lock().expect("not poisoned") = true;
        self.opened.notify_all();
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> u32 {
        *self.calls.lock().expect("not poisoned")
    }

    fn next(&self, budget: &Budget<'_>) -> Result<(), Failure> {
        *self.calls.lock().expect("not poisoned") += 1;
        assert!(!self.panics, "the script says so");
        let mut open = self.gate.lock().expect("not poisoned");
        while !*open {
            if budget.check().is_err() {
                return Err(Failure::transient(ErrorCode::TranscribeFailed, "stopped"));
            }
            open = self
                .opened
                .wait_timeout(open, Duration::from_millis(5))
                .expect("not poisoned")
                .0;
        }
        match self.answers.lock().expect("not poisoned").pop_front().flatten() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl Fetch for Script {
    fn fetch(&self, url: &AudioUrl, budget: &Budget<'_>) -> Result<Fetched, Failure> {
        self.next(budget)?;
        Ok(Fetched::Memory(url.to_string().into_bytes()))
    }
}

impl Transcribe for Script {
    fn transcribe(&self, pcm: &Pcm, request: &TranscribeRequest, budget: &Budget<'_>) -> Result<Transcript, Failure> {
        self.next(budget)?;
        let language = request.language.or_else(|| Language::from_tag("en").ok());
        let segments = vec![Segment {
            text: " hello".into(),
            tokens: vec![1],
            avg_logprob: -0.5,
            words: request.words.then(hello).into_iter().collect(),
            ..Segment::default()
        }];
        let duration_sec = pcm.duration().as_secs_f64();
        Ok(Transcript {
            text: "hello".into(),
            language,
            segments,
            duration_sec,
            ..Transcript::default()
        })
    }
}

fn hello() -> Word {
    Word {
        text: " hello".into(),
        probability: 0.5,
        ..Word::default()
    }
}

/// Decodes anything to a second of a tone, but nothing to nothing.
#[derive(Debug)]
pub struct ToneDecode;

impl Decode for ToneDecode {
    fn decode(&self, media: &Fetched, _budget: &Budget<'_>) -> Result<Pcm, Failure> {
        if media.is_empty() {
            return Err(Failure::permanent(ErrorCode::AudioEmpty, "no bytes"));
        }
        let samples = (0..Pcm::RATE).map(|n| (n as f32 * 0.1).sin() * 0.1).collect();
        Ok(Pcm { samples })
    }
}
