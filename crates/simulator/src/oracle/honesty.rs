//! What processes say of themselves.

use stt_core::{NotReady, Status};

use super::Oracle;
use crate::world::{MS, SECOND, Time};

impl Oracle {
    /// **Honesty**: what a process says of itself. It is not ready whenever it is no member, an outcome or a commit waits for the
    /// broker, or its own fault keeps jobs from starting; a job that waits says why; what it holds is bounded.
    pub(crate) fn check_status(&mut self, id: usize, now: Time, status: &Status, open_max: usize) {
        let process = &self.processes[id];
        let says = |reason: NotReady| status.not_ready.contains(&reason);
        let mut wrong = None;
        if !process.member && status.not_ready.is_empty() {
            wrong = Some("is ready, and no member of the group".to_owned());
        }
        let oldest = process.in_flight.values().filter(|(_, record)| {
            record.is_some_and(|record| process.current.contains(&record) && !process.orphans.contains(&record))
        });
        if let Some((since, _)) = oldest.min()
            && now > since + 4 * SECOND
            && !says(NotReady::PublishBlocked)
        {
            wrong = Some(format!(
                "does not say that an outcome waits for {} ms",
                (now - since) / MS
            ));
        }
        if let Some(since) = process.commits_since
            && now > since + 12 * SECOND
            && !says(NotReady::CommitBlocked)
            && !says(NotReady::PublishBlocked)
        {
            wrong = Some(format!(
                "does not say that commits are not accepted for {} ms",
                (now - since) / MS
            ));
        }
        if process.breaker_since.is_some_and(|since| now > since + 4 * SECOND) && !says(NotReady::WorkerFault) {
            wrong = Some("does not say that a fault of its own stops jobs".to_owned());
        }
        if process.is_stopping && !says(NotReady::Stopping) {
            wrong = Some("does not say that it is stopping".to_owned());
        }
        let unexplained = |job: &&stt_core::JobStatus| job.stage == "delayed" && job.attempt == 1 && job.held.is_none();
        if let Some(job) = status.jobs.iter().find(unexplained) {
            wrong = Some(format!(
                "holds the first attempt at {}[{}]@{} without a reason",
                job.topic, job.partition, job.offset
            ));
        }
        if status.open > open_max {
            wrong = Some(format!("holds {} records; {open_max} are allowed", status.open));
        }
        let oldest_age = status
            .partitions
            .iter()
            .filter_map(|partition| partition.oldest_age)
            .fold(0.0, f64::max);
        if status.not_ready.is_empty() && oldest_age > 320.0 && now > process.last_end + 320 * SECOND {
            wrong = Some("is ready, and ended no job for 320 s".to_owned());
        }
        if let Some(wrong) = wrong {
            self.fail(format!("honesty: process {id} {wrong}"));
        }
    }
}
