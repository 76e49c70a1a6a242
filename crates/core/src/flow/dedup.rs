//! The same job in several records.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::JobId;

/// What makes two records the same job: its id and its payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct JobKey {
    id: Box<str>,
    fingerprint: u64,
}

impl JobKey {
    pub(crate) fn new(job_id: &str, payload: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        payload.hash(&mut hasher);
        Self {
            id: job_id.into(),
            fingerprint: hasher.finish(),
        }
    }
}

/// Tracks jobs that are running or recently completed, so a job delivered twice is processed once.
///
/// Memory of this process only. Only completed jobs are remembered: one that failed may be sent again, and gets a new
/// outcome.
#[derive(Debug)]
pub(crate) struct Deduplicator {
    ttl: Duration,
    /// By attempt as well: a retry is no duplicate of the attempt before it. The first record of each with those that wait
    /// for its outcome.
    active: HashMap<(JobKey, u32), (JobId, Vec<JobId>)>,
    /// `None` when nothing is to be remembered.
    completed: Option<LruCache<JobKey, Instant>>,
}

/// What a record is among those of the same job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicate {
    /// No duplicate: to be processed.
    No,
    /// The job was completed recently.
    OfCompleted,
    /// Its twin is active: ends together with it.
    Of(JobId),
}

impl Deduplicator {
    /// Remembers up to `entries_max` completed jobs for `ttl` each; none when either is zero.
    pub(crate) fn new(ttl: Duration, entries_max: usize) -> Self {
        let entries_max = NonZeroUsize::new(entries_max).filter(|_| !ttl.is_zero());
        Self {
            ttl,
            active: HashMap::new(),
            completed: entries_max.map(LruCache::new),
        }
    }

    /// Adds a record. One that is [`Duplicate::No`] or [`Duplicate::Of`] must be removed with [`Deduplicator::finish`] or
    /// [`Deduplicator::remove`].
    pub(crate) fn add(&mut self, key: &JobKey, attempt: u32, job: JobId, now: Instant) -> Duplicate {
        if let Some(completed) = &mut self.completed {
            match completed.get(key) {
                Some(since) if now.saturating_duration_since(*since) < self.ttl => return Duplicate::OfCompleted,
                Some(_) => drop(completed.pop(key)),
                None => {}
            }
        }
        match self.active.get_mut(&(key.clone(), attempt)) {
            Some((first, followers)) => {
                followers.push(job);
                Duplicate::Of(*first)
            }
            None => {
                self.active.insert((key.clone(), attempt), (job, vec![]));
                Duplicate::No
            }
        }
    }

    /// The outcome of the first record is published. Returns the records that end with it.
    pub(crate) fn finish(
        &mut self,
        key: &JobKey,
        attempt: u32,
        job: JobId,
        completed: bool,
        now: Instant,
    ) -> Vec<JobId> {
        if let Some(known) = self.completed.as_mut().filter(|_| completed) {
            known.put(key.clone(), now);
        }
        self.take_followers(key, attempt, job)
    }

    /// A record is left without an outcome. If it was the first, returns those that waited for it: one of them is to be
    /// processed now.
    pub(crate) fn remove(&mut self, key: &JobKey, attempt: u32, job: JobId) -> Vec<JobId> {
        if let Some((first, followers)) = self.active.get_mut(&(key.clone(), attempt))
            && *first != job
        {
            followers.retain(|follower| *follower != job);
            return vec![];
        }
        self.take_followers(key, attempt, job)
    }

    fn take_followers(&mut self, key: &JobKey, attempt: u32, job: JobId) -> Vec<JobId> {
        let entry = (key.clone(), attempt);
        match self.active.get(&entry) {
            Some((first, _)) if *first == job => self.active.remove(&entry).map(|(_, followers)| followers),
            _ => None,
        }
        .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> JobKey {
        JobKey::new(id, b"payload")
    }

    #[test]
    fn a_duplicate_of_an_active_job_ends_with_it() {
        let (start, job) = (Instant::now(), key("a"));
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut dedup = Deduplicator::new(Duration::from_secs(60), 10);
        assert_eq!(dedup.add(&job, 1, JobId(1), start), Duplicate::No);
        assert_eq!(dedup.add(&job, 1, JobId(2), start), Duplicate::Of(JobId(1)));
        let other_payload = JobKey::new("a", b"other");
        assert_eq!(dedup.add(&other_payload, 1, JobId(3), start), Duplicate::No);
        assert_eq!(dedup.add(&job, 1, JobId(4), start), Duplicate::Of(JobId(1)));
        assert_eq!(dedup.remove(&job, 1, JobId(4)), [], "its partition was lost");
        assert_eq!(dedup.finish(&job, 1, JobId(1), true, start), [JobId(2)]);
        assert_eq!(dedup.add(&job, 1, JobId(5), later(59)), Duplicate::OfCompleted);
        assert_eq!(dedup.add(&job, 1, JobId(6), later(60)), Duplicate::No);
    }

    #[test]
    fn a_failed_job_is_not_remembered_and_may_be_sent_again() {
        let (now, job) = (Instant::now(), key("a"));
        let mut dedup = Deduplicator::new(Duration::from_secs(60), 10);
        dedup.add(&job, 1, JobId(1), now);
        dedup.finish(&job, 1, JobId(1), false, now);
        assert_eq!(dedup.add(&job, 1, JobId(2), now), Duplicate::No);
    }

    #[test]
    fn a_retry_is_no_duplicate_of_the_attempt_before() {
        let (now, job) = (Instant::now(), key("a"));
        let mut dedup = Deduplicator::new(Duration::from_secs(60), 10);
        dedup.add(&job, 1, JobId(1), now);
        assert_eq!(dedup.add(&job, 2, JobId(2), now), Duplicate::No);
        dedup.finish(&job, 1, JobId(1), false, now);
        assert_eq!(dedup.add(&job, 2, JobId(3), now), Duplicate::Of(JobId(2)));
        assert_eq!(dedup.remove(&job, 2, JobId(2)), [JobId(3)]);
        assert_eq!(dedup.add(&job, 2, JobId(3), now), Duplicate::No);
    }

    #[test]
    fn memory_is_bounded_and_can_be_switched_off() {
        use Duplicate::{No, OfCompleted};
        let now = Instant::now();
        for (ttl, entries, known) in [
            (60, 2, [No, OfCompleted, OfCompleted]),
            (60, 0, [No; 3]),
            (0, 2, [No; 3]),
        ] {
            let mut dedup = Deduplicator::new(Duration::from_secs(ttl), entries);
            for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
                let job = JobId(number as u64);
                dedup.add(&key(id), 1, job, now);
                dedup.finish(&key(id), 1, job, true, now);
            }
            let found = ["a", "b", "c"].map(|id| dedup.add(&key(id), 1, JobId(9), now));
            assert_eq!(found, known, "{ttl} s, {entries} entries");
        }
    }
}
