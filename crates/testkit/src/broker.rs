//! A broker in memory: one group, one member, the topics of a worker.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use stt_core::{
    Assignment, Cancel, Committed, Delivery, Due, ErrorCode, Failure, Header, NotPublished, Outcome, OutcomeKind,
    Partition, Publish, Published, Source, SourceError, SourceEvent,
};

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Jobs, retries among them.
    Jobs,
    /// Results.
    Results,
    /// Dead letters.
    DeadLetters,
}

/// A record that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where.
    pub role: Role,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// A broker in memory; clones share it. The jobs topic has one partition.
#[derive(Clone, Debug, Default)]
pub struct MemoryBroker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Delivery>,
    published: Vec<Record>,
    commits: Vec<Committed>,
    events: Vec<SourceEvent>,
    position: usize,
    owned: bool,
    paused: bool,
    pauses: u32,
    released: u32,
    closed: bool,
    /// How many more publishes are refused, and with what.
    refusals: Vec<Failure>,
    commit_refusals: u32,
}

impl MemoryBroker {
    /// The one partition of jobs.
    #[must_use]
    pub fn partition() -> Partition {
        Partition {
            topic: "stt.jobs".into(),
            id: 0,
        }
    }

    /// A member that owns the partition from the start, and a publisher.
    #[must_use]
    pub fn join(&self) -> (MemorySource, MemoryPublish) {
        let mut state = self.lock();
        state.owned = true;
        (state.closed, state.paused) = (false, false);
        let committed = state.commits.last().cloned();
        state.position = committed.as_ref().map_or(0, |committed| committed.next_offset as usize);
        let partition = Self::partition();
        state
            .events
            .push(SourceEvent::Assigned(vec![Assignment { partition, committed }]));
        (MemorySource(self.clone()), MemoryPublish(self.clone()))
    }

    /// Produces a job record.
    pub fn produce(&self, key: Option<&str>, payload: &[u8], headers: Vec<Header>) {
        self.append(key.map(|key| key.as_bytes().to_vec()), Some(payload.to_vec()), headers);
    }

    /// Takes the partition away: asked for, or lost.
    pub fn revoke(&self, lost: bool) {
        let mut state = self.lock();
        state.owned = !lost && state.owned;
        state.events.push(SourceEvent::Revoked {
            partitions: vec![Self::partition()],
            lost,
        });
        self.0.changed.notify_all();
    }

    /// The next publishes fail so, one after another.
    pub fn refuse(&self, failures: impl IntoIterator<Item = Failure>) {
        self.lock().refusals.extend(failures);
    }

    /// The next commits are refused.
    pub fn refuse_commits(&self, count: u32) {
        self.lock().commit_refusals = count;
    }

    /// What was published, in order.
    #[must_use]
    pub fn published(&self) -> Vec<Record> {
        self.lock().published.clone()
    }

    /// What was committed, in order: next offsets.
    #[must_use]
    pub fn commits(&self) -> Vec<i64> {
        self.lock()
            .commits
            .iter()
            .map(|committed| committed.next_offset)
            .collect()
    }

    /// The note beside what was committed last.
    #[must_use]
    pub fn note(&self) -> String {
        self.lock()
            .commits
            .last()
            .map(|committed| committed.note.clone())
            .unwrap_or_default()
    }

    /// How often intake was paused.
    #[must_use]
    pub fn pauses(&self) -> u32 {
        self.lock().pauses
    }

    /// How often a revoked partition was released.
    #[must_use]
    pub fn releases(&self) -> u32 {
        self.lock().released
    }

    /// Waits until `is_so`, for 10 seconds at most; whether it came to be.
    #[must_use]
    pub fn wait_until(&self, is_so: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if is_so(self) {
                return true;
            }
            let left = deadline
                .saturating_duration_since(Instant::now())
                .min(Duration::from_millis(20));
            if left.is_zero() {
                return false;
            }
            let state = self.lock();
            drop(
                self.0
                    .changed
                    .wait_timeout(state, left)
                    .expect("no test panics under this lock"),
            );
        }
    }

    fn append(&self, key: Option<Vec<u8>>, payload: Option<Vec<u8>>, headers: Vec<Header>) {
        let mut state = self.lock();
        let offset = state.jobs.len() as i64;
        state.jobs.push(Delivery {
            partition: Self::partition(),
            offset,
            key,
            payload,
            headers,
        });
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no test panics under this lock")
    }
}

/// The member of the group.
#[derive(Debug)]
pub struct MemorySource(MemoryBroker);

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
        let refused = state.commit_refusals > 0;
        state.commit_refusals = state.commit_refusals.saturating_sub(1);
        if !refused && state.owned {
            state.commits.extend(due.iter().map(|due| due.committed.clone()));
        }
        let error = refused.then(|| "the coordinator moved".to_owned());
        state.events.push(SourceEvent::Committed {
            due: due.to_vec(),
            error,
        });
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

    fn release(&mut self, _partitions: &[Partition]) {
        let mut state = self.0.lock();
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
pub struct MemoryPublish(MemoryBroker);

impl Publish for MemoryPublish {
    fn publish(&self, outcome: Outcome, cancel: &Cancel) -> Result<Published, Box<NotPublished>> {
        let refusal = {
            let mut state = self.0.lock();
            if state.refusals.is_empty() {
                None
            } else {
                Some(state.refusals.remove(0))
            }
        };
        if let Some(failure) = refusal {
            return Err(Box::new(NotPublished { outcome, failure }));
        }
        if cancel.is_cancelled() {
            let failure = Failure::transient(ErrorCode::PublishFailed, "cancelled");
            return Err(Box::new(NotPublished { outcome, failure }));
        }
        let key = outcome.key.clone();
        let record = |role, value: &[u8], headers: &[Header]| Record {
            role,
            key: key.clone(),
            value: value.to_vec(),
            headers: headers.to_vec(),
        };
        let records = match &outcome.kind {
            OutcomeKind::Completed { result } => vec![record(Role::Results, result, &[])],
            OutcomeKind::Failed {
                result,
                dead_letter,
                headers,
            } => {
                vec![
                    record(Role::Results, result, &[]),
                    record(Role::DeadLetters, dead_letter, headers),
                ]
            }
            OutcomeKind::Retry { payload, headers } => {
                self.0.append(Some(key.clone()), Some(payload.clone()), headers.clone());
                vec![record(Role::Jobs, payload, headers)]
            }
        };
        self.0.lock().published.extend(records);
        self.0.0.changed.notify_all();
        Ok(outcome.acknowledged())
    }
}

impl MemoryBroker {
    /// The published records of a role, as JSON.
    #[must_use]
    pub fn json(&self, role: Role) -> Vec<BTreeMap<String, serde_json::Value>> {
        let of_role = self.published().into_iter().filter(|record| record.role == role);
        of_role
            .map(|record| serde_json::from_slice(&record.value).expect("published JSON"))
            .collect()
    }
}
