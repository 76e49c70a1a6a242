//! Everything outside the workers' own code: time, the network, Kafka, engines, and the machines that processes run on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use stt_core::{Clock, FlowEvent, JobId};

use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::group::{Group, Member, MemberId, Request, Response};
use crate::log::Logs;
use crate::oracle::Oracle;
use crate::producer::{Producer, TransactionState, Transactions};
use crate::records::{self, JobSpec};
use crate::script::{Action, Setup, Step, Topic};

/// Microseconds since the beginning.
pub(crate) type Time = u64;

pub(crate) const MS: Time = 1_000;
pub(crate) const SECOND: Time = 1_000_000;

/// What is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    Step(usize),
    /// A process gets to run.
    Turn(usize),
    Heartbeat(usize),
    Request(usize, Request),
    Response(usize, Response),
    SessionCheck(MemberId),
    RebalanceCheck,
    SyncDone(u64),
    MetadataRefresh,
    TransactionTimeout(usize),
    Stage(usize, JobId),
    Restart(usize),
    WakeAll,
    /// Faults are over: every worker runs.
    Heal,
    Sample,
}

/// What the runner must do with processes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Turn(usize),
    Start(usize),
    Kill(usize),
    Stop(usize),
    /// The state of every process is looked at.
    Sample,
}

/// Faults that last.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub hang_until: Time,
    pub cut_until: Vec<Time>,
    pub disk_full_until: Vec<Time>,
    pub skew_ms: Vec<i64>,
    pub refuse_commits_until: Time,
    pub lose_answers_until: Time,
    pub slow_acks: (Time, Time),
    pub missing_until: BTreeMap<Topic, Time>,
    pub denied_until: BTreeMap<Topic, Time>,
    pub leaderless_until: BTreeMap<u32, Time>,
}

/// A process, from its start to its end.
#[derive(Debug)]
pub(crate) struct Incarnation {
    pub worker: usize,
    pub alive: bool,
    pub started: Time,
    pub paused_until: Time,
    pub next_turn: Option<Time>,
    /// Whether its source had something in its last turn.
    pub polled: bool,
    pub consumer: Consumer,
    pub producer: Producer,
    pub engine: Engine,
}

/// Everything outside the workers' own code.
#[derive(Debug)]
pub(crate) struct World {
    pub now: Time,
    pub setup: Setup,
    pub steps: Vec<Step>,
    pub rng: fastrand::Rng,
    queue: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    clock: Arc<AtomicU64>,
    pub faults: Faults,
    pub specs: Vec<JobSpec>,
    pub logs: Logs,
    pub group: Group,
    pub transactions: Transactions,
    pub incarnations: Vec<Incarnation>,
    /// The process of each worker, if it runs.
    pub workers: Vec<Option<usize>>,
    pub effects: Vec<Effect>,
    /// Whether faults are over.
    pub healed: bool,
    pub oracle: Oracle,
    /// How many times each kind of event occurred.
    pub events: BTreeMap<String, u64>,
    pub trace: Option<Vec<String>>,
}

/// A world that several handles share.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clocks of one machine: they show virtual time, the wall clock wrongly perhaps.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    pub now: Arc<AtomicU64>,
    pub start: Instant,
    pub skew_ms: AtomicI64,
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.now.load(Ordering::Relaxed))
    }

    fn wall(&self) -> SystemTime {
        let since = 1_767_000_000_000_000
            + self.now.load(Ordering::Relaxed) as i64
            + self.skew_ms.load(Ordering::Relaxed) * 1_000;
        SystemTime::UNIX_EPOCH + Duration::from_micros(since.unsigned_abs())
    }

    fn sleep(&self, _wait: Duration) {}
}

impl World {
    pub(crate) fn new(seed: u64, setup: &Setup, tracing: bool) -> Self {
        let workers = setup.workers as usize;
        Self {
            now: 0,
            setup: setup.clone(),
            steps: vec![],
            rng: fastrand::Rng::with_seed(seed),
            queue: BTreeMap::new(),
            sequence: 0,
            clock: Arc::default(),
            faults: Faults {
                cut_until: vec![0; workers],
                disk_full_until: vec![0; workers],
                skew_ms: vec![0; workers],
                ..Faults::default()
            },
            specs: vec![],
            logs: Logs::new(setup),
            group: Group::default(),
            transactions: Transactions::default(),
            incarnations: vec![],
            workers: vec![None; workers],
            effects: vec![],
            healed: false,
            oracle: Oracle::default(),
            events: BTreeMap::new(),
            trace: tracing.then(Vec::new),
        }
    }

    pub(crate) fn clock(&self) -> Arc<AtomicU64> {
        self.clock.clone()
    }

    pub(crate) fn push(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), event);
    }

    /// Brings the next event about, unless it is later than `until`. False when there is none.
    pub(crate) fn advance(&mut self, until: Time) -> bool {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) else {
            return false;
        };
        let ((at, _), event) = entry.remove_entry();
        self.now = at;
        self.clock.store(at, Ordering::Relaxed);
        self.happen(event);
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(number) => {
                let action = self.steps[number].action.clone();
                self.act(&action);
            }
            Event::WakeAll => (0..self.incarnations.len()).for_each(|id| self.wake(id, self.now)),
            Event::Sample => self.effects.push(Effect::Sample),
            Event::Heal => {
                self.log(|| "--- faults are over".to_owned());
                self.healed = true;
                (0..self.workers.len()).for_each(|worker| self.effects.push(Effect::Start(worker)));
            }
            Event::Turn(id) => {
                let incarnation = &mut self.incarnations[id];
                if incarnation.next_turn != Some(self.now) || !incarnation.alive {
                    return;
                }
                incarnation.next_turn = None;
                if incarnation.paused_until > self.now {
                    let resume = incarnation.paused_until;
                    return self.wake(id, resume);
                }
                self.effects.push(Effect::Turn(id));
            }
            Event::Heartbeat(id) => self.heartbeat(id),
            Event::Request(id, request) => self.arrive(id, request),
            Event::Response(id, response) => self.answer_arrives(id, response),
            Event::SessionCheck(member) => self.check_session(member),
            Event::RebalanceCheck => self.check_rebalance(),
            Event::SyncDone(generation) => self.sync_done(generation),
            Event::MetadataRefresh => self.start_rebalance("partitions were added"),
            Event::TransactionTimeout(transaction) => self.transaction_timeout(transaction),
            Event::Stage(id, job) => self.engine_event(id, job),
            Event::Restart(worker) => {
                if self.workers[worker].is_none() {
                    self.effects.push(Effect::Start(worker));
                }
            }
        }
    }

    /// Has a process run at `at`, if not earlier.
    pub(crate) fn wake(&mut self, id: usize, at: Time) {
        let at = at.max(self.now + 20);
        let incarnation = &mut self.incarnations[id];
        if incarnation.alive && incarnation.next_turn.is_none_or(|next| next > at) {
            incarnation.next_turn = Some(at);
            self.push(at, Event::Turn(id));
        }
    }

    pub(crate) fn log(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let (seconds, micros) = (self.now / SECOND, self.now % SECOND);
            trace.push(format!("{seconds:5}.{micros:06}  {}", text()));
        }
    }

    /// A network latency.
    pub(crate) fn latency(&mut self) -> Time {
        match self.rng.u32(..40) {
            0 => self.rng.u64(50 * MS..400 * MS),
            _ => self.rng.u64(300..4 * MS),
        }
    }

    /// Until when a process does not reach the brokers; not later than now when it does.
    pub(crate) fn blocked_until(&self, id: usize) -> Time {
        let worker = self.incarnations[id].worker;
        self.faults.hang_until.max(self.faults.cut_until[worker])
    }

    pub(crate) fn is_blocked(&self, id: usize) -> bool {
        self.blocked_until(id) > self.now
    }

    /// A process begins.
    pub(crate) fn start(&mut self, worker: usize) -> usize {
        let id = self.incarnations.len();
        self.incarnations.push(Incarnation {
            worker,
            alive: true,
            started: self.now,
            paused_until: 0,
            next_turn: None,
            polled: false,
            consumer: Consumer::new(self.now),
            producer: Producer::default(),
            engine: Engine::default(),
        });
        self.workers[worker] = Some(id);
        self.oracle.started(id);
        self.log(|| format!("worker {worker} starts as process {id}"));
        if self.setup.static_members {
            self.fence_transactions(id);
        }
        self.push(self.now + 50 * MS, Event::Heartbeat(id));
        self.wake(id, self.now);
        id
    }

    /// A process is no more, and its connections with it.
    pub(crate) fn end(&mut self, id: usize, how: &str) {
        let worker = self.incarnations[id].worker;
        self.log(|| format!("process {id} of worker {worker} ends: {how}"));
        self.end_ownership(id, None, "killed");
        self.incarnations[id].alive = false;
        if self.workers[worker] == Some(id) {
            self.workers[worker] = None;
        }
    }

    /// Carries out a step, but for what concerns processes.
    pub(crate) fn act(&mut self, action: &Action) {
        self.log(|| format!("--- {action}"));
        let now = self.now;
        let until = |ms: u64| now + ms * MS;
        match *action {
            Action::Produce { partition, kind, count } => {
                for _ in 0..count {
                    let number = self.specs.len();
                    let spec = records::make(number, kind, &self.specs);
                    self.specs.push(spec);
                    self.produce(partition, number);
                }
            }
            Action::Start(worker) => self.effects.push(Effect::Start(worker as usize)),
            Action::Kill(worker) => self.with_process(worker, Effect::Kill),
            Action::Stop(worker) => self.with_process(worker, Effect::Stop),
            Action::Pause(worker, ms) => {
                if let Some(id) = self.process(worker) {
                    let paused = &mut self.incarnations[id].paused_until;
                    *paused = until(ms).max(*paused);
                    let resumes = *paused;
                    if ms >= self.setup.session {
                        self.oracle.unsure(id, resumes);
                    }
                    self.wake(id, resumes);
                }
            }
            Action::DiskFull(worker, ms) => {
                self.faults.disk_full_until[worker as usize % self.workers.len()] = until(ms)
            }
            Action::Cut(worker, ms) => self.faults.cut_until[worker as usize % self.workers.len()] = until(ms),
            Action::Skew(worker, ms) => self.faults.skew_ms[worker as usize % self.workers.len()] = ms,
            Action::BrokerHang(ms) => self.faults.hang_until = until(ms),
            Action::RefuseCommits(ms) => self.faults.refuse_commits_until = until(ms),
            Action::LoseCommitAnswers(ms) => self.faults.lose_answers_until = until(ms),
            Action::SlowAcks(delay, ms) => self.faults.slow_acks = (until(ms), delay * MS),
            Action::Missing(topic, ms) => drop(self.faults.missing_until.insert(topic, until(ms))),
            Action::Denied(topic, ms) => drop(self.faults.denied_until.insert(topic, until(ms))),
            Action::Leaderless(partition, ms) => {
                self.faults.leaderless_until.insert(partition, until(ms));
                self.push(until(ms), Event::Sample);
            }
            Action::Recreate => self.recreate(),
            Action::Truncate(partition, count) => self.truncate(partition, count),
            Action::Retention(partition, count) => self.retain(partition, count),
            Action::AddPartitions(count) => {
                self.logs.add_partitions(count);
                let at = self.now + self.rng.u64(..10 * SECOND);
                self.push(at, Event::MetadataRefresh);
            }
            Action::ResetOffsets(partition) => self.reset_offsets(partition),
        }
        // Whoever waits for something that is there again finds it now.
        self.push(until(action.lasts()) + 5 * MS, Event::WakeAll);
    }

    fn process(&self, worker: u32) -> Option<usize> {
        self.workers[worker as usize % self.workers.len()]
    }

    fn with_process(&mut self, worker: u32, effect: impl Fn(usize) -> Effect) {
        if let Some(id) = self.process(worker) {
            self.effects.push(effect(id));
        }
    }

    /// The member that a process is at the broker, if it is one.
    pub(crate) fn member_of(&self, id: usize) -> Option<&Member> {
        let member = self.incarnations[id].consumer.member?;
        self.group.members.get(&member).filter(|member| member.process == id)
    }

    /// A process that was killed is started again by its supervisor.
    pub(crate) fn restart_later(&mut self, id: usize) {
        let worker = self.incarnations[id].worker;
        let at = self.now + self.rng.u64(SECOND..3 * SECOND);
        self.push(at, Event::Restart(worker));
    }

    /// What logs and metrics are told.
    pub(crate) fn flow_event(&mut self, id: usize, event: &FlowEvent) {
        let is_member = self.member_of(id).is_some();
        self.oracle.flow_event(id, self.now, event, is_member);
        if !matches!(event, FlowEvent::Received | FlowEvent::CommitAnswered { error: None }) {
            self.log(|| format!("process {id}: {event:?}"));
        }
        let name = format!("{event:?}");
        let name: String = name.chars().take_while(|char| char.is_alphanumeric()).collect();
        *self.events.entry(name).or_default() += 1;
    }

    /// What is not done yet: records without an outcome, and records that are not committed.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let mut late = self.oracle.unfinished();
        for (partition, log) in &self.logs.by_partition {
            let visible = |entry: &crate::log::Entry| {
                let is_committed = |transaction| self.transactions.state(transaction) == TransactionState::Committed;
                entry.stored.is_some() && entry.transaction.is_none_or(is_committed)
            };
            let Some(last) = log.entries.iter().rposition(visible) else {
                continue;
            };
            let last = log.start + last as i64;
            let stored = self.group.offsets.get(partition);
            let next = stored.map_or(log.start, |stored| stored.committed.next_offset);
            if next <= last {
                late.push(format!(
                    "{partition} is committed at {next}, and has a record at {last}"
                ));
            }
        }
        late
    }

    /// A process ended in good order.
    pub(crate) fn check_stopped(&mut self, id: usize) {
        self.oracle.stopped(id, &self.group.offsets);
    }
}
