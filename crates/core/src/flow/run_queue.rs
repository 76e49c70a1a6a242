//! Jobs that wait for a worker.

use std::collections::{BTreeMap, VecDeque};

use crate::{JobId, Partition};

/// Jobs that wait for a worker, first in first out within a partition and in turn over partitions, so that the backlog of
/// one partition delays no other. Partitions of the priority topic (retries) come before all others.
#[derive(Debug, Default)]
pub(crate) struct RunQueue {
    priority_topic: Option<std::sync::Arc<str>>,
    by_partition: BTreeMap<Partition, VecDeque<JobId>>,
    /// The partition that was served last; the next one in order is served next.
    last: Option<Partition>,
    len: usize,
}

impl RunQueue {
    pub(crate) fn new(priority_topic: Option<std::sync::Arc<str>>) -> Self {
        Self {
            priority_topic,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, partition: &Partition, job: JobId) {
        self.by_partition.entry(partition.clone()).or_default().push_back(job);
        self.len += 1;
    }

    /// Puts a job back that cannot start yet. Others of its partition wait behind it.
    pub(crate) fn push_front(&mut self, partition: &Partition, job: JobId) {
        self.by_partition.entry(partition.clone()).or_default().push_front(job);
        self.len += 1;
    }

    /// The next job.
    pub(crate) fn pop(&mut self) -> Option<JobId> {
        let partition = self.next_partition()?.clone();
        let queue = self.by_partition.get_mut(&partition)?;
        let job = queue.pop_front()?;
        if queue.is_empty() {
            self.by_partition.remove(&partition);
        }
        self.len -= 1;
        self.last = Some(partition);
        Some(job)
    }

    fn next_partition(&self) -> Option<&Partition> {
        let first_after = |only_priority: bool| {
            let of_class = |partition: &&Partition| {
                !only_priority || self.priority_topic.as_deref() == Some(partition.topic.as_ref())
            };
            let all = || self.by_partition.keys().filter(of_class);
            let after = self
                .last
                .as_ref()
                .and_then(|last| all().find(|partition| *partition > last));
            after.or_else(|| all().next())
        };
        let urgent = self.priority_topic.as_ref().and_then(|_| first_after(true));
        urgent.or_else(|| first_after(false))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Removes a job, wherever it stands.
    pub(crate) fn remove(&mut self, partition: &Partition, job: JobId) {
        if let Some(queue) = self.by_partition.get_mut(partition) {
            let before = queue.len();
            queue.retain(|waiting| *waiting != job);
            self.len -= before - queue.len();
            if queue.is_empty() {
                self.by_partition.remove(partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, id: i32) -> Partition {
        let topic = topic.into();
        Partition { topic, id }
    }

    #[test]
    fn partitions_take_turns_and_retries_come_first() {
        let mut queue = RunQueue::new(Some("stt.retries".into()));
        for job in 0..4 {
            queue.push(&partition("stt.jobs", 0), JobId(job));
        }
        queue.push(&partition("stt.jobs", 1), JobId(10));
        queue.push(&partition("stt.jobs", 2), JobId(20));
        queue.push(&partition("stt.retries", 0), JobId(30));
        queue.remove(&partition("stt.jobs", 0), JobId(1));
        assert_eq!(queue.len(), 6);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|job| job.0).collect();
        assert_eq!(order, [30, 0, 10, 20, 2, 3]);
        assert_eq!(queue.len(), 0);
    }
}
