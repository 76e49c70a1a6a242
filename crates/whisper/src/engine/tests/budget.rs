//! When the time is over, or nobody wants the answer, before the network is asked anything.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use stt_core::{Clock, Fault};

use super::*;
use crate::vad::VadOptions;

/// A second passes from one look to the next, and at one of them the answer is no longer wanted.
struct Looks {
    first: Instant,
    taken: AtomicUsize,
    cancels: Option<(usize, Cancel)>,
}

impl Looks {
    fn new(cancels: Option<(usize, Cancel)>) -> Self {
        Self {
            first: Instant::now(),
            taken: AtomicUsize::new(0),
            cancels,
        }
    }

    /// Those of the checks: the budget itself takes one when it is made.
    fn checks(&self) -> usize {
        self.taken.load(Ordering::Relaxed) - 1
    }
}

impl Clock for Looks {
    fn now(&self) -> Instant {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if let Some((at, cancel)) = &self.cancels
            && taken == *at
        {
            cancel.cancel();
        }
        self.first + Duration::from_secs(taken as u64)
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep(&self, _: Duration) {
        unreachable!("the engine does not sleep")
    }
}

/// With anything for speech.
fn options(vad_filter: bool) -> Options {
    english(Options {
        vad_filter,
        vad_parameters: VadOptions {
            threshold: 0.0,
            neg_threshold: Some(-1.0),
            ..VadOptions::default()
        },
        ..Options::default()
    })
}

fn transcribe_by(
    clock: &Looks,
    engine: &Engine<Script>,
    cancel: &Cancel,
    allowed: usize,
    vad_filter: bool,
) -> Result<Transcript, Failure> {
    let pcm = Pcm {
        samples: vec![0.01; 25 * Pcm::RATE as usize],
    };
    let budget = Budget::new(clock, cancel, Duration::from_secs(allowed as u64));
    engine.transcribe(&pcm, &options(vad_filter), &budget, &mut |_| {})
}

/// Looks before the network is asked about 25 s: one at first; for voice activity one over the scores of 782 frames; three
/// over the features of 2,501.
const BEFORE_NETWORK: [(bool, usize); 2] = [(false, 1 + 3), (true, 1 + 1 + 3)];

#[test]
fn time_that_is_over_while_the_audio_is_prepared_ends_it_at_once() {
    for (vad_filter, looks) in BEFORE_NETWORK {
        for allowed in 1..=looks {
            let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 25.0)]);
            let clock = Looks::new(None);
            let failure = transcribe_by(&clock, &engine, &Cancel::default(), allowed, vad_filter).unwrap_err();
            assert_eq!(
                (failure.code, failure.fault),
                (ErrorCode::TranscribeTimeout, Fault::Transient { after: None })
            );
            assert_eq!(
                failure.error_chain(),
                format!("transcription did not end within {allowed}.0 s")
            );
            assert_eq!(clock.checks(), allowed, "no look after the one that ends it");
            assert_unasked(&engine);
        }
    }
}

#[test]
fn what_is_cancelled_while_the_audio_is_prepared_ends_at_the_next_look() {
    for (vad_filter, looks) in BEFORE_NETWORK {
        for cancelled_at in 1..=looks {
            let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 25.0)]);
            let cancel = Cancel::default();
            let clock = Looks::new(Some((cancelled_at, cancel.clone())));
            let failure = transcribe_by(&clock, &engine, &cancel, 600, vad_filter).unwrap_err();
            assert_eq!(
                (failure.code, failure.fault),
                (ErrorCode::TranscribeFailed, Fault::Transient { after: None })
            );
            assert_eq!(failure.error_chain(), "transcription was cancelled");
            assert_eq!(clock.checks(), cancelled_at, "what is cancelled looks at no clock");
            assert_unasked(&engine);
        }
    }
}

#[test]
fn time_that_is_enough_to_prepare_the_audio_reaches_the_network() {
    for (vad_filter, _) in BEFORE_NETWORK {
        let engine = engine(|tokens| vec![said(tokens, 0.0, " Check", 25.0)]);
        let clock = Looks::new(None);
        let transcript = transcribe_by(&clock, &engine, &Cancel::default(), 600, vad_filter).unwrap();
        assert_eq!(transcript.text, "Check");
        assert_eq!(*engine.scheduler.backend().encoded.lock().unwrap(), 1);
    }
}

fn assert_unasked(engine: &Engine<Script>) {
    assert_eq!(*engine.scheduler.backend().encoded.lock().expect("count"), 0);
    assert_eq!(asked(engine), []);
    let stats = engine.scheduler.counts.stats();
    assert_eq!((stats.no_speech, stats.windows), (0, 0), "it is counted as nothing");
}
