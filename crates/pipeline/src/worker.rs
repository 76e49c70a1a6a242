//! A worker thread: runs the actions of one attempt after another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stt_core::{
    Action, Attempt, Budget, Cancel, Case, DetailLevel, Event, Failure, Fault, Fetched, Limits, Outcome, OutcomeKind,
    Pcm, TranscribeRequest, Transcript, Verdict,
};

use crate::outlet::{Outlet, Sent};
use crate::task::{Done, End, Finding, Task, Wanted};
use crate::telemetry::{self, Stage, Story};
use crate::{Parts, Status};

#[derive(Clone)]
pub(crate) struct Worker {
    pub number: usize,
    pub parts: Parts,
    pub outlet: Outlet,
    pub limits: Limits,
    pub session_timeout: Duration,
    pub detail: DetailLevel,
    pub status: Arc<Status>,
    /// Raised when jobs that nobody has begun are to be left for other workers.
    pub closing: Cancel,
}

impl Worker {
    /// Takes tasks until there are no more.
    pub(crate) fn run(&self, tasks: &Mutex<Receiver<Task>>, done: &Sender<Done>) {
        loop {
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = task else { return };
            telemetry::running(1.0);
            let (partition, number) = (task.ticket.partition().clone(), task.case.number());
            let key = task.key.clone();
            let end = self.work(task);
            telemetry::running(-1.0);
            let told = done.send(Done {
                partition,
                key,
                number,
                end,
            });
            if told.is_err() {
                return; // the poll thread is gone: nobody could commit it
            }
        }
    }

    fn work(&self, task: Task) -> End {
        let Task {
            case,
            ticket,
            wanted,
            finding,
            ..
        } = task;
        let mut attempt = Attempt::new(case.number(), &self.limits);
        let mut hands = Hands::new(self, &case, wanted);
        let blank = OutcomeKind::Completed { result: vec![] };
        let mut outcome = Some(Outcome::new(ticket, case.key(), blank));
        let mut sent = None;
        let mut action = match (finding, case.job()) {
            _ if self.closing.is_cancelled() || hands.wanted.run.is_cancelled() => attempt.step(Event::Cancelled, 0.0),
            (Some(Finding { verdict, transcript }), _) => {
                hands.transcript = transcript;
                attempt.found_before(verdict)
            }
            (None, Ok(_)) => attempt.step(Event::Done, 0.0),
            (None, Err(failure)) => attempt.step(Event::Failed(failure), 0.0),
        };
        loop {
            let held = matches!(action, Action::Hold(..));
            let event = match action {
                Action::Fetch => hands.guarded(Stage::Download, Hands::fetch),
                Action::Decode => hands.guarded(Stage::Decode, Hands::decode),
                Action::Transcribe => hands.guarded(Stage::Transcribe, Hands::transcribe),
                Action::Publish(verdict) => {
                    let kind = hands.compose(verdict);
                    outcome = outcome.map(|outcome| outcome.replaced(kind));
                    hands.publish(&mut outcome, &mut sent)
                }
                Action::PublishAgain => hands.publish(&mut outcome, &mut sent),
                Action::Hold(wait, failure) => {
                    hands.story.held(&failure);
                    // Anyone may read it; what Kafka says holds nothing of the job.
                    let why = match failure.code {
                        stt_core::ErrorCode::PublishFailed => failure.story(),
                        code => code.to_string(),
                    };
                    self.status.blocked(self.number, self.parts.clock.now(), why);
                    hands.hold(wait)
                }
                Action::Settle => {
                    hands.tell();
                    return match sent.expect("a settled attempt was published") {
                        Sent::Published(published) => End::Published(published),
                        Sent::Settled(receipt) => End::Settled(receipt),
                    };
                }
                Action::Abandon => {
                    self.status.unblocked(self.number);
                    hands.story.abandoned();
                    return End::Abandoned(hands.finding());
                }
                Action::Die(failure) => {
                    hands.story.held(&failure);
                    return End::Died(failure);
                }
            };
            // A wait that is over says nothing yet: what is refused at once again and again blocks all the same.
            if !held && matches!(event, Event::Done) {
                self.status.unblocked(self.number);
            }
            action = attempt.step(event, (self.parts.dice)());
        }
    }
}

/// How often a waiting worker looks whether it is wanted still.
const TICK: Duration = Duration::from_millis(100);

/// What a worker has in hand while it works on one job.
struct Hands<'a> {
    worker: &'a Worker,
    case: &'a Case,
    wanted: Wanted,
    story: Story,
    /// When decoding began; decoding and transcription share one budget.
    listening_since: Option<Instant>,
    fetched: Option<Fetched>,
    pcm: Option<Pcm>,
    transcript: Option<Transcript>,
    verdict: Option<Verdict>,
}

impl<'a> Hands<'a> {
    fn new(worker: &'a Worker, case: &'a Case, wanted: Wanted) -> Self {
        let story = Story::begin(case);
        let (fetched, pcm, transcript, verdict) = (None, None, None, None);
        Self {
            worker,
            case,
            wanted,
            story,
            listening_since: None,
            fetched,
            pcm,
            transcript,
            verdict,
        }
    }

    /// Runs a step, timed; a panic in it fails this job alone.
    fn guarded(&mut self, stage: Stage, step: fn(&mut Self) -> Result<(), Failure>) -> Event {
        let began = self.now();
        let result = catch_unwind(AssertUnwindSafe(|| step(self)))
            .unwrap_or_else(|panic| Err(telemetry::crashed(stage, panic.as_ref())));
        self.story.step(stage, self.now() - began);
        match result {
            Ok(()) => Event::Done,
            Err(_) if self.wanted.run.is_cancelled() => Event::Cancelled,
            Err(failure) => Event::Failed(failure),
        }
    }

    fn fetch(&mut self) -> Result<(), Failure> {
        let (parts, job) = (&self.worker.parts, self.case.job()?);
        let budget = Budget::new(parts.clock.as_ref(), &self.wanted.run, self.worker.limits.download);
        self.fetched = Some(parts.fetch.fetch(&job.audio_url, &budget)?);
        Ok(())
    }

    fn decode(&mut self) -> Result<(), Failure> {
        self.listening_since = Some(self.now());
        let parts = &self.worker.parts;
        let fetched = self.fetched.as_ref().expect("decoding comes after fetching");
        self.pcm = Some(parts.decode.decode(fetched, &self.listening_budget())?);
        self.fetched = None; // the bytes are not needed while the engine works
        Ok(())
    }

    fn transcribe(&mut self) -> Result<(), Failure> {
        let (parts, job) = (&self.worker.parts, self.case.job()?);
        let request = TranscribeRequest {
            language: job.language_hint,
            words: self.worker.detail == DetailLevel::Words,
        };
        let pcm = self.pcm.as_ref().expect("transcribing comes after decoding");
        self.transcript = Some(parts.transcribe.transcribe(pcm, &request, &self.listening_budget())?);
        self.pcm = None;
        Ok(())
    }

    /// What is left of the time for decoding and transcription together.
    fn listening_budget(&self) -> Budget<'_> {
        let spent = self.listening_since.map_or(Duration::ZERO, |since| self.now() - since);
        let left = self.worker.limits.transcribe.saturating_sub(spent);
        Budget::new(self.worker.parts.clock.as_ref(), &self.wanted.run, left)
    }

    fn compose(&mut self, verdict: Verdict) -> OutcomeKind {
        let (parts, case) = (&self.worker.parts, self.case);
        let (model, wall) = (&parts.model_version, parts.clock.wall());
        let kind = match &verdict {
            Verdict::Completed => {
                let transcript = self.transcript.as_ref().expect("completion comes after transcribing");
                case.completed(transcript, self.worker.detail, model, wall)
            }
            Verdict::Failed(failure) => case.failed(failure, model, wall),
            Verdict::Retry { wait, because } => case.retry(*wait, because, wall),
        };
        self.verdict = Some(verdict);
        kind
    }

    fn publish(&mut self, outcome: &mut Option<Outcome>, sent: &mut Option<Sent>) -> Event {
        self.until_sure();
        if self.wanted.publish.is_cancelled() {
            return Event::Cancelled;
        }
        let (worker, began) = (self.worker, self.now());
        let records = outcome.take().expect("an outcome that is not published is kept");
        worker
            .status
            .blocked(worker.number, began, "the broker does not acknowledge an outcome");
        let answer = worker.outlet.send(records, &self.wanted.publish);
        self.story.step(Stage::Publish, self.now() - began);
        match answer {
            Ok(proof) => {
                *sent = Some(proof);
                Event::Done
            }
            Err(None) => Event::Cancelled,
            Err(Some(not_published)) => {
                *outcome = Some(not_published.outcome);
                let cancelled = self.wanted.publish.is_cancelled() && not_published.failure.fault != Fault::Fatal;
                if cancelled {
                    Event::Cancelled
                } else {
                    Event::Failed(not_published.failure)
                }
            }
        }
    }

    /// A process that slept (SIGSTOP, a hung machine) may have lost its partitions and not know it: what it has done meanwhile,
    /// others have done, too.
    fn until_sure(&self) {
        let (clock, session) = (&self.worker.parts.clock, self.worker.session_timeout);
        while self.worker.status.is_unsure(clock.now(), session) && !self.wanted.publish.is_cancelled() {
            clock.sleep(TICK);
        }
    }

    /// What was found for good, of a job that is left before it could be published.
    fn finding(&mut self) -> Option<Finding> {
        let verdict = self
            .verdict
            .take()
            .filter(|verdict| !matches!(verdict, Verdict::Retry { .. }))?;
        let transcript = self.transcript.take();
        Some(Finding { verdict, transcript })
    }

    /// Waits, in small steps so that a shutdown is noticed.
    fn hold(&self, wait: Duration) -> Event {
        let clock = &self.worker.parts.clock;
        let until = clock.now() + wait;
        while !self.wanted.run.is_cancelled() && !self.wanted.publish.is_cancelled() {
            let left = until.saturating_duration_since(clock.now());
            if left.is_zero() {
                return Event::Done;
            }
            clock.sleep(left.min(TICK));
        }
        Event::Cancelled
    }

    fn tell(&self) {
        match self.verdict.as_ref().expect("an outcome has its verdict") {
            Verdict::Completed => {
                self.story
                    .completed(self.transcript.as_ref().expect("completion has its transcript"));
            }
            Verdict::Failed(failure) => self.story.failed(failure),
            Verdict::Retry { wait, because } => self.story.retried(*wait, because),
        }
    }

    fn now(&self) -> Instant {
        self.worker.parts.clock.now()
    }
}
