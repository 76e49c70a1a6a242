//! The topics that workers read: partitions as logs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use stt_core::{Delivery, Header, Partition};

use crate::script::{Setup, Topic};
use crate::world::{Event, MS, World};

/// A record in a log.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Its number with the oracle.
    pub record: usize,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<Header>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `None`: a transaction's marker.
    pub stored: Option<Arc<Stored>>,
    /// The transaction that wrote it.
    pub transaction: Option<usize>,
}

/// A partition's log. Offsets keep their meaning as long as `id` stays.
#[derive(Debug)]
pub(crate) struct Log {
    pub id: u64,
    pub start: i64,
    pub entries: VecDeque<Entry>,
    /// From where on offsets mean other records than in the log before, should a reader have been further.
    pub cut: i64,
    /// Whether it lost its end once.
    pub truncated: bool,
    /// Its ids before it lost its end.
    pub former: Vec<u64>,
    /// What a commit for the log before names as done in this one, and a process that did not know better relied on.
    pub mistaken: Vec<(i64, i64)>,
    /// The same of what it names as started.
    pub mistaken_starts: Vec<i64>,
}

impl Log {
    pub(crate) fn end(&self) -> i64 {
        self.start + self.entries.len() as i64
    }

    pub(crate) fn get(&self, offset: i64) -> Option<&Entry> {
        self.entries.get(usize::try_from(offset - self.start).ok()?)
    }
}

/// The logs of the jobs topic and of the retry topic.
#[derive(Debug)]
pub(crate) struct Logs {
    pub by_partition: BTreeMap<Partition, Log>,
    jobs: Arc<str>,
    retries: Option<Arc<str>>,
    next_id: u64,
}

impl Logs {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut logs = Self {
            by_partition: BTreeMap::new(),
            jobs: Topic::Jobs.as_str().into(),
            retries: setup.retry_topic.then(|| Topic::Retries.as_str().into()),
            next_id: 1,
        };
        logs.add_partitions(setup.partitions.max(1));
        if let Some(topic) = logs.retries.clone() {
            let id = 0;
            let log = logs.fresh();
            logs.by_partition.insert(Partition { topic, id }, log);
        }
        logs
    }

    fn fresh(&mut self) -> Log {
        self.next_id += 1;
        Log {
            id: self.next_id,
            start: 0,
            entries: VecDeque::new(),
            cut: 0,
            truncated: false,
            former: vec![],
            mistaken: vec![],
            mistaken_starts: vec![],
        }
    }

    pub(crate) fn jobs_partition(&self, number: u32) -> Partition {
        let count = self.jobs_partitions();
        Partition {
            topic: self.jobs.clone(),
            id: (number % count) as i32,
        }
    }

    fn jobs_partitions(&self) -> u32 {
        let of_jobs = self
            .by_partition
            .keys()
            .filter(|partition| partition.topic == self.jobs);
        of_jobs.count().max(1) as u32
    }

    pub(crate) fn retry_partition(&self, key: &[u8]) -> Partition {
        match &self.retries {
            Some(topic) => Partition {
                topic: topic.clone(),
                id: 0,
            },
            None => self.jobs_partition(
                key.iter()
                    .fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte))),
            ),
        }
    }

    pub(crate) fn add_partitions(&mut self, count: u32) {
        let before = self
            .by_partition
            .keys()
            .filter(|partition| partition.topic == self.jobs)
            .count() as i32;
        for number in 0..count as i32 {
            let log = self.fresh();
            let partition = Partition {
                topic: self.jobs.clone(),
                id: before + number,
            };
            self.by_partition.insert(partition, log);
        }
    }
}

impl World {
    /// A producer writes a record.
    pub(crate) fn produce(&mut self, partition: u32, spec: usize) {
        let partition = self.logs.jobs_partition(partition);
        let made = self.specs[spec].clone();
        self.append(&partition, made.key, made.payload, made.headers, spec, 1, None);
    }

    /// Appends a job record; readers see it at once, unless it is part of a transaction that is open.
    #[allow(clippy::too_many_arguments)] // a record has that many parts
    pub(crate) fn append(
        &mut self,
        partition: &Partition,
        key: Option<Vec<u8>>,
        payload: Option<Vec<u8>>,
        headers: Vec<Header>,
        spec: usize,
        attempt: u32,
        transaction: Option<usize>,
    ) -> usize {
        let log = self.logs.by_partition.get_mut(partition).expect("the partition exists");
        let (offset, id) = (log.end(), log.id);
        let record = self.oracle.produced(
            self.now,
            partition,
            id,
            offset,
            spec,
            &self.specs[spec],
            attempt,
            key.as_deref(),
        );
        let stored = Arc::new(Stored {
            record,
            key,
            payload,
            headers,
        });
        log.entries.push_back(Entry {
            stored: Some(stored),
            transaction,
        });
        if log
            .mistaken
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&offset))
        {
            self.oracle.passed_unread(record);
        }
        if log.mistaken_starts.contains(&offset) {
            self.oracle.suspected_by_mistake(record);
        }
        if transaction.is_none() {
            self.wake_readers(partition);
        }
        record
    }

    pub(crate) fn wake_readers(&mut self, partition: &Partition) {
        let at = self.now + self.latency();
        for id in 0..self.incarnations.len() {
            if self.incarnations[id].alive && self.incarnations[id].consumer.owned.contains_key(partition) {
                self.wake(id, at);
            }
        }
    }

    pub(crate) fn mark_transaction(&mut self, transaction: usize) {
        let mut touched = vec![];
        for (partition, log) in &mut self.logs.by_partition {
            if log.entries.iter().any(|entry| entry.transaction == Some(transaction)) {
                log.entries.push_back(Entry {
                    stored: None,
                    transaction: None,
                });
                touched.push(partition.clone());
            }
        }
        touched.iter().for_each(|partition| self.wake_readers(partition));
    }

    pub(crate) fn recreate(&mut self) {
        let of_jobs = |partition: &&Partition| partition.topic.as_ref() == Topic::Jobs.as_str();
        let partitions: Vec<_> = self.logs.by_partition.keys().filter(of_jobs).cloned().collect();
        for partition in partitions {
            let fresh = self.logs.fresh();
            self.group.offsets.remove(&partition);
            if let Some(old) = self.logs.by_partition.insert(partition.clone(), fresh) {
                self.oracle.gone(&old, 0..old.entries.len(), "its topic was deleted");
            }
            self.wake_readers(&partition);
        }
    }

    pub(crate) fn truncate(&mut self, partition: u32, count: u32) {
        let partition = self.logs.jobs_partition(partition);
        let id = self.logs.fresh().id;
        let Some(log) = self.logs.by_partition.get_mut(&partition) else {
            return;
        };
        let keep = log.entries.len().saturating_sub(count as usize);
        self.oracle.gone(log, keep..log.entries.len(), "the log lost its end");
        log.entries.truncate(keep);
        let cut = if log.truncated {
            log.cut.min(log.end())
        } else {
            log.end()
        };
        log.former.push(log.id);
        (log.id, log.cut, log.truncated) = (id, cut, true);
        self.oracle.truncated(log);
        self.adopt_offset(&partition);
        self.wake_readers(&partition);
    }

    pub(crate) fn retain(&mut self, partition: u32, count: u32) {
        let partition = self.logs.jobs_partition(partition);
        let Some(log) = self.logs.by_partition.get_mut(&partition) else {
            return;
        };
        let count = (count as usize).min(log.entries.len());
        self.oracle.gone(log, 0..count, "retention deleted it");
        log.entries.drain(..count);
        log.start += count as i64;
        self.wake_readers(&partition);
    }

    /// Whether a reader can fetch from a partition now.
    pub(crate) fn has_leader(&self, partition: &Partition) -> bool {
        let until = self
            .faults
            .leaderless_until
            .get(&(partition.id as u32))
            .copied()
            .unwrap_or(0);
        partition.topic.as_ref() != Topic::Jobs.as_str() || until <= self.now
    }

    /// The next record that committed readers see at or behind an offset.
    pub(crate) fn read(&self, partition: &Partition, mut offset: i64) -> Option<(i64, Arc<Stored>)> {
        let log = &self.logs.by_partition[partition];
        loop {
            let entry = log.get(offset)?;
            match entry
                .transaction
                .map(|transaction| self.transactions.state(transaction))
            {
                Some(crate::producer::TransactionState::Open) => return None,
                Some(crate::producer::TransactionState::Aborted) => {}
                _ => {
                    if let Some(stored) = &entry.stored {
                        return Some((offset, stored.clone()));
                    }
                }
            }
            offset += 1;
        }
    }

    pub(crate) fn delivery(partition: &Partition, offset: i64, stored: &Stored) -> Delivery {
        Delivery {
            partition: partition.clone(),
            offset,
            key: stored.key.clone(),
            payload: stored.payload.clone(),
            headers: stored.headers.clone(),
        }
    }

    /// A commit below the place where a log lost its end is one for what is left of it, too; not so what it names as done above.
    pub(crate) fn adopt_offset(&mut self, partition: &Partition) {
        let Some(log) = self.logs.by_partition.get(partition).filter(|log| log.truncated) else {
            return;
        };
        let (id, cut, former) = (log.id, log.cut, log.former.clone());
        let stored = self.group.offsets.get_mut(partition);
        if let Some(stored) =
            stored.filter(|stored| former.contains(&stored.log) && stored.committed.next_offset <= cut)
        {
            stored.log = id;
            self.mistake(partition);
        }
    }

    /// A process begins to read a log with what was committed for the one before.
    pub(crate) fn mistake(&mut self, partition: &Partition) {
        let Some(stored) = self.group.offsets.get(partition) else {
            return;
        };
        let Some(log) = self.logs.by_partition.get_mut(partition) else {
            return;
        };
        let mut mistaken = stored.done.clone();
        mistaken.push((0, stored.committed.next_offset - 1));
        // What is left of a log that lost its end keeps its offsets.
        mistaken
            .iter_mut()
            .for_each(|(first, _)| *first = (*first).max(log.cut));
        let starts: Vec<i64> = stored
            .started
            .keys()
            .copied()
            .filter(|offset| *offset >= log.cut)
            .collect();
        for (place, entry) in log.entries.iter().enumerate() {
            let offset = log.start + place as i64;
            if let Some(stored) = &entry.stored
                && starts.contains(&offset)
            {
                self.oracle.suspected_by_mistake(stored.record);
            }
            if let Some(stored) = &entry.stored
                && mistaken.iter().any(|(first, last)| (*first..=*last).contains(&offset))
            {
                self.oracle.passed_unread(stored.record);
            }
        }
        log.mistaken.extend(mistaken);
        log.mistaken_starts.extend(starts);
    }

    pub(crate) fn sample_later(&mut self, wait_ms: u64) {
        self.push(self.now + wait_ms * MS, Event::Sample);
    }
}
