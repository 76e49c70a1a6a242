//! The state at one moment.

use std::time::{Duration, Instant};

use super::Coordinator;
use crate::flow::job::{Job, JobState, Standing};
use crate::flow::status::{JobStatus, NotReady, OutcomeStatus, PartitionStatus, Status};

/// How many jobs and outcomes a snapshot names.
const NAMED_MAX: usize = 100;

impl Status {
    /// An outcome that waits longer makes the worker not ready.
    pub const BLOCKED_AFTER: Duration = Duration::from_secs(3);

    /// Commits without a good answer for longer make the worker not ready. Longer than a usual rebalance.
    pub const COMMIT_BLOCKED_AFTER: Duration = Duration::from_secs(10);
}

impl Coordinator {
    /// The state at `now`.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        let age = |since: Instant| now.saturating_duration_since(since).as_secs_f64();
        let mut jobs: Vec<&Job> = self.jobs.values().collect();
        jobs.sort_by_key(|job| job.id);
        let count = |is: &dyn Fn(&Job) -> bool| jobs.iter().filter(|job| is(job)).count();
        let publishing = |job: &&&Job| job.is_publishing();
        let outcome = |job: &&Job| {
            let JobState::Publishing(publication) = &job.state else {
                return None;
            };
            Some(OutcomeStatus {
                topic: job.partition().topic.to_string(),
                partition: job.partition().id,
                offset: job.offset(),
                age: age(job.since),
                refusals: publication.refusals,
                in_flight: publication.outcome.is_none(),
            })
        };
        let waits = |job: &&&Job| !matches!(job.state, JobState::Queued | JobState::Publishing(_));
        Status {
            not_ready: self.not_ready(now),
            member: self.member,
            stopping: self.stopping.is_some(),
            intake_paused: self.intake.is_paused(),
            open: jobs.len(),
            queued: count(&|job| {
                matches!(
                    job.state,
                    JobState::Queued | JobState::Marking | JobState::Isolated | JobState::Following
                )
            }),
            running: self.running.len(),
            delayed: self.delays.len(),
            publishing: count(&|job| job.is_publishing()),
            window: self.config.window(),
            kept: self.kept.len(),
            hung: self.hung_job(now).map(|(_, label, stage, since)| JobStatus {
                topic: label.partition.topic.to_string(),
                partition: label.partition.id,
                offset: label.offset,
                attempt: label.attempt,
                stage: stage.as_str(),
                stage_age: age(since),
                age: age(since),
                held: None,
            }),
            breaker: self.breaker.code(),
            partitions: self.partition_statuses(now),
            jobs: jobs
                .iter()
                .filter(waits)
                .take(NAMED_MAX)
                .map(|job| job_status(job, now))
                .collect(),
            outcomes: jobs
                .iter()
                .filter(publishing)
                .filter_map(outcome)
                .take(NAMED_MAX)
                .collect(),
        }
    }

    fn partition_statuses(&self, now: Instant) -> Vec<PartitionStatus> {
        let status = |(partition, owned): (&crate::Partition, &super::OwnedPartition)| {
            let oldest = owned.offsets.open().next().and_then(|(_, id)| self.jobs.get(&id));
            PartitionStatus {
                topic: partition.topic.to_string(),
                partition: partition.id,
                committed: owned.offsets.committed_offset(),
                next: owned.offsets.next_offset(),
                open: owned.offsets.open_count(),
                oldest_age: oldest.map(|job| now.saturating_duration_since(job.admitted).as_secs_f64()),
                suspects: owned.offsets.suspect_count(),
                draining: owned.draining.is_some(),
                paused: owned.paused,
            }
        };
        self.partitions.iter().map(status).collect()
    }

    fn not_ready(&self, now: Instant) -> Vec<NotReady> {
        let waits = |since: Instant| now.saturating_duration_since(since) >= Status::BLOCKED_AFTER;
        let blocked = |job: &Job| job.is_publishing() && job.standing != Standing::Lost && waits(job.since);
        let reasons = [
            (NotReady::NotMember, !self.member),
            (NotReady::Stopping, self.stopping.is_some() || self.exited),
            (NotReady::PublishBlocked, self.jobs.values().any(blocked)),
            (
                NotReady::CommitBlocked,
                self.commit_silence(now) >= Status::COMMIT_BLOCKED_AFTER,
            ),
            (NotReady::WorkerFault, self.breaker.since().is_some_and(waits)),
            (NotReady::Hung, self.hung_job(now).is_some()),
        ];
        reasons
            .into_iter()
            .filter(|(_, holds)| *holds)
            .map(|(reason, _)| reason)
            .collect()
    }
}

fn job_status(job: &Job, now: Instant) -> JobStatus {
    let age = |since: Instant| now.saturating_duration_since(since).as_secs_f64();
    JobStatus {
        topic: job.partition().topic.to_string(),
        partition: job.partition().id,
        offset: job.offset(),
        attempt: job.incoming.attempt(),
        stage: job.stage_name(),
        stage_age: age(job.since),
        age: age(job.admitted),
        held: match job.state {
            JobState::Delayed { held } => held,
            _ => None,
        },
    }
}
