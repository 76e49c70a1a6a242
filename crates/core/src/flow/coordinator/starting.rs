//! Which job starts next, what its end means, and faults that stop starts.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Coordinator;
use crate::flow::events::{Exit, FailureLabel, FlowEvent, JobLabel, Output};
use crate::flow::job::{Job, JobState, Standing, Verdict};
use crate::{ErrorCode, Failure, Fault, JobId, Partition, Site, StageTimes, Transcript, WorkItem, WorkStage};

/// Start markers are written ahead for this many windows of jobs, so that a worker that becomes free never waits for a
/// commit. More would make suspects of more jobs when the process is killed.
const MARKED_WINDOWS: usize = 2;

/// Least time that other jobs get between two that run alone.
const SHARED_TIME_MIN: Duration = Duration::from_secs(1);

/// Jobs that run alone: suspects that processes ended with twice already. The next end tells whether one is the cause, so
/// nothing may run beside it. Between two of them, others get as much time as the first took.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    waiting: VecDeque<JobId>,
    turn: Turn,
    not_before: Option<Instant>,
    /// Where the record is of the job that ran alone last.
    last: Option<(Partition, i64)>,
}

#[derive(Debug, Default)]
enum Turn {
    /// Other jobs start as usual.
    #[default]
    Shared,
    /// Nothing starts until everything that runs has ended; then this job, once its marker is known.
    Waiting { job: JobId, marking: Option<Instant> },
    /// This job runs alone.
    Alone { job: JobId, since: Instant },
    /// It has ended, and nothing starts until the broker knows no longer that it was started, or until then.
    Ending { until: Instant },
}

impl Isolation {
    pub(super) fn remove(&mut self, id: JobId) {
        self.waiting.retain(|waiting| *waiting != id);
        if matches!(self.turn, Turn::Waiting { job, .. } if job == id) {
            self.turn = Turn::Shared;
        }
    }

    fn is_shared(&self) -> bool {
        matches!(self.turn, Turn::Shared)
    }

    fn ended(&mut self, id: JobId, now: Instant, marker_wait: Duration) {
        if let Turn::Alone { job, since } = self.turn
            && job == id
        {
            self.not_before = Some(now + now.saturating_duration_since(since).max(SHARED_TIME_MIN));
            self.turn = Turn::Ending {
                until: now + marker_wait,
            };
        }
    }
}

/// Stops new starts while a fault of this worker (no name server, no file descriptors) would fail any job. After a wait, one job
/// is tried; whatever it ends with, unless with such a fault again, starts are allowed again.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// What it was opened for, since when, how many times in a row, and when the next job may be tried.
    open: Option<OpenBreaker>,
}

#[derive(Debug)]
struct OpenBreaker {
    code: ErrorCode,
    since: Instant,
    failures: u32,
    until: Instant,
    probe: Option<JobId>,
}

impl Breaker {
    pub(super) fn code(&self) -> Option<ErrorCode> {
        self.open.as_ref().map(|open| open.code)
    }

    pub(super) fn since(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.since)
    }

    /// Whether a job may start now.
    fn allows(&self, now: Instant) -> bool {
        self.open
            .as_ref()
            .is_none_or(|open| open.probe.is_none() && now >= open.until)
    }

    fn started(&mut self, job: JobId) {
        if let Some(open) = &mut self.open {
            open.probe = Some(job);
        }
    }

    /// A job ended. Whether this opened or closed the breaker.
    fn ended(&mut self, job: JobId, fault: Option<ErrorCode>, now: Instant) -> Option<bool> {
        match (&mut self.open, fault) {
            (None, Some(code)) => {
                self.open = Some(OpenBreaker {
                    code,
                    since: now,
                    failures: 1,
                    until: now + Coordinator::hold_wait(1),
                    probe: None,
                });
                Some(true)
            }
            (Some(open), Some(code)) => {
                // Jobs that were started before the fault was known fail with it, too; only the probe counts anew.
                if open.probe == Some(job) {
                    open.failures += 1;
                    open.until = now + Coordinator::hold_wait(open.failures);
                    open.probe = None;
                }
                open.code = code;
                None
            }
            (Some(open), None) if open.probe == Some(job) => {
                self.open = None;
                Some(false)
            }
            _ => None,
        }
    }

    /// The probe ended without saying anything about the fault.
    fn forget(&mut self, job: JobId) {
        if let Some(open) = self.open.as_mut().filter(|open| open.probe == Some(job)) {
            open.probe = None;
        }
    }
}

/// What each site has: jobs that download, and jobs that are about to.
#[derive(Debug)]
pub(super) struct SiteLoad {
    by_site: HashMap<Site, (usize, usize)>,
    downloads_max: usize,
}

impl SiteLoad {
    fn downloads(&self, site: &Site) -> usize {
        self.by_site.get(site).map_or(0, |(downloads, _)| *downloads)
    }

    /// Whether one more of its jobs may be marked as started.
    pub(super) fn has_room(&self, site: &Site) -> bool {
        let known = self.by_site.get(site);
        known.is_none_or(|(downloads, marked)| downloads + marked < MARKED_WINDOWS * self.downloads_max)
    }

    /// How many jobs that are marked as started wait for their site to have room.
    pub(super) fn held_back(&self) -> usize {
        let full = self
            .by_site
            .values()
            .filter(|(downloads, _)| *downloads >= self.downloads_max);
        full.map(|(_, marked)| marked).sum()
    }

    fn mark(&mut self, site: &Site) {
        self.by_site.entry(site.clone()).or_default().1 += 1;
    }

    fn start(&mut self, site: &Site) {
        self.by_site.entry(site.clone()).or_default().0 += 1;
    }
}

impl Coordinator {
    /// Counts what each site has.
    pub(super) fn site_load(&self) -> SiteLoad {
        let mut load = SiteLoad {
            by_site: HashMap::new(),
            downloads_max: self.config.downloads_per_site(),
        };
        let downloads = |job: &&Job| match job.state {
            JobState::Running { stage, .. } => matches!(stage, WorkStage::Starting | WorkStage::Download),
            _ => false,
        };
        let running = self.running.iter().filter_map(|id| self.jobs.get(id));
        running.filter(downloads).for_each(|job| load.start(&job.site));
        let marking = self.marking.iter().filter_map(|id| self.jobs.get(id));
        marking.for_each(|job| load.mark(&job.site));
        load
    }

    /// Starts the jobs that may start now.
    pub(super) fn start_jobs(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        if self.isolation.is_shared() {
            self.fill_marking(); // before `isolate`, which marks the first job that must run alone
        }
        self.isolate();
        if !self.isolation.is_shared() {
            return;
        }
        let downloads_max = self.config.downloads_per_site();
        let mut load = self.site_load();
        let mut place = 0;
        while self.running.len() < self.config.window() && self.breaker.allows(self.now) {
            let Some(id) = self.marking.get(place).copied() else {
                return;
            };
            let site = self.jobs[&id].site.clone();
            if load.downloads(&site) < downloads_max && self.may_start(id) {
                load.start(&site);
                self.marking.remove(place);
                self.start(id);
            } else {
                place += 1;
            }
        }
    }

    /// Moves jobs from the run queue to those whose start marker goes into the next commit.
    fn fill_marking(&mut self) {
        let mut without_room: Vec<JobId> = vec![];
        let mut load = self.site_load();
        while self.running.len() + self.marking.len() < MARKED_WINDOWS * self.config.window()
            && without_room.len() <= self.partitions.len()
        {
            let Some(id) = self.run_queue.pop(|site| load.has_room(site)) else {
                break;
            };
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            if runs_alone(job) {
                job.enter(JobState::Isolated, self.now);
                self.isolation.waiting.push_back(id);
            } else if !self.has_room_for_marker(id) {
                without_room.push(id);
            } else if let Some(job) = self.jobs.get_mut(&id) {
                job.enter(JobState::Marking, self.now);
                load.mark(&job.site);
                self.marking.push_back(id);
                self.mark_started(id);
            }
        }
        for id in without_room.into_iter().rev() {
            let job = &self.jobs[&id];
            self.run_queue.push_front(job.partition(), &job.site, id);
        }
    }

    /// Whether the commit metadata of a job's partition can take one more start marker.
    fn has_room_for_marker(&self, id: JobId) -> bool {
        let job = &self.jobs[&id];
        let owned = self
            .partitions
            .get(job.partition())
            .filter(|_| job.standing == Standing::Owned);
        owned.is_none_or(|owned| owned.offsets.has_room_for_marker(job.offset()))
    }

    fn mark_started(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.standing != Standing::Owned {
            return;
        }
        let (partition, offset) = (job.partition().clone(), job.offset());
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.offsets.start(offset);
            owned.dirty = true;
        }
        self.commit_soon();
    }

    fn is_marked(&self, job: &Job) -> bool {
        // Without an offset there is no marker to wait for.
        job.standing != Standing::Owned
            || self
                .partitions
                .get(job.partition())
                .is_some_and(|partition| partition.offsets.is_marked(job.offset()))
    }

    fn may_start(&mut self, id: JobId) -> bool {
        let job = &self.jobs[&id];
        if self.is_marked(job) {
            return true;
        }
        // A suspect that ends the process must be counted, so it never starts unmarked. It holds up no other job.
        let waited = self.now.saturating_duration_since(job.since);
        let unmarked = job.incoming.crashes() == 0 && (!self.markers_answered || waited >= self.config.marker_wait);
        if unmarked {
            self.markers_answered = false;
            self.event(FlowEvent::StartedUnmarked);
        }
        unmarked
    }

    /// Gives the next job that runs alone its turn.
    fn isolate(&mut self) {
        if let Turn::Ending { until } = self.isolation.turn
            && (self.now >= until || self.is_last_unmarked())
        {
            self.isolation.turn = Turn::Shared;
        }
        if self.isolation.is_shared()
            && let Some(next) = self.isolation.waiting.front().copied()
        {
            let others_wait = !self.marking.is_empty() || self.run_queue.len() > 0 || !self.running.is_empty();
            let is_time = self.isolation.not_before.is_none_or(|begin| self.now >= begin);
            if is_time || !others_wait {
                self.isolation.turn = Turn::Waiting {
                    job: next,
                    marking: None,
                };
                self.unmark_waiting();
            }
        }
        if let Turn::Waiting { job, marking } = self.isolation.turn
            && self.running.is_empty()
            && self.breaker.allows(self.now)
        {
            self.mark_isolated(job, marking);
        }
    }

    /// Marks a job as started that runs alone, and starts it once the broker knows. Not before everything else has ended:
    /// else the end of a process by another job would count as proof against this one. When commits get no answer, others go
    /// on without it for a while.
    fn mark_isolated(&mut self, id: JobId, marking: Option<Instant>) {
        if self.is_marked(&self.jobs[&id]) {
            self.isolation.waiting.retain(|waiting| *waiting != id);
            self.isolation.turn = Turn::Alone {
                job: id,
                since: self.now,
            };
            self.isolation.last = self.jobs.get(&id).map(|job| (job.partition().clone(), job.offset()));
            return self.start(id);
        }
        match marking {
            Some(since) if self.now.saturating_duration_since(since) >= self.config.marker_wait => {
                self.unmark_started(id);
                self.isolation.waiting.rotate_left(1);
                self.isolation.turn = Turn::Shared;
                self.isolation.not_before = Some(self.now + self.config.marker_wait.max(SHARED_TIME_MIN));
            }
            Some(_) => {}
            None => {
                self.isolation.turn = Turn::Waiting {
                    job: id,
                    marking: Some(self.now),
                };
                self.mark_started(id);
            }
        }
    }

    /// Takes the markers of jobs that have not started yet back: should the one that runs alone end the process, that says
    /// nothing about them.
    fn unmark_waiting(&mut self) {
        for id in std::mem::take(&mut self.marking).into_iter().rev() {
            self.unmark_started(id);
            if let Some(job) = self.jobs.get_mut(&id) {
                job.enter(JobState::Queued, self.now);
                self.run_queue.push_front(&job.partition().clone(), &job.site, id);
            }
        }
        self.commit_soon();
    }

    /// The end of a process by another job must not count as proof against one that has ended.
    fn is_last_unmarked(&self) -> bool {
        let Some((partition, offset)) = &self.isolation.last else {
            return true;
        };
        let owned = self.partitions.get(partition);
        owned.is_none_or(|owned| owned.offsets.is_unmarked(*offset))
    }

    fn commit_soon_if_ending(&mut self) {
        if matches!(self.isolation.turn, Turn::Ending { .. }) {
            self.commit_soon();
        }
    }

    fn unmark_started(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.standing == Standing::Owned) else {
            return;
        };
        let (partition, offset) = (job.partition().clone(), job.offset());
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.offsets.unstart(offset);
            owned.dirty = true;
        }
    }

    fn start(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Ok(valid) = job.incoming.job() else { return };
        let work = WorkItem {
            job: id,
            audio_url: valid.audio_url.clone(),
            language: valid.language_hint,
        };
        let running = JobState::Running {
            stage: WorkStage::Starting,
            cancelled: false,
        };
        job.enter(running, self.now);
        self.running.insert(id);
        self.breaker.started(id);
        self.outputs.push_back(Output::Start(work));
    }

    pub(super) fn entered_stage(&mut self, id: JobId, entered: WorkStage) {
        let now = self.now;
        if let Some(given_up) = self.given_up.get_mut(&id) {
            (given_up.stage, given_up.since) = (entered, now);
        }
        if let Some(job) = self.jobs.get_mut(&id)
            && let JobState::Running { stage, .. } = &mut job.state
        {
            *stage = entered;
            job.since = now;
        }
    }

    pub(super) fn finished(&mut self, id: JobId, result: Result<Transcript, Failure>, times: StageTimes) {
        self.running.remove(&id);
        self.given_up.remove(&id);
        self.isolation.ended(id, self.now, self.config.marker_wait);
        self.unmark_started(id);
        self.commit_soon_if_ending();
        let Some(job) = self.jobs.get_mut(&id) else {
            self.breaker.forget(id);
            return;
        };
        let JobState::Running { cancelled, .. } = job.state else {
            return;
        };
        let fault = match &result {
            Err(_) if cancelled => {
                self.breaker.forget(id);
                return self.abandon(id);
            }
            Err(Failure {
                fault: Fault::NoRoom, ..
            }) => {
                self.breaker.forget(id);
                None
            }
            Err(Failure {
                fault: Fault::WorkerLocal,
                code,
                ..
            }) => Some(*code),
            _ => None,
        };
        if let Some(open) = self.breaker.ended(id, fault, self.now) {
            self.event(FlowEvent::Breaker { open });
        }
        let limits = &self.config.limits;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let attempt = job.incoming.attempt();
        let verdict = match result {
            Ok(transcript) => Verdict::Completed(transcript),
            Err(failure) => match failure.fault {
                Fault::WorkerLocal | Fault::NoRoom => return self.hold(id, &failure),
                Fault::Fatal => {
                    self.abandon(id);
                    return self.fail_process(failure);
                }
                Fault::Transient { after } if attempt < limits.attempts_max => {
                    let after = after.unwrap_or_default().min(limits.backoff.max);
                    let wait = limits.backoff.wait(attempt, jitter(self.config.seed, id)).max(after);
                    let because = failure;
                    Verdict::Retry { wait, because }
                }
                Fault::Transient { .. } | Fault::Permanent => Verdict::Failed(failure),
            },
        };
        self.settle(id, verdict, times);
    }

    /// A fault of this worker costs the job nothing: it runs again later.
    fn hold(&mut self, id: JobId, failure: &Failure) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.standing == Standing::Lost || self.stopping.is_some() {
            return self.abandon(id);
        }
        job.holds += 1;
        let (count, wait) = (job.holds, Self::hold_wait(job.holds));
        let (label, failure) = (job.label(), FailureLabel::from(failure));
        let (place, owned) = ((job.partition().clone(), job.offset()), job.standing == Standing::Owned);
        if owned && let Some(partition) = self.partitions.get_mut(&place.0) {
            partition.offsets.unstart(place.1);
            partition.dirty = true;
        }
        let code = failure.code;
        self.event(FlowEvent::Held {
            job: label,
            failure,
            wait,
            count,
        });
        self.delay(id, wait, Some(code));
    }

    /// How long a running job may be in its step before the process counts as hung.
    fn hang_limit(&self, stage: WorkStage) -> Option<Duration> {
        let limits = &self.config.limits;
        let limit = match stage {
            // Waiting for a thread, a decoder or the engine is bounded by the jobs that are there.
            WorkStage::Starting | WorkStage::Downloaded | WorkStage::Ready => return None,
            WorkStage::Download => limits.download,
            WorkStage::Decode | WorkStage::Transcribe => limits.transcribe,
        };
        Some(limit + self.config.hung_after)
    }

    /// The jobs that workers have, with their steps, each with when it counts as hung.
    fn hang_times(&self) -> impl Iterator<Item = (Instant, JobId, WorkStage, Instant)> {
        let step = |id: &JobId| match (self.jobs.get(id), self.given_up.get(id)) {
            (Some(job), _) => match job.state {
                JobState::Running { stage, .. } => Some((stage, job.since)),
                _ => None,
            },
            (None, Some(given_up)) => Some((given_up.stage, given_up.since)),
            (None, None) => None,
        };
        self.running.iter().filter_map(move |id| {
            let (stage, since) = step(id)?;
            Some((since + self.hang_limit(stage)?, *id, stage, since))
        })
    }

    pub(super) fn next_hang_at(&self) -> Option<Instant> {
        if self.is_leaving_hung() {
            return None;
        }
        self.hang_times().map(|(at, ..)| at).min()
    }

    /// The job that exceeded its limits by far, if there is one, with its step and since when it is in it.
    pub(super) fn hung_job(&self, now: Instant) -> Option<(JobId, JobLabel, WorkStage, Instant)> {
        let hung = self.hang_times().filter(|(at, ..)| now >= *at);
        let (_, id, stage, since) = hung.min_by_key(|(_, id, ..)| *id)?;
        let label = match self.jobs.get(&id) {
            Some(job) => job.label(),
            None => self.given_up.get(&id)?.label.clone(),
        };
        Some((id, label, stage, since))
    }

    /// A job that exceeded its limits by far cannot be stopped: native code hangs. The process ends; the job's start marker
    /// stays, so that the next owner counts a crash, and the others' are taken back.
    pub(super) fn detect_hang(&mut self) {
        if self.is_leaving_hung() {
            return;
        }
        let Some((id, label, stage, since)) = self.hung_job(self.now) else {
            return;
        };
        let elapsed = self.now.saturating_duration_since(since);
        for other in self
            .jobs
            .values()
            .filter(|job| job.id != id && job.standing == Standing::Owned)
        {
            if let Some(partition) = self.partitions.get_mut(other.partition()) {
                partition.offsets.unstart(other.offset());
                partition.dirty = true;
            }
        }
        let job = label;
        self.leave_hung(Exit::Hung { job, stage, elapsed });
    }

    /// When something can start that could not before, without an input.
    pub(super) fn next_start_at(&self) -> Option<Instant> {
        if self.stopping.is_some() {
            return None;
        }
        let has_room = self.running.len() < self.config.window();
        let marking = self.marking.iter().filter_map(|id| self.jobs.get(id));
        let next = marking
            .filter(|job| job.incoming.crashes() == 0)
            .map(|job| job.since + self.config.marker_wait)
            .filter(|at| *at > self.now) // the others wait for their site, or for an input
            .min();
        let marker = next.filter(|_| has_room);
        let breaker = self.breaker.open.as_ref().filter(|open| open.probe.is_none());
        let breaker = breaker.map(|open| open.until).filter(|until| *until > self.now);
        let isolation = self
            .isolation
            .not_before
            .filter(|begin| *begin > self.now && self.isolation.is_shared() && !self.isolation.waiting.is_empty());
        let alone = match self.isolation.turn {
            Turn::Waiting { marking, .. } => marking.map(|since| since + self.config.marker_wait),
            Turn::Ending { until } => Some(until),
            _ => None,
        };
        [marker, breaker, isolation, alone].into_iter().flatten().min()
    }
}

/// Whether a job must run with nothing beside it.
fn runs_alone(job: &Job) -> bool {
    job.incoming.crashes() >= 2
}

/// A number in [0, 1) that differs from job to job (splitmix64).
fn jitter(seed: u64, id: JobId) -> f64 {
    let mut value = seed.wrapping_add(id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((value ^ (value >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
