//! A broker in memory: one consumer group with one member, and the topics of a worker.

mod clients;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use stt_core::{
    Assignment, Batch, Commit, CommittedOffset, Delivery, Destination, Failure, Header, Outcome, Partition, ResetCause,
    SourceEvent,
};

pub use self::clients::{MemorySink, MemorySource, MemoryTransactionSink};

/// A record that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which topic.
    pub destination: Destination,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// A broker in memory; clones share it. Retries go to the topic of the jobs.
#[derive(Clone, Debug)]
pub struct MemoryBroker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    partitions: Vec<Log>,
    published: Vec<Record>,
    events: Vec<SourceEvent>,
    woken: bool,
    pauses: u32,
    released: u32,
    closed: bool,
    /// How the next publishes fail.
    refusals: Vec<Failure>,
    commit_refusals: u32,
    /// Batches are accepted, and answered only after this has ended.
    publishing_held: bool,
}

/// A partition of the jobs topic.
#[derive(Debug, Default)]
struct Log {
    records: Vec<Delivery>,
    /// The first offset that is still there.
    start: usize,
    commits: Vec<CommittedOffset>,
    position: usize,
    owned: bool,
    paused: bool,
}

impl Default for MemoryBroker {
    /// The jobs topic has one partition.
    fn default() -> Self {
        Self::with_partitions(1)
    }
}

fn partition(id: usize) -> Partition {
    Partition {
        topic: "stt.jobs".into(),
        id: id as i32,
    }
}

impl State {
    fn log(&mut self, partition: &Partition) -> Option<&mut Log> {
        if &*partition.topic != "stt.jobs" {
            return None;
        }
        self.partitions.get_mut(usize::try_from(partition.id).ok()?)
    }

    fn assign(&mut self) {
        let mut assignments = Vec::new();
        for (id, log) in self.partitions.iter_mut().enumerate().filter(|(_, log)| !log.owned) {
            (log.owned, log.paused) = (true, false);
            let committed = log.commits.last().cloned();
            log.position = committed
                .as_ref()
                .map_or(log.start, |committed| committed.next_offset as usize);
            let partition = partition(id);
            assignments.push(Assignment { partition, committed });
        }
        self.events.push(SourceEvent::Assigned(assignments));
    }

    fn append(&mut self, id: usize, key: Option<Vec<u8>>, payload: Option<Vec<u8>>, headers: Vec<Header>) {
        let log = &mut self.partitions[id];
        log.records.push(Delivery {
            partition: partition(id),
            offset: log.records.len() as i64,
            key,
            payload,
            headers,
        });
    }

    /// The partition of a key: the same for the same key.
    fn partition_of(&self, key: &[u8]) -> usize {
        key.iter().map(|byte| usize::from(*byte)).sum::<usize>() % self.partitions.len()
    }

    /// Takes the records of an outcome.
    fn publish(&mut self, outcome: &mut Outcome) {
        for record in outcome.records.iter_mut().filter(|record| !record.acknowledged) {
            record.acknowledged = true;
            if record.destination == Destination::Retries {
                let (id, headers) = (self.partition_of(&record.key), record.headers.clone());
                self.append(id, Some(record.key.clone()), Some(record.payload.clone()), headers);
            }
            self.published.push(Record {
                destination: record.destination,
                key: record.key.clone(),
                value: record.payload.clone(),
                headers: record.headers.clone(),
            });
        }
    }

    fn next_refusal(&mut self) -> Option<Failure> {
        (!self.refusals.is_empty()).then(|| self.refusals.remove(0))
    }

    fn commit(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(log) = self.log(&commit.partition) {
                log.commits.push(commit.committed.clone());
            }
        }
    }

    fn owns(&mut self, partition: &Partition) -> bool {
        self.log(partition).is_some_and(|log| log.owned)
    }
}

impl MemoryBroker {
    /// The jobs topic has so many partitions.
    #[must_use]
    pub fn with_partitions(count: usize) -> Self {
        let state = State {
            partitions: (0..count.max(1)).map(|_| Log::default()).collect(),
            ..State::default()
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }))
    }

    /// Partition 0 of the jobs topic.
    #[must_use]
    pub fn partition() -> Partition {
        partition(0)
    }

    /// A member that owns all partitions from the start, and a sink that is not transactional.
    #[must_use]
    pub fn join(&self) -> (MemorySource, MemorySink) {
        let mut state = self.lock();
        state.closed = false;
        state.events.clear();
        state.partitions.iter_mut().for_each(|log| log.owned = false);
        state.assign();
        (MemorySource(self.clone()), MemorySink::new(self.clone()))
    }

    /// A transactional sink.
    #[must_use]
    pub fn transaction_sink(&self) -> MemoryTransactionSink {
        MemoryTransactionSink::new(self.clone())
    }

    /// Commits for partition 0, like an earlier owner.
    pub fn begin_at(&self, next_offset: i64, metadata: &str) {
        let metadata = metadata.to_owned();
        let committed = CommittedOffset { next_offset, metadata };
        self.lock().partitions[0].commits.push(committed);
    }

    /// Assigns the partitions again after [`MemoryBroker::revoke`].
    pub fn give_back(&self) {
        self.lock().assign();
        self.0.changed.notify_all();
    }

    /// Produces a job record.
    pub fn produce(&self, key: Option<&str>, payload: &[u8], headers: Vec<Header>) {
        let mut state = self.lock();
        let id = state.partition_of(key.unwrap_or_default().as_bytes());
        let key = key.map(|key| key.as_bytes().to_vec());
        state.append(id, key, Some(payload.to_vec()), headers);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Revokes the partitions: with time for last commits, or lost.
    pub fn revoke(&self, lost: bool) {
        let mut state = self.lock();
        let owned = state.partitions.iter().enumerate().filter(|(_, log)| log.owned);
        let partitions = owned.map(|(id, _)| partition(id)).collect();
        if lost {
            state.partitions.iter_mut().for_each(|log| log.owned = false);
        }
        state.events.push(SourceEvent::Revoked { partitions, lost });
        drop(state);
        self.0.changed.notify_all();
    }

    /// Replaces partition 0 by an empty one of the same name, as when its topic is deleted and created again.
    pub fn recreate(&self) {
        let mut state = self.lock();
        let log = &mut state.partitions[0];
        (log.records, log.start, log.position) = (Vec::new(), 0, 0);
        log.commits.clear();
        let (partition, cause) = (partition(0), ResetCause::NewLog);
        if log.owned {
            state.events.push(SourceEvent::LogReset { partition, cause });
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Deletes the records of partition 0 before an offset, as retention does.
    pub fn expire_before(&self, offset: i64) {
        let mut state = self.lock();
        let log = &mut state.partitions[0];
        log.start = log.start.max(offset as usize).min(log.records.len());
        let skipped = log.start.saturating_sub(log.position) as u64;
        if skipped > 0 && log.owned {
            log.position = log.start;
            let (partition, cause) = (partition(0), ResetCause::Retention { skipped });
            state.events.push(SourceEvent::LogReset { partition, cause });
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// The next outcomes are refused with these failures, one each; of a transaction the first outcome, and the others with
    /// it.
    pub fn refuse(&self, failures: impl IntoIterator<Item = Failure>) {
        self.lock().refusals.extend(failures);
    }

    /// The next commits are refused.
    pub fn refuse_commits(&self, count: u32) {
        self.lock().commit_refusals = count;
    }

    /// While true, batches are accepted and not answered, like those sent to brokers that are away.
    pub fn hold_publishing(&self, hold: bool) {
        let mut state = self.lock();
        state.publishing_held = hold;
        state.woken = true; // as by a sink that has answers
        drop(state);
        self.0.changed.notify_all();
    }

    /// Whether batches wait for an answer.
    fn is_publishing_held(&self) -> bool {
        self.lock().publishing_held
    }

    /// What was published, in order.
    #[must_use]
    pub fn published(&self) -> Vec<Record> {
        self.lock().published.clone()
    }

    /// The offset that is committed for partition 0; 0 when none is.
    #[must_use]
    pub fn passed(&self) -> i64 {
        self.committed().map_or(0, |committed| committed.next_offset)
    }

    /// What was committed for partition 0, in order: next offsets.
    #[must_use]
    pub fn commits(&self) -> Vec<i64> {
        let state = self.lock();
        let commits = state.partitions[0].commits.iter();
        commits.map(|committed| committed.next_offset).collect()
    }

    /// What was committed last for partition 0.
    #[must_use]
    pub fn committed(&self) -> Option<CommittedOffset> {
        self.committed_of(0)
    }

    /// What was committed last for a partition.
    #[must_use]
    pub fn committed_of(&self, id: usize) -> Option<CommittedOffset> {
        self.lock().partitions[id].commits.last().cloned()
    }

    /// The metadata of what was committed last for partition 0.
    #[must_use]
    pub fn metadata(&self) -> String {
        self.committed().map(|committed| committed.metadata).unwrap_or_default()
    }

    /// Values of the records in a topic, in order; of [`Destination::Retries`] those of all jobs.
    #[must_use]
    pub fn values(&self, destination: Destination) -> Vec<Vec<u8>> {
        let state = self.lock();
        if destination == Destination::Retries {
            let records = state.partitions.iter().flat_map(|log| &log.records);
            return records.filter_map(|job| job.payload.clone()).collect();
        }
        let published = state.published.iter();
        let of_topic = published.filter(|record| record.destination == destination);
        of_topic.map(|record| record.value.clone()).collect()
    }

    /// The published records of a topic, as JSON.
    #[must_use]
    pub fn json(&self, destination: Destination) -> Vec<BTreeMap<String, serde_json::Value>> {
        let published = self.published().into_iter();
        let of_topic = published.filter(|record| record.destination == destination);
        of_topic
            .map(|record| serde_json::from_slice(&record.value).expect("published JSON"))
            .collect()
    }

    /// How often intake was paused.
    #[must_use]
    pub fn pauses(&self) -> u32 {
        self.lock().pauses
    }

    /// How many revoked partitions were released.
    #[must_use]
    pub fn releases(&self) -> u32 {
        self.lock().released
    }

    /// The partitions that the member owns.
    #[must_use]
    pub fn owned(&self) -> BTreeSet<i32> {
        let state = self.lock();
        let owned = state.partitions.iter().enumerate().filter(|(_, log)| log.owned);
        owned.map(|(id, _)| id as i32).collect()
    }

    /// Waits until `is_so`, at most 10 seconds; whether it came true.
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

/// Batches that were accepted and not answered yet.
type Accepted = Vec<Batch>;
