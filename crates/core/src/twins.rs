//! The same job, delivered more than once.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::outcome::Receipt;

/// What makes two records the same job: its id and its payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobKey {
    pub(crate) id: Box<str>,
    pub(crate) fingerprint: u64,
}

/// Jobs that run, and those whose outcome was published of late: so that a job which is delivered twice (sent twice,
/// redelivered after a rebalance) is done once.
///
/// Remembers in memory what this process did: what another one did is not known here.
#[derive(Debug)]
pub struct Twins<T> {
    ttl: Duration,
    /// By try as well: a retry is no twin of the try before it. Each with the twins that wait for its outcome.
    running: HashMap<(JobKey, u32), Vec<T>>,
    /// `None` when nothing is to be remembered.
    done: Option<LruCache<JobKey, (Instant, Receipt)>>,
}

/// What a record is, seen beside those of the same job.
#[derive(Debug)]
pub enum Twin<T> {
    /// The only one: it is to be run, and its end to be told.
    Only(T),
    /// Its outcome was published before.
    Done(T, Receipt),
    /// Its twin runs: it is kept, and comes back when that one ends.
    Follows,
}

impl<T> Twins<T> {
    /// Remembers up to `entries_max` jobs for `ttl` each; with none of either, only those that run.
    #[must_use]
    pub fn new(ttl: Duration, entries_max: usize) -> Self {
        let entries_max = NonZeroUsize::new(entries_max).filter(|_| !ttl.is_zero());
        Self {
            ttl,
            running: HashMap::new(),
            done: entries_max.map(LruCache::new),
        }
    }

    /// Takes a record of the try `number` of a job in.
    pub fn admit(&mut self, key: &JobKey, number: u32, record: T, now: Instant) -> Twin<T> {
        if let Some(done) = &mut self.done {
            match done.get(key) {
                Some((since, receipt)) if now.saturating_duration_since(*since) < self.ttl => {
                    return Twin::Done(record, *receipt);
                }
                Some(_) => drop(done.pop(key)),
                None => {}
            }
        }
        match self.running.get_mut(&(key.clone(), number)) {
            Some(followers) => {
                followers.push(record);
                Twin::Follows
            }
            None => {
                self.running.insert((key.clone(), number), vec![]);
                Twin::Only(record)
            }
        }
    }

    /// The outcome of the one that ran is published. Its twins, which are done with it.
    pub fn published(&mut self, key: &JobKey, number: u32, receipt: Receipt, now: Instant) -> Vec<T> {
        if let Some(done) = self.done.as_mut().filter(|_| receipt.is_final()) {
            done.put(key.clone(), (now, receipt));
        }
        self.left(key, number)
    }

    /// The one that ran has no outcome here. Its twins, one of which is to be run now.
    pub fn left(&mut self, key: &JobKey, number: u32) -> Vec<T> {
        self.running.remove(&(key.clone(), number)).unwrap_or_default()
    }

    /// How many records wait for their twin.
    #[must_use]
    pub fn following(&self) -> usize {
        self.running.values().map(Vec::len).sum()
    }

    /// Takes the waiting records out that are no longer to be done here.
    pub fn extract(&mut self, is_out: impl Fn(&T) -> bool) -> Vec<T> {
        let followers = self.running.values_mut();
        followers
            .flat_map(|followers| followers.extract_if(.., |record| is_out(record)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, Outcome, OutcomeKind, Partition};

    fn key(id: &str) -> JobKey {
        JobKey {
            id: id.into(),
            fingerprint: 7,
        }
    }

    fn receipt(kind: OutcomeKind) -> Receipt {
        let partition = Partition {
            topic: "stt.jobs".into(),
            id: 0,
        };
        let mut ledger = Ledger::default();
        ledger.assign(partition.clone().into());
        let ticket = ledger.admit(&partition, 0).ticket().expect("just assigned");
        Outcome::new(ticket, vec![], kind).acknowledged().receipt()
    }

    fn completed() -> Receipt {
        receipt(OutcomeKind::Completed { result: vec![] })
    }

    fn retried() -> Receipt {
        receipt(OutcomeKind::Retry {
            payload: vec![],
            headers: vec![],
        })
    }

    fn name(twin: &Twin<&str>) -> &'static str {
        match twin {
            Twin::Only(_) => "only",
            Twin::Done(..) => "done",
            Twin::Follows => "follows",
        }
    }

    #[test]
    fn a_twin_that_comes_while_the_first_runs_ends_with_it_and_one_that_comes_later_is_known() {
        let (start, job) = (Instant::now(), key("a"));
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut twins = Twins::new(Duration::from_secs(60), 10);
        assert_eq!(name(&twins.admit(&job, 1, "first", start)), "only");
        assert_eq!(name(&twins.admit(&job, 1, "second", start)), "follows");
        let other = JobKey {
            fingerprint: 8,
            ..key("a")
        };
        assert_eq!(name(&twins.admit(&other, 1, "same id, other payload", start)), "only");
        assert_eq!(name(&twins.admit(&job, 1, "of a lost partition", start)), "follows");
        assert_eq!(
            twins.extract(|record| record.ends_with("partition")),
            ["of a lost partition"]
        );
        assert_eq!(twins.following(), 1);
        assert_eq!(twins.published(&job, 1, completed(), start), ["second"]);
        assert_eq!(name(&twins.admit(&job, 1, "third", later(59))), "done");
        assert_eq!(name(&twins.admit(&job, 1, "fourth", later(60))), "only");
    }

    #[test]
    fn the_next_try_is_no_twin_of_the_last_and_a_retry_is_not_the_end_of_a_job() {
        let (now, job) = (Instant::now(), key("a"));
        let mut twins = Twins::new(Duration::from_secs(60), 10);
        twins.admit(&job, 1, "first try", now);
        assert_eq!(
            name(&twins.admit(&job, 2, "second try", now)),
            "only",
            "the retry came before its cause was settled"
        );
        twins.published(&job, 1, retried(), now);
        assert_eq!(name(&twins.admit(&job, 2, "second try, redelivered", now)), "follows");
        assert_eq!(twins.left(&job, 2), ["second try, redelivered"]);
        assert_eq!(name(&twins.admit(&job, 2, "second try, redelivered", now)), "only");
    }

    #[test]
    fn only_so_many_are_remembered_and_with_no_time_none() {
        let now = Instant::now();
        for (ttl, entries, known) in [
            (60, 2, ["only", "done", "done"]),
            (60, 0, ["only"; 3]),
            (0, 2, ["only"; 3]),
        ] {
            let mut twins = Twins::new(Duration::from_secs(ttl), entries);
            for id in ["a", "b", "c"] {
                twins.admit(&key(id), 1, id, now);
                twins.published(&key(id), 1, completed(), now);
            }
            let found = ["a", "b", "c"].map(|id| name(&twins.admit(&key(id), 1, id, now)));
            assert_eq!(found, known, "{ttl} s, {entries} entries");
        }
    }
}
