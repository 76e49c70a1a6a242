//! Jobs that wait for a worker.

use std::collections::{BTreeMap, VecDeque};

use crate::{JobId, Partition, Site};

/// Jobs that wait for a worker: partitions take turns, within a partition the sites that its jobs download from do, and jobs of
/// one site come first in first out. So the backlog of a partition delays no other, and that of a site no other site.
/// Partitions of the priority topic (retries) come before all others. A site without room is passed over.
#[derive(Debug, Default)]
pub(crate) struct RunQueue {
    priority_topic: Option<std::sync::Arc<str>>,
    by_partition: BTreeMap<Partition, BySite>,
    /// The partition that was served last; the next one in order is served next.
    last: Option<Partition>,
    len: usize,
}

/// The jobs of one partition.
#[derive(Debug, Default)]
struct BySite {
    queues: BTreeMap<Site, VecDeque<JobId>>,
    /// The site that was served last.
    last: Option<Site>,
}

impl RunQueue {
    pub(crate) fn new(priority_topic: Option<std::sync::Arc<str>>) -> Self {
        Self {
            priority_topic,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, partition: &Partition, site: &Site, job: JobId) {
        self.queue(partition, site).push_back(job);
        self.len += 1;
    }

    /// Puts a job back that cannot start yet. Others of its partition and site wait behind it.
    pub(crate) fn push_front(&mut self, partition: &Partition, site: &Site, job: JobId) {
        self.queue(partition, site).push_front(job);
        self.len += 1;
    }

    fn queue(&mut self, partition: &Partition, site: &Site) -> &mut VecDeque<JobId> {
        let sites = self.by_partition.entry(partition.clone()).or_default();
        sites.queues.entry(site.clone()).or_default()
    }

    /// The next job of a site that has room.
    pub(crate) fn pop(&mut self, has_room: impl Fn(&Site) -> bool) -> Option<JobId> {
        let (partition, site) = self.next(&has_room)?;
        let sites = self.by_partition.get_mut(&partition)?;
        let queue = sites.queues.get_mut(&site)?;
        let job = queue.pop_front()?;
        if queue.is_empty() {
            sites.queues.remove(&site);
        }
        sites.last = Some(site);
        if sites.queues.is_empty() {
            self.by_partition.remove(&partition);
        }
        self.len -= 1;
        self.last = Some(partition);
        Some(job)
    }

    fn next(&self, has_room: &impl Fn(&Site) -> bool) -> Option<(Partition, Site)> {
        let first_after = |only_priority: bool| {
            let of_class = |partition: &Partition| {
                !only_priority || self.priority_topic.as_deref() == Some(partition.topic.as_ref())
            };
            let served = |(partition, sites): (&Partition, &BySite)| {
                let site = of_class(partition).then(|| sites.next(has_room)).flatten()?;
                Some((partition.clone(), site.clone()))
            };
            let is_after = |partition: &Partition| self.last.as_ref().is_some_and(|last| partition > last);
            let mut after = self.by_partition.iter().filter(|(partition, _)| is_after(partition));
            after
                .find_map(served)
                .or_else(|| self.by_partition.iter().find_map(served))
        };
        let urgent = self.priority_topic.as_ref().and_then(|_| first_after(true));
        urgent.or_else(|| first_after(false))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many jobs wait for their site to have room.
    pub(crate) fn held_back(&self, has_room: impl Fn(&Site) -> bool) -> usize {
        let queues = self.by_partition.values().flat_map(|sites| &sites.queues);
        queues
            .filter(|(site, _)| !has_room(site))
            .map(|(_, queue)| queue.len())
            .sum()
    }

    /// Removes a job, wherever it stands.
    pub(crate) fn remove(&mut self, partition: &Partition, site: &Site, job: JobId) {
        let Some(sites) = self.by_partition.get_mut(partition) else {
            return;
        };
        if let Some(queue) = sites.queues.get_mut(site) {
            let before = queue.len();
            queue.retain(|waiting| *waiting != job);
            self.len -= before - queue.len();
            if queue.is_empty() {
                sites.queues.remove(site);
            }
        }
        if sites.queues.is_empty() {
            self.by_partition.remove(partition);
        }
    }
}

impl BySite {
    fn next(&self, has_room: &impl Fn(&Site) -> bool) -> Option<&Site> {
        let is_after = |site: &Site| self.last.as_ref().is_none_or(|last| site > last);
        let mut after = self.queues.keys().filter(|site| is_after(site));
        after
            .find(|site| has_room(site))
            .or_else(|| self.queues.keys().find(|site| has_room(site)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, id: i32) -> Partition {
        let topic = topic.into();
        Partition { topic, id }
    }

    fn order(queue: &mut RunQueue, has_room: impl Fn(&Site) -> bool) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop(&has_room)).map(|job| job.0).collect()
    }

    #[test]
    fn partitions_take_turns_and_retries_come_first() {
        let mut queue = RunQueue::new(Some("stt.retries".into()));
        let site = Site::of("media.example");
        for job in 0..4 {
            queue.push(&partition("stt.jobs", 0), &site, JobId(job));
        }
        queue.push(&partition("stt.jobs", 1), &site, JobId(10));
        queue.push(&partition("stt.jobs", 2), &site, JobId(20));
        queue.push(&partition("stt.retries", 0), &site, JobId(30));
        queue.remove(&partition("stt.jobs", 0), &site, JobId(1));
        assert_eq!(queue.len(), 6);
        assert_eq!(order(&mut queue, |_| true), [30, 0, 10, 20, 2, 3]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn sites_take_turns_however_many_jobs_and_hosts_one_has() {
        let mut queue = RunQueue::new(None);
        let partition = partition("stt.jobs", 0);
        for job in 0..6 {
            queue.push(&partition, &Site::of(&format!("{job}.evil.example")), JobId(job));
        }
        queue.push(&partition, &Site::of("media.example"), JobId(10));
        queue.push(&partition, &Site::of("media.example"), JobId(11));
        queue.push(&partition, &Site::of("a.example"), JobId(20));
        assert_eq!(order(&mut queue, |_| true), [20, 0, 10, 1, 11, 2, 3, 4, 5]);
    }

    #[test]
    fn a_site_without_room_is_passed_over() {
        let mut queue = RunQueue::new(Some("stt.retries".into()));
        let (evil, media) = (Site::of("evil.example"), Site::of("media.example"));
        queue.push(&partition("stt.retries", 0), &evil, JobId(1));
        queue.push(&partition("stt.jobs", 0), &evil, JobId(2));
        queue.push(&partition("stt.jobs", 0), &media, JobId(3));
        let has_room = |site: &Site| *site != evil;
        assert_eq!(queue.held_back(has_room), 2);
        assert_eq!(order(&mut queue, has_room), [3]);
        assert_eq!(order(&mut queue, |_| true), [1, 2]);
    }
}
