//! One try of one job: what to run next, when to try again, when to give up, what to publish.

use std::time::Duration;

use stt_schema::ErrorCode;

use crate::{Failure, Fault, Limits};

/// The pure flow of one try. Feed it what became of the last action; it says what to do next.
///
/// Invariants, walked exhaustively in the tests:
/// * **One end**: a history ends in exactly one of Settle, Abandon, Die.
/// * **Nothing unsaid**: Settle comes only after a publish that was acknowledged.
/// * **Bounded tries**: a retry is published only below `attempts_max`.
/// * **Not the job's fault**: a worker-local fault costs no try; the same step is run again.
#[derive(Clone, Debug)]
pub struct Attempt {
    number: u32,
    limits: Limits,
    step: Step,
    holding: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Validate,
    Fetch,
    Decode,
    Transcribe,
    Publish { replaceable: bool },
    Over,
}

/// What became of the last action.
#[derive(Debug)]
pub enum Event {
    /// It succeeded; of a hold: it is over.
    Done,
    /// It failed.
    Failed(Failure),
    /// Nobody wants the answer any more: the worker shuts down or the partition is gone.
    Cancelled,
}

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Download.
    Fetch,
    /// Decode.
    Decode,
    /// Transcribe.
    Transcribe,
    /// Make an outcome and publish it.
    Publish(Verdict),
    /// Publish the same outcome again.
    PublishAgain,
    /// Wait, because of a fault that is not the job's; then report [`Event::Done`].
    Hold(Duration, Failure),
    /// The outcome is published: settle its offset.
    Settle,
    /// Leave the offset open: the job will be delivered again.
    Abandon,
    /// As [`Action::Abandon`], and this process must end.
    Die(Failure),
}

/// What the outcome says.
#[derive(Debug)]
pub enum Verdict {
    /// There is a transcript.
    Completed,
    /// There will be none.
    Failed(Failure),
    /// Try again, not before `wait` from now.
    Retry {
        /// How long to wait.
        wait: Duration,
        /// Why.
        because: Failure,
    },
}

impl Attempt {
    /// How long a worker-local fault is waited out before the step is run again.
    pub const HOLD: Duration = Duration::from_secs(1);

    /// Try number `number` (from 1) of a job.
    #[must_use]
    pub fn new(number: u32, limits: &Limits) -> Self {
        Self {
            number,
            limits: limits.clone(),
            step: Step::Validate,
            holding: false,
        }
    }

    /// Goes straight to the publishing of what an earlier run of the same try found and could not publish.
    pub fn found_before(&mut self, verdict: Verdict) -> Action {
        let replaceable = matches!(verdict, Verdict::Completed);
        self.step = Step::Publish { replaceable };
        Action::Publish(verdict)
    }

    /// The next action. Begin with what validation found: [`Event::Done`], or [`Event::Failed`]. `dice` in [0, 1)
    /// spreads the wait before a retry.
    pub fn step(&mut self, event: Event, dice: f64) -> Action {
        match event {
            _ if self.step == Step::Over => Action::Abandon,
            Event::Cancelled => self.end(Action::Abandon),
            Event::Done if self.holding => {
                self.holding = false;
                self.run()
            }
            Event::Done => self.advance(),
            Event::Failed(failure) => self.fail(failure, dice),
        }
    }

    fn advance(&mut self) -> Action {
        self.step = match self.step {
            Step::Validate => Step::Fetch,
            Step::Fetch => Step::Decode,
            Step::Decode => Step::Transcribe,
            Step::Transcribe => {
                self.step = Step::Publish { replaceable: true };
                return Action::Publish(Verdict::Completed);
            }
            Step::Publish { .. } | Step::Over => return self.end(Action::Settle),
        };
        self.run()
    }

    /// The action that runs the current step.
    fn run(&mut self) -> Action {
        match self.step {
            Step::Fetch => Action::Fetch,
            Step::Decode => Action::Decode,
            Step::Transcribe => Action::Transcribe,
            Step::Publish { .. } => Action::PublishAgain,
            Step::Validate | Step::Over => self.end(Action::Abandon),
        }
    }

    fn fail(&mut self, failure: Failure, dice: f64) -> Action {
        match (self.step, failure.fault) {
            (_, Fault::Fatal) => self.end(Action::Die(failure)),
            (Step::Publish { replaceable: true }, Fault::Permanent) => {
                let code = ErrorCode::ResultTooLarge;
                self.publish(Verdict::Failed(Failure { code, ..failure }))
            }
            // What cannot be published is held, never dropped.
            (Step::Publish { .. }, _) | (_, Fault::WorkerLocal) => {
                self.holding = true;
                Action::Hold(Self::HOLD, failure)
            }
            (_, Fault::Transient { after }) if self.number < self.limits.attempts_max => {
                let after = after.unwrap_or_default().min(self.limits.retry_after_max);
                let wait = self.limits.backoff.wait(self.number, dice).max(after);
                self.publish(Verdict::Retry { wait, because: failure })
            }
            (_, Fault::Transient { .. } | Fault::Permanent) => self.publish(Verdict::Failed(failure)),
        }
    }

    fn publish(&mut self, verdict: Verdict) -> Action {
        self.step = Step::Publish { replaceable: false };
        Action::Publish(verdict)
    }

    fn end(&mut self, action: Action) -> Action {
        self.step = Step::Over;
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(fault: Fault) -> Failure {
        Failure {
            code: ErrorCode::DownloadFailed,
            fault,
            message: "it failed".into(),
            source: None,
        }
    }

    const FAULTS: [Fault; 4] = [
        Fault::Transient { after: None },
        Fault::Permanent,
        Fault::WorkerLocal,
        Fault::Fatal,
    ];

    #[derive(Clone)]
    struct Walk {
        attempt: Attempt,
        history: Vec<&'static str>,
        publishing: bool,
        acknowledged: bool,
        held: Option<Step>,
    }

    impl Walk {
        /// Takes one more event; counts the ends reached within `depth` more.
        fn go_on(&self, depth: u32) -> usize {
            let events = [("done", None), ("cancelled", None)].into_iter();
            let faults = ["transient", "permanent", "worker-local", "fatal"]
                .into_iter()
                .zip(FAULTS.map(Some));
            events
                .chain(faults)
                .map(|(name, fault)| self.clone().take(name, fault, depth))
                .sum()
        }

        fn take(mut self, name: &'static str, fault: Option<Fault>, depth: u32) -> usize {
            self.history.push(name);
            let (held, number) = (self.held.take(), self.attempt.number);
            self.acknowledged |= self.publishing && held.is_none() && name == "done";
            let event = match (name, fault) {
                (_, Some(fault)) => Event::Failed(failure(fault)),
                ("done", _) => Event::Done,
                _ => Event::Cancelled,
            };
            let action = self.attempt.step(event, 0.5);
            let story = format!("try {number}, {:?} -> {action:?}", self.history);
            if let (Some(step), "done") = (held, name) {
                assert_eq!(self.attempt.step, step, "a hold moved the job: {story}");
                assert!(
                    !matches!(action, Action::Settle | Action::Abandon),
                    "a hold ended the job: {story}"
                );
            }
            match action {
                Action::Publish(verdict) => {
                    let retry = matches!(verdict, Verdict::Retry { .. });
                    assert!(
                        !retry || number < Limits::default().attempts_max,
                        "a retry after the last try: {story}"
                    );
                    self.publishing = true;
                }
                Action::Hold(..) => self.held = Some(self.attempt.step),
                Action::Settle => assert!(self.acknowledged, "settled without an acknowledged publish: {story}"),
                _ => {}
            }
            if self.attempt.step == Step::Over {
                assert!(
                    matches!(self.attempt.step(Event::Done, 0.5), Action::Abandon),
                    "went on after its end: {story}"
                );
                return 1;
            }
            if depth == 0 { 0 } else { self.go_on(depth - 1) }
        }
    }

    #[test]
    fn every_history_of_eight_events_keeps_the_invariants() {
        for number in [1, 2, 3, 7] {
            let attempt = Attempt::new(number, &Limits::default());
            let mut walk = Walk {
                attempt,
                history: vec![],
                publishing: false,
                acknowledged: false,
                held: None,
            };
            assert!(matches!(walk.attempt.step(Event::Done, 0.5), Action::Fetch));
            let ends = walk.go_on(7);
            assert!(ends > 1_000, "the walk reached only {ends} ends");
        }
    }

    #[test]
    fn what_was_found_before_is_published_without_being_done_again() {
        let mut attempt = Attempt::new(1, &Limits::default());
        let action = attempt.found_before(Verdict::Completed);
        assert!(matches!(action, Action::Publish(Verdict::Completed)));
        assert!(matches!(attempt.step(Event::Done, 0.5), Action::Settle));
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it_up_to_the_ceiling() {
        for (after, wait) in [(None, 500), (Some(2), 2_000), (Some(3_600), 60_000)] {
            let after = after.map(Duration::from_secs);
            let mut attempt = Attempt::new(1, &Limits::default());
            attempt.step(Event::Done, 0.5);
            let action = attempt.step(Event::Failed(failure(Fault::Transient { after })), 0.5);
            let Action::Publish(Verdict::Retry { wait: found, .. }) = action else {
                panic!("{action:?}")
            };
            assert_eq!(found.as_millis(), wait);
        }
    }

    #[test]
    fn a_result_that_never_fits_becomes_a_dead_letter() {
        let mut attempt = Attempt::new(1, &Limits::default());
        for _ in 0..4 {
            attempt.step(Event::Done, 0.5);
        }
        let action = attempt.step(Event::Failed(failure(Fault::Permanent)), 0.5);
        let Action::Publish(Verdict::Failed(failure)) = action else {
            panic!("{action:?}")
        };
        assert_eq!(failure.code, ErrorCode::ResultTooLarge);
        assert!(matches!(attempt.step(Event::Done, 0.5), Action::Settle));
    }
}
