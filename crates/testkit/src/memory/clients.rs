//! The clients of the broker in memory: the source of a member, and two sinks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stt_core::{
    Batch, BatchResult, Commit, ErrorCode, Failure, Fault, Outcome, OutcomeResult, Partition, Sink, Source,
    SourceError, SourceEvent, Waker,
};

use super::{Accepted, MemoryBroker};

/// The member of the group.
#[derive(Debug)]
pub struct MemorySource(pub(super) MemoryBroker);

impl Source for MemorySource {
    fn waker(&self) -> Waker {
        let broker = self.0.clone();
        Arc::new(move || {
            broker.lock().woken = true;
            broker.0.changed.notify_all();
        })
    }

    fn poll(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        let deadline = Instant::now() + wait;
        let mut state = self.0.lock();
        loop {
            if state.closed {
                let message = "it was closed".to_owned();
                return Err(SourceError { message });
            }
            if !state.events.is_empty() {
                return Ok(state.events.remove(0));
            }
            let mut logs = state.partitions.iter_mut();
            let next = logs.find(|log| log.owned && !log.paused && log.position < log.records.len());
            if let Some(log) = next {
                log.position += 1;
                return Ok(SourceEvent::Delivered(log.records[log.position - 1].clone()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if std::mem::take(&mut state.woken) || left.is_zero() {
                return Ok(SourceEvent::Idle);
            }
            let changed = &self.0.0.changed;
            state = changed
                .wait_timeout(state, left)
                .expect("no test panics under this lock")
                .0;
        }
    }

    fn commit(&mut self, commits: &[Commit]) {
        let mut state = self.0.lock();
        let commits: Vec<Commit> = commits
            .iter()
            .filter(|commit| state.owns(&commit.partition))
            .cloned()
            .collect();
        if commits.is_empty() {
            return;
        }
        let refused = state.commit_refusals > 0;
        state.commit_refusals = state.commit_refusals.saturating_sub(1);
        if !refused {
            state.commit(&commits);
        }
        let error = refused.then(|| "the coordinator moved".to_owned());
        state.events.push(SourceEvent::CommitAnswered { commits, error });
        self.0.0.changed.notify_all();
    }

    fn pause(&mut self, partitions: &[Partition]) {
        let mut state = self.0.lock();
        state.pauses += 1;
        partitions.iter().for_each(|partition| {
            if let Some(log) = state.log(partition) {
                log.paused = true;
            }
        });
    }

    fn resume(&mut self, partitions: &[Partition]) {
        let mut state = self.0.lock();
        partitions.iter().for_each(|partition| {
            if let Some(log) = state.log(partition) {
                log.paused = false;
            }
        });
    }

    fn release(&mut self, partitions: &[Partition]) {
        let mut state = self.0.lock();
        for partition in partitions {
            if let Some(log) = state.log(partition).filter(|log| log.owned) {
                log.owned = false;
                state.released += 1;
            }
        }
        self.0.0.changed.notify_all();
    }

    fn close(&mut self, _wait: Duration) {
        self.0.lock().closed = true;
    }
}

/// What the two sinks have in common.
struct Answers {
    broker: MemoryBroker,
    waker: Option<Waker>,
    accepted: Accepted,
}

impl Answers {
    fn accept(&mut self, batch: Batch) {
        self.accepted.push(batch);
        if let Some(waker) = &self.waker {
            waker();
        }
    }

    fn next(&mut self) -> Option<Batch> {
        let answered = !self.broker.is_publishing_held() && !self.accepted.is_empty();
        answered.then(|| self.accepted.remove(0))
    }
}

/// A sink that is not transactional.
pub struct MemorySink(Answers);

impl MemorySink {
    pub(super) fn new(broker: MemoryBroker) -> Self {
        let (waker, accepted) = (None, vec![]);
        Self(Answers {
            broker,
            waker,
            accepted,
        })
    }
}

impl Sink for MemorySink {
    fn set_waker(&mut self, waker: Waker) {
        self.0.waker = Some(waker);
    }

    fn is_transactional(&self) -> bool {
        false
    }

    fn send(&mut self, batch: Batch) {
        self.0.accept(batch);
    }

    fn poll(&mut self) -> Option<BatchResult> {
        let Batch { id, outcomes, commits } = self.0.next()?;
        let mut state = self.0.broker.lock();
        let mut publish = |mut outcome: Outcome| {
            let result = match state.next_refusal() {
                Some(failure) => Err(failure),
                None => {
                    state.publish(&mut outcome);
                    Ok(())
                }
            };
            OutcomeResult { outcome, result }
        };
        let outcomes = outcomes.into_iter().map(&mut publish).collect();
        drop(state);
        self.0.broker.0.changed.notify_all();
        Some(BatchResult {
            id,
            outcomes,
            commits,
            failure: None,
        })
    }

    fn close(&mut self, _wait: Duration) {
        self.0.accepted.clear();
    }
}

/// A transactional sink. [`MemoryBroker::refuse`] aborts its transactions.
pub struct MemoryTransactionSink(Answers);

impl MemoryTransactionSink {
    pub(super) fn new(broker: MemoryBroker) -> Self {
        Self(MemorySink::new(broker).0)
    }
}

impl Sink for MemoryTransactionSink {
    fn set_waker(&mut self, waker: Waker) {
        self.0.waker = Some(waker);
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn send(&mut self, batch: Batch) {
        assert!(self.0.accepted.is_empty(), "one transaction at a time");
        self.0.accept(batch);
    }

    fn poll(&mut self) -> Option<BatchResult> {
        let Batch {
            id,
            mut outcomes,
            commits,
        } = self.0.next()?;
        let mut state = self.0.broker.lock();
        let not_owned = commits.iter().find(|commit| !state.owns(&commit.partition));
        let not_owned =
            not_owned.map(|commit| aborted(&format!("partition {} is not owned any more", commit.partition)));
        let failure = not_owned.or_else(|| state.next_refusal());
        if failure.is_none() {
            outcomes.iter_mut().for_each(|outcome| state.publish(outcome));
            state.commit(&commits);
        }
        drop(state);
        self.0.broker.0.changed.notify_all();
        let outcomes = outcomes.into_iter().enumerate();
        let result = |(place, outcome)| OutcomeResult {
            outcome,
            result: failure
                .as_ref()
                .map_or(Ok(()), |failure| Err(failure_of(place, failure))),
        };
        Some(BatchResult {
            id,
            outcomes: outcomes.map(result).collect(),
            commits,
            failure,
        })
    }

    fn close(&mut self, _wait: Duration) {
        self.0.accepted.clear();
    }
}

/// The first outcome was the cause, unless the failure is of all.
fn failure_of(place: usize, failure: &Failure) -> Failure {
    match (place, failure.fault) {
        (0, Fault::Permanent | Fault::WorkerLocal | Fault::NoRoom) | (_, Fault::Fatal) => Failure {
            source: None,
            message: failure.message.clone(),
            ..*failure
        },
        _ => aborted("another outcome in it was refused"),
    }
}

fn aborted(why: &str) -> Failure {
    Failure::transient(ErrorCode::PublishFailed, format!("the transaction was aborted: {why}"))
}
