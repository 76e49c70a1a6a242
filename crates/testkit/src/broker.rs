//! A broker in memory: one group, one member, the topics of a worker.

mod clients;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use stt_core::{Assignment, Committed, Delivery, Failure, Header, Outcome, OutcomeKind, Partition, SourceEvent};

pub use self::clients::{MemoryPublish, MemorySource, MemoryTransact};

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

impl State {
    fn assign(&mut self) {
        self.owned = true;
        let committed = self.commits.last().cloned();
        self.position = committed.as_ref().map_or(0, |committed| committed.next_offset as usize);
        let partition = MemoryBroker::partition();
        self.events
            .push(SourceEvent::Assigned(vec![Assignment { partition, committed }]));
    }

    fn append(&mut self, key: Option<Vec<u8>>, payload: Option<Vec<u8>>, headers: Vec<Header>) {
        let offset = self.jobs.len() as i64;
        self.jobs.push(Delivery {
            partition: MemoryBroker::partition(),
            offset,
            key,
            payload,
            headers,
        });
    }

    /// Takes the records of an outcome.
    fn take(&mut self, outcome: &Outcome) {
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
                self.append(Some(key.clone()), Some(payload.clone()), headers.clone());
                vec![record(Role::Jobs, payload, headers)]
            }
        };
        self.published.extend(records);
    }
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
        (state.closed, state.paused) = (false, false);
        state.assign();
        (MemorySource(self.clone()), MemoryPublish(self.clone()))
    }

    /// A publisher of transactions.
    #[must_use]
    pub fn transact(&self) -> MemoryTransact {
        MemoryTransact::new(self.clone())
    }

    /// As if an earlier owner had committed this.
    pub fn begin_at(&self, next_offset: i64, note: &str) {
        let note = note.to_owned();
        self.lock().commits.push(Committed { next_offset, note });
    }

    /// Gives the partition back after [`MemoryBroker::revoke`].
    pub fn give_back(&self) {
        self.lock().assign();
        self.0.changed.notify_all();
    }

    /// Produces a job record.
    pub fn produce(&self, key: Option<&str>, payload: &[u8], headers: Vec<Header>) {
        let key = key.map(|key| key.as_bytes().to_vec());
        self.lock().append(key, Some(payload.to_vec()), headers);
        self.0.changed.notify_all();
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

    /// Up to where offsets were passed.
    #[must_use]
    pub fn passed(&self) -> i64 {
        self.lock().commits.last().map_or(0, |committed| committed.next_offset)
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

    /// What was committed last.
    #[must_use]
    pub fn committed(&self) -> Option<Committed> {
        self.lock().commits.last().cloned()
    }

    /// The note beside what was committed last.
    #[must_use]
    pub fn note(&self) -> String {
        self.committed().map(|committed| committed.note).unwrap_or_default()
    }

    /// Values of what is in a topic, in order.
    #[must_use]
    pub fn values(&self, role: Role) -> Vec<Vec<u8>> {
        let state = self.lock();
        if role == Role::Jobs {
            return state.jobs.iter().filter_map(|job| job.payload.clone()).collect();
        }
        let of_role = state.published.iter().filter(|record| record.role == role);
        of_role.map(|record| record.value.clone()).collect()
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no test panics under this lock")
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
