//! Jobs that wait for a point in time.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::JobId;

/// Jobs by the time they are due; equal times in the order of admission. They wait in memory and hold up nothing.
#[derive(Debug, Default)]
pub(crate) struct DelayQueue {
    by_time: BTreeSet<(Instant, JobId)>,
    due: HashMap<JobId, Instant>,
}

impl DelayQueue {
    pub(crate) fn push(&mut self, due: Instant, job: JobId) {
        self.remove(job);
        self.by_time.insert((due, job));
        self.due.insert(job, due);
    }

    /// The next job whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<JobId> {
        (self.next_due()? <= now).then(|| self.pop_first()).flatten()
    }

    /// The job that is due first, whether or not its time has come.
    pub(crate) fn pop_first(&mut self) -> Option<JobId> {
        let (_, job) = self.by_time.pop_first()?;
        self.due.remove(&job);
        Some(job)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.by_time.first().map(|(due, _)| *due)
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }

    pub(crate) fn remove(&mut self, job: JobId) -> bool {
        match self.due.remove(&job) {
            Some(due) => self.by_time.remove(&(due, job)),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn jobs_come_out_when_due_and_not_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut delays = DelayQueue::default();
        delays.push(at(20), JobId(1));
        delays.push(at(10), JobId(2));
        delays.push(at(20), JobId(3));
        delays.push(at(5), JobId(4));
        assert!(delays.remove(JobId(4)) && !delays.remove(JobId(4)));
        assert_eq!(
            (delays.pop(at(9)), delays.next_due(), delays.len()),
            (None, Some(at(10)), 3)
        );
        let out: Vec<_> = std::iter::from_fn(|| delays.pop(at(30))).map(|job| job.0).collect();
        assert_eq!(out, [2, 1, 3]);
    }
}
