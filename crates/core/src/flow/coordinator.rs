//! Decides everything about delivery, from a record's arrival to its commit.

mod admission;
mod commits;
mod intake;
mod ownership;
mod publishing;
mod snapshot;
mod starting;
mod stopping;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use super::config::CoordinatorConfig;
use super::dedup::{Deduplicator, JobKey};
use super::delay_queue::DelayQueue;
use super::events::{Exit, FailureLabel, FlowEvent, Input, JobLabel, Output, Report};
use super::job::{Job, JobState, Standing, Wording};
use super::partition::PartitionOffsets;
use super::run_queue::RunQueue;
use crate::{BatchId, Failure, JobId, Partition, SourceEvent, WorkStage, WorkerEvent};

use self::intake::Intake;
use self::starting::{Breaker, Isolation};
use self::stopping::Stopping;

/// Decides everything about delivery: which job runs when, what is published about it, which offsets are committed.
///
/// A state machine without IO, clock, locks or log: feed it [`Input`]s with the time at which they happened, carry out its
/// [`Output`]s, and call it again at [`Coordinator::next_wakeup`]. One instance owns all partitions of a group member.
///
/// Each fact has one place. A record is a `Job` in `jobs` from admission until its outcome is acknowledged; `PartitionOffsets`
/// knows which offsets of a partition are open; the queues hold ids only.
///
/// Invariants, checked by the simulator at each step (`docs/delivery.md` has them with their reasons): **no loss**, **no
/// rewind**, **fencing**, **nothing twice**, **liveness**, **honesty**.
#[derive(Debug)]
pub struct Coordinator {
    config: CoordinatorConfig,
    outputs: VecDeque<Output>,
    /// When it was called last.
    now: Instant,
    wall: SystemTime,

    jobs: HashMap<JobId, Job>,
    next_job: u64,
    partitions: BTreeMap<Partition, OwnedPartition>,
    /// What this process had started in partitions that it lost: when they come back, those are no crashes.
    own_starts: BTreeMap<Partition, BTreeMap<i64, u32>>,
    /// Jobs of lost partitions, by the place of their record, and in the order in which they were lost.
    kept: HashMap<(Partition, i64), JobId>,
    kept_order: VecDeque<(Partition, i64)>,
    /// Records of lost partitions that are done, though the broker did not take the commit: the newest [`KEPT_MAX`].
    done_before_loss: VecDeque<(Partition, i64, JobKey)>,
    member: bool,

    dedup: Deduplicator,
    delays: DelayQueue,
    run_queue: RunQueue,
    /// Jobs whose start marker is in the next commit, or known: they start next, in this order.
    marking: VecDeque<JobId>,
    /// When a start marker did not come in time, further jobs do not wait for theirs until a commit is answered.
    markers_answered: bool,
    isolation: Isolation,
    breaker: Breaker,
    /// Jobs that workers have, those whose record was given up included.
    running: HashSet<JobId>,
    /// Those of them whose record was given up: they occupy a worker still, and may hang.
    given_up: HashMap<JobId, GivenUp>,

    to_publish: VecDeque<JobId>,
    publish_later: DelayQueue,
    /// The transaction in flight, with the jobs of its outcomes.
    transaction: Option<BatchId>,
    next_batch: u64,
    transaction_not_before: Option<Instant>,
    /// Until when nothing is published, as partitions may have new owners without this process knowing.
    unsure_until: Option<Instant>,

    commit_at: Instant,
    last_commit: Option<Instant>,
    /// Since when commits get no good answer.
    commit_trouble: Option<Instant>,

    intake: Intake,
    delayed_bytes: usize,
    busy_bytes: usize,
    stopping: Option<Stopping>,
    /// Whether the sink can publish nothing more.
    sink_broken: bool,
    /// Why this process must end.
    fatal: Option<Failure>,
    report: Report,
    exited: bool,
}

/// A partition that this member owns.
#[derive(Debug)]
struct OwnedPartition {
    offsets: PartitionOffsets,
    /// Records that are done and not in an acknowledged commit, each with its place in the order in which they were closed.
    uncommitted: BTreeMap<i64, (u64, JobKey)>,
    closed_count: u64,
    /// How many had been closed when the commit in flight was made.
    in_commit: u64,
    /// Until when it may be finished, when it is being given up.
    draining: Option<Instant>,
    /// Whether delivery is paused.
    paused: bool,
    /// Whether it is paused for the size of its commit metadata.
    full: bool,
    /// Whether there may be something to commit.
    dirty: bool,
    /// Offsets that were opened or closed since the size of the commit metadata was checked.
    unchecked: usize,
}

/// A job that a worker has and that is on the books no more.
#[derive(Debug)]
struct GivenUp {
    label: JobLabel,
    stage: WorkStage,
    since: Instant,
}

/// Jobs of lost partitions that are kept in case these come back.
const KEPT_MAX: usize = 1_000;

/// How long nothing is published after this process was silent for longer than its session. Kafka's heartbeats go every
/// 3 s, and tell within one or two whether the partitions are still ours.
const UNSURE: Duration = Duration::from_secs(4);

impl Coordinator {
    /// A coordinator without partitions.
    #[must_use]
    pub fn new(config: CoordinatorConfig, now: Instant, wall: SystemTime) -> Self {
        Self {
            outputs: VecDeque::new(),
            now,
            wall,
            jobs: HashMap::new(),
            next_job: 1,
            partitions: BTreeMap::new(),
            own_starts: BTreeMap::new(),
            kept: HashMap::new(),
            kept_order: VecDeque::new(),
            done_before_loss: VecDeque::new(),
            member: false,
            dedup: Deduplicator::new(config.idempotency_ttl, config.idempotency_entries_max),
            delays: DelayQueue::default(),
            run_queue: RunQueue::new(config.priority_topic.clone()),
            marking: VecDeque::new(),
            markers_answered: true,
            isolation: Isolation::default(),
            breaker: Breaker::default(),
            running: HashSet::new(),
            given_up: HashMap::new(),
            to_publish: VecDeque::new(),
            publish_later: DelayQueue::default(),
            transaction: None,
            next_batch: 1,
            transaction_not_before: None,
            unsure_until: None,
            commit_at: now,
            last_commit: None,
            commit_trouble: None,
            intake: Intake::new(&config),
            delayed_bytes: 0,
            busy_bytes: 0,
            stopping: None,
            sink_broken: false,
            fatal: None,
            report: Report::default(),
            exited: false,
            config,
        }
    }

    /// Takes an input that happened at `now`; `wall` is the same moment on the clock that messages carry. After one or more
    /// inputs give [`Input::Tick`], which makes the outputs.
    pub fn handle(&mut self, now: Instant, wall: SystemTime, input: Input) {
        self.notice_time(now, wall);
        match input {
            Input::Source(event) => self.source_event(event),
            Input::Worker(WorkerEvent::Stage { job, stage }) => self.entered_stage(job, stage),
            Input::Worker(WorkerEvent::Finished { job, result, times }) => self.finished(job, result, times),
            Input::Published(result) => self.published(result),
            Input::Stop => self.stop(),
            Input::Tick => self.tick(),
        }
    }

    /// What is to be done next.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is needed next, if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Instant> {
        let deadlines = [
            self.delays.next_due(),
            self.publish_later.next_due(),
            self.next_commit_at(),
            self.next_start_at(),
            self.next_intake_at(),
            self.next_hang_at(),
            self.unsure_until.filter(|_| !self.to_publish.is_empty()),
            self.transaction_not_before
                .filter(|at| *at > self.now && !self.to_publish.is_empty()),
            self.partitions
                .values()
                .filter_map(|partition| partition.draining)
                .min(),
            self.stopping.as_ref().map(Stopping::deadline),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn source_event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Idle => {}
            SourceEvent::Delivered(delivery) => self.admit(delivery),
            SourceEvent::Assigned(assignments) => self.assigned(assignments),
            SourceEvent::Revoked { partitions, lost: true } => self.lost(&partitions),
            SourceEvent::Revoked {
                partitions,
                lost: false,
            } => self.revoked(&partitions),
            SourceEvent::CommitAnswered { commits, error } => self.commit_answered(&commits, error),
            SourceEvent::LogReset { partition, cause } => self.log_reset(&partition, cause),
            SourceEvent::BrokerError(text) => self.event(FlowEvent::BrokerError(text)),
        }
    }

    fn tick(&mut self) {
        if self.exited {
            return;
        }
        self.release_delayed();
        self.start_jobs();
        self.detect_hang();
        self.publish();
        self.commit();
        self.release_drained();
        self.balance_intake();
        self.advance_stop();
    }

    /// A silence longer than the session (SIGSTOP, a machine that slept) may have cost the partitions: what was done meanwhile,
    /// others may have done, too. The broker says so within a heartbeat or two.
    fn notice_time(&mut self, now: Instant, wall: SystemTime) {
        if now.saturating_duration_since(self.now) >= self.config.session_timeout {
            self.unsure_until = Some(now + UNSURE);
        }
        self.unsure_until = self.unsure_until.filter(|until| now < *until);
        (self.now, self.wall) = (now.max(self.now), wall);
    }

    fn event(&mut self, event: FlowEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn wording(&self) -> Wording<'_> {
        Wording {
            detail: self.config.detail,
            model_version: &self.config.model_version,
            wall: self.wall,
        }
    }

    /// Closes the offset of a job whose outcome is acknowledged, or that needs none.
    fn close_offset(&mut self, job: &Job) {
        if job.standing == Standing::Owned
            && let Some(partition) = self.partitions.get_mut(job.partition())
        {
            partition.offsets.close(job.offset());
            partition.closed_count += 1;
            let closed = (partition.closed_count, job.incoming.fingerprint());
            partition.uncommitted.insert(job.offset(), closed);
            partition.dirty = true;
            partition.unchecked += 1;
        }
    }

    /// Removes a job from every queue and from the books.
    fn remove(&mut self, id: JobId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        self.dequeue(&job);
        if let JobState::Running { stage, .. } = job.state
            && self.running.contains(&id)
        {
            let (label, since) = (job.label(), job.since);
            self.given_up.insert(id, GivenUp { label, stage, since });
        }
        let size = job.incoming.delivery().size();
        match job.state {
            JobState::Delayed { .. } => self.delayed_bytes = self.delayed_bytes.saturating_sub(size),
            _ if job.standing == Standing::Lost => {} // was taken out when it was lost
            _ => self.busy_bytes = self.busy_bytes.saturating_sub(size),
        }
        if job.standing == Standing::Lost {
            self.kept.remove(&(job.partition().clone(), job.offset()));
        }
        Some(job)
    }

    fn dequeue(&mut self, job: &Job) {
        match job.state {
            JobState::Delayed { .. } => drop(self.delays.remove(job.id)),
            JobState::Queued => self.run_queue.remove(job.partition(), &job.site, job.id),
            JobState::Marking => self.marking.retain(|waiting| *waiting != job.id),
            JobState::Isolated => self.isolation.remove(job.id),
            JobState::Publishing(_) => {
                self.to_publish.retain(|waiting| *waiting != job.id);
                self.publish_later.remove(job.id);
            }
            JobState::Following | JobState::Running { .. } | JobState::PublishedWhileLost { .. } => {}
        }
    }

    /// Leaves a job for other workers: its offset stays open, a duplicate that waited for it takes its place.
    fn abandon(&mut self, id: JobId) {
        let Some(job) = self.remove(id) else { return };
        let label = job.label();
        self.event(FlowEvent::Abandoned { job: label });
        self.report.abandoned += 1;
        self.promote_followers(&job);
    }

    fn promote_followers(&mut self, job: &Job) {
        let Some(key) = &job.key else { return };
        let followers = self.dedup.remove(key, job.incoming.attempt(), job.id);
        for follower in followers {
            // The first becomes the one that is processed, the others follow it.
            self.enqueue(follower);
        }
    }

    fn fail_process(&mut self, failure: Failure) {
        self.fatal = self.fatal.take().or(Some(failure));
        self.stop();
    }

    fn exit(&mut self, exit: Exit) {
        self.exited = true;
        self.outputs.push_back(Output::Exit(exit));
    }

    /// Number `count` of waits that double from 1 s up to 30 s.
    fn hold_wait(count: u32) -> Duration {
        Duration::from_secs(1 << count.saturating_sub(1).min(5)).min(Duration::from_secs(30))
    }

    fn transaction_event(&mut self, failure: Option<&Failure>) {
        let failure = failure.map(FailureLabel::from);
        self.event(FlowEvent::Transaction { failure });
    }
}

#[cfg(test)]
mod tests;
