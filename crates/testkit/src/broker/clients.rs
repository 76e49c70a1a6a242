//! What joins the broker in memory: the source of a member, and two kinds of publishers.

use std::time::{Duration, Instant};

use stt_core::{
    Cancel, Due, ErrorCode, Failure, Fault, NotPublished, Outcome, Partition, Publish, Published, Source, SourceError,
    SourceEvent, Transact, Transacted, Transaction,
};

use super::MemoryBroker;

/// The member of the group.
#[derive(Debug)]
pub struct MemorySource(pub(super) MemoryBroker);

impl Source for MemorySource {
    fn poll(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        let deadline = Instant::now() + wait;
        let mut state = self.0.lock();
        loop {
            if !state.events.is_empty() {
                return Ok(state.events.remove(0));
            }
            if state.owned && !state.paused && state.position < state.jobs.len() {
                state.position += 1;
                return Ok(SourceEvent::Delivered(state.jobs[state.position - 1].clone()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(SourceEvent::Idle);
            }
            state = self
                .0
                .0
                .changed
                .wait_timeout(state, left)
                .expect("no test panics under this lock")
                .0;
        }
    }

    fn commit(&mut self, due: &[Due]) {
        let mut state = self.0.lock();
        let own = |due: &&Due| state.owned && due.partition == MemoryBroker::partition();
        let due: Vec<Due> = due.iter().filter(own).cloned().collect();
        if due.is_empty() {
            return;
        }
        let refused = state.commit_refusals > 0;
        state.commit_refusals = state.commit_refusals.saturating_sub(1);
        if !refused {
            state.commits.extend(due.iter().map(|due| due.committed.clone()));
        }
        let error = refused.then(|| "the coordinator moved".to_owned());
        state.events.push(SourceEvent::Committed { due, error });
        self.0.0.changed.notify_all();
    }

    fn pause(&mut self, _partitions: &[Partition]) {
        let mut state = self.0.lock();
        state.paused = true;
        state.pauses += 1;
    }

    fn resume(&mut self, _partitions: &[Partition]) {
        self.0.lock().paused = false;
    }

    fn release(&mut self, partitions: &[Partition]) {
        let mut state = self.0.lock();
        if !partitions.contains(&MemoryBroker::partition()) {
            return;
        }
        state.owned = false;
        state.released += 1;
        self.0.0.changed.notify_all();
    }

    fn close(&mut self, _wait: Duration) {
        self.0.lock().closed = true;
    }
}

/// The publisher.
#[derive(Clone, Debug)]
pub struct MemoryPublish(pub(super) MemoryBroker);

impl Publish for MemoryPublish {
    fn publish(&self, outcome: Outcome, cancel: &Cancel) -> Result<Published, Box<NotPublished>> {
        let mut state = self.0.lock();
        if !state.refusals.is_empty() {
            let failure = state.refusals.remove(0);
            return Err(Box::new(NotPublished { outcome, failure }));
        }
        if cancel.is_cancelled() {
            let failure = Failure::transient(ErrorCode::PublishFailed, "cancelled");
            return Err(Box::new(NotPublished { outcome, failure }));
        }
        state.take(&outcome);
        self.0.0.changed.notify_all();
        Ok(outcome.acknowledged())
    }
}

/// The publisher of transactions. [`MemoryBroker::refuse`] makes it abort them.
#[derive(Debug)]
pub struct MemoryTransact {
    broker: MemoryBroker,
    ended: Option<Transacted>,
}

impl MemoryTransact {
    pub(super) fn new(broker: MemoryBroker) -> Self {
        Self { broker, ended: None }
    }
}

impl Transact for MemoryTransact {
    fn begin(&mut self, transaction: Transaction) {
        let Transaction { outcomes, due } = transaction;
        let mut state = self.broker.lock();
        let refusal = (!state.refusals.is_empty()).then(|| state.refusals.remove(0));
        let ended = match refusal {
            Some(failure) => Transacted::Aborted {
                not_published: blamed(outcomes, &failure),
                due,
                failure,
            },
            None => {
                outcomes.iter().for_each(|outcome| state.take(outcome));
                state.commits.extend(due.iter().map(|due| due.committed.clone()));
                let published = outcomes.into_iter().map(Outcome::acknowledged).collect();
                Transacted::Committed { published, due }
            }
        };
        drop(state);
        assert!(self.ended.replace(ended).is_none(), "one at a time");
        self.broker.0.changed.notify_all();
    }

    fn ended(&mut self) -> Option<Transacted> {
        self.ended.take()
    }
}

/// The first outcome is to blame, unless the failure is nobody's.
fn blamed(outcomes: Vec<Outcome>, failure: &Failure) -> Vec<NotPublished> {
    let mate = || Failure::transient(ErrorCode::PublishFailed, "aborted with another");
    let blame = |(place, outcome)| NotPublished {
        outcome,
        failure: match (place, failure.fault) {
            (0, Fault::Permanent | Fault::WorkerLocal) => Failure {
                source: None,
                message: failure.message.clone(),
                ..*failure
            },
            _ => mate(),
        },
    };
    outcomes.into_iter().enumerate().map(blame).collect()
}
