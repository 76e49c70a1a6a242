//! Plays a script.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use stt_core::{Clock, CoordinatorConfig, Exit, FlowEvent, Limits, Sink, Source, Workers};
use stt_pipeline::{Config, Driver, StatusBoard};

use crate::consumer::SimSource;
use crate::engine::SimWorkers;
use crate::mutants::{self, Mutant};
use crate::producer::SimSink;
use crate::script::{Action, Class, Script, Setup, Topic};
use crate::world::{Effect, Event, MS, SECOND, Shared, Time, VirtualClock, World};

/// How long a revoked partition may be finished.
pub(crate) const LEAVE_WAIT_MS: u64 = 5_000;

/// Most processes in one history.
const PROCESSES_MAX: usize = 120;

/// What became of a history.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What did not hold, if anything.
    pub violation: Option<String>,
    /// Second outcomes, by the window that explains them.
    pub windows: BTreeMap<&'static str, u64>,
    /// How many records were written to the topics that workers read.
    pub records: usize,
    /// How long it lasted, in virtual milliseconds.
    pub lasted_ms: u64,
    /// When faults stopped, in virtual milliseconds.
    pub healed_ms: u64,
    /// How many processes there were.
    pub processes: usize,
    /// How many times each kind of event occurred.
    pub events: BTreeMap<String, u64>,
    /// What happened, one line each; empty unless it was asked for.
    pub trace: Vec<String>,
}

/// Plays a script; with a mutant, the workers have that defect.
#[must_use]
pub fn run(script: &Script, mutant: Option<Mutant>) -> Report {
    play(script, mutant, false)
}

/// The same, with everything that happens.
#[must_use]
pub fn trace(script: &Script, mutant: Option<Mutant>) -> Report {
    play(script, mutant, true)
}

struct Handles {
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    workers: Box<dyn Workers>,
    machine: Arc<VirtualClock>,
    clock: Arc<dyn Clock>,
    board: StatusBoard,
    on_event: Box<dyn FnMut(FlowEvent)>,
}

struct Running<'a> {
    driver: Driver<'a>,
    stop: bool,
}

struct Fleet<'a> {
    world: Shared,
    start: Instant,
    config: &'a Config,
    mutant: Option<Mutant>,
    handles: std::slice::IterMut<'a, Handles>,
    running: Vec<Option<Running<'a>>>,
    turns: BTreeMap<Time, u32>,
    open_max: usize,
}

fn play(script: &Script, mutant: Option<Mutant>, tracing: bool) -> Report {
    let mut world = World::new(script.seed, &script.setup, tracing);
    for (number, step) in script.steps.iter().enumerate() {
        world.push(step.at * MS, Event::Step(number));
    }
    world.steps.clone_from(&script.steps);
    let healed = script.faults_end() * MS + 100 * MS;
    world.push(healed, Event::Heal);
    world.sample_later(1_000);
    let bound = liveness_bound(script);
    if !script.steps.iter().any(|step| step.action.is_fault()) {
        world.oracle.good_bound = good_bound(script);
    }
    let world = Shared::new(world);
    let start = Instant::now();
    let mut handles: Vec<Handles> = (0..PROCESSES_MAX)
        .map(|id| make_handles(&world, id, mutant, start))
        .collect();
    let setup = &script.setup;
    let config = Config {
        coordinator: coordinator_config(setup, script.seed),
        ..Config::default()
    };
    let mut fleet = Fleet {
        world: world.clone(),
        start,
        config: &config,
        mutant,
        handles: handles.iter_mut(),
        running: vec![],
        turns: BTreeMap::new(),
        open_max: 2 * (setup.intake.max(setup.concurrency + setup.queue + 1) + 20) as usize + setup.delayed as usize,
    };
    let mut is_done = false;
    loop {
        let advanced = world.lock().advance(healed + bound);
        if !advanced || world.lock().oracle.violation.is_some() {
            break;
        }
        loop {
            let effects = std::mem::take(&mut world.lock().effects);
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                is_done |= fleet.carry_out(effect, healed);
            }
        }
        if is_done {
            break;
        }
    }
    drop(fleet);
    let mut world = world.lock();
    let late = world.unfinished();
    if !is_done && world.oracle.violation.is_none() {
        let count = late.len();
        let first: Vec<String> = late.into_iter().take(5).collect();
        let seconds = bound / SECOND;
        world.oracle.violation = Some(format!(
            "liveness: {seconds} s after the last fault {count} things are not done: {}",
            first.join("; ")
        ));
    }
    Report {
        violation: world.oracle.violation.take(),
        windows: std::mem::take(&mut world.oracle.windows),
        records: world.oracle.count(),
        lasted_ms: world.now / MS,
        healed_ms: healed / MS,
        processes: world.incarnations.len(),
        events: std::mem::take(&mut world.events),
        trace: world.trace.take().unwrap_or_default(),
    }
}

fn make_handles(world: &Shared, id: usize, mutant: Option<Mutant>, start: Instant) -> Handles {
    let source = Box::new(SimSource {
        world: world.clone(),
        id,
    });
    let sink = Box::new(SimSink {
        world: world.clone(),
        id,
    });
    let workers = Box::new(SimWorkers {
        world: world.clone(),
        id,
    });
    let (source, sink, workers) = mutants::wrap(mutant, source, sink, workers, world);
    let machine = Arc::new(VirtualClock {
        now: world.lock().clock(),
        start,
        skew_ms: AtomicI64::new(0),
    });
    let clock: Arc<dyn Clock> = match mutant {
        Some(Mutant::ForgetsSilence) => Arc::new(mutants::CappedClock::new(machine.clone())),
        _ => machine.clone(),
    };
    let shared = world.clone();
    Handles {
        source,
        sink,
        workers,
        machine,
        clock,
        board: StatusBoard::new(start),
        on_event: Box::new(move |event| shared.lock().flow_event(id, &event)),
    }
}

fn coordinator_config(setup: &Setup, seed: u64) -> CoordinatorConfig {
    CoordinatorConfig {
        concurrency: setup.concurrency as usize,
        queue_max: setup.queue as usize,
        intake_records_max: setup.intake as usize,
        delayed_records_max: setup.delayed as usize,
        limits: Limits {
            attempts_max: setup.attempts,
            ..Limits::default()
        },
        transactional: setup.exactly_once,
        priority_topic: setup.retry_topic.then(|| Topic::Retries.as_str().into()),
        model_version: "sim".into(),
        session_timeout: Duration::from_millis(setup.session),
        leave_wait: Duration::from_millis(LEAVE_WAIT_MS),
        seed,
        ..CoordinatorConfig::default()
    }
}

impl Fleet<'_> {
    /// Whether everything is done.
    fn carry_out(&mut self, effect: Effect, healed: Time) -> bool {
        match effect {
            Effect::Start(worker) => self.start(worker),
            Effect::Kill(id) => self.kill(id, "killed"),
            Effect::Stop(id) => {
                if let Some(running) = self.running.get_mut(id).and_then(Option::as_mut) {
                    running.stop = true;
                    let mut world = self.world.lock();
                    let now = world.now;
                    world.wake(id, now);
                }
            }
            Effect::Turn(id) => self.turn(id),
            Effect::Sample => return self.sample(healed),
        }
        false
    }

    fn start(&mut self, worker: usize) {
        let mut world = self.world.lock();
        let worker = worker % world.workers.len();
        if world.workers[worker].is_some() {
            return;
        }
        let Some(handles) = self.handles.next() else {
            let text = format!("liveness: {PROCESSES_MAX} processes were started");
            world.oracle.violation.get_or_insert(text);
            return;
        };
        let id = world.start(worker);
        handles
            .machine
            .skew_ms
            .store(world.faults.skew_ms[worker], Ordering::Relaxed);
        drop(world);
        debug_assert_eq!(id, self.running.len());
        let Handles {
            source,
            sink,
            workers,
            clock,
            board,
            on_event,
            ..
        } = handles;
        let driver = Driver::new(
            &mut **source,
            &mut **sink,
            &mut **workers,
            &**clock,
            self.config,
            board,
            &mut **on_event,
        );
        self.running.push(Some(Running { driver, stop: false }));
    }

    fn kill(&mut self, id: usize, how: &str) {
        if self.running.get_mut(id).and_then(Option::take).is_some() {
            let mut world = self.world.lock();
            let now = world.now;
            world.oracle.crashed(id, now);
            world.end(id, how);
            world.restart_later(id);
        }
    }

    fn turn(&mut self, id: usize) {
        let Some(running) = self.running.get_mut(id).and_then(Option::as_mut) else {
            return;
        };
        for _ in 0..64 {
            let stop = std::mem::take(&mut running.stop);
            if stop {
                self.world.lock().oracle.stopping(id);
            }
            self.world.lock().incarnations[id].polled = false;
            let result = running.driver.turn(stop);
            let mut world = self.world.lock();
            world.oracle.turn_ended(id);
            match result {
                Ok(None) => {}
                Ok(Some(exit)) => {
                    drop(world);
                    return self.exited(id, exit);
                }
                Err(error) => {
                    drop(world);
                    return self.kill(id, &error.to_string());
                }
            }
            if !world.incarnations[id].polled || world.oracle.violation.is_some() {
                break;
            }
        }
        let wakeup = running.driver.next_wakeup();
        let mut world = self.world.lock();
        if world.incarnations[id].polled {
            let now = world.now;
            world.wake(id, now);
        }
        // As in the real loop, where that is after 100 ms, a poll that brings nothing ends some time.
        let idle = world.now + world.session() / 3;
        let wakeup = wakeup.map(|at| at.saturating_duration_since(self.start).as_nanos().div_ceil(1_000) as Time);
        world.wake(id, wakeup.unwrap_or(idle).min(idle));
        let second = world.now / SECOND;
        let turns = self.turns.entry(second).or_default();
        *turns += 1;
        if *turns > 30_000 {
            world
                .oracle
                .violation
                .get_or_insert(format!("liveness: process {id} is busy without doing anything"));
        }
        if self.turns.len() > 2 {
            self.turns.pop_first();
        }
    }

    fn exited(&mut self, id: usize, exit: Exit) {
        let Some(_) = self.running.get_mut(id).and_then(Option::take) else {
            return;
        };
        let mut world = self.world.lock();
        match exit {
            Exit::Stopped(report) => {
                if report.committed {
                    world.check_stopped(id);
                }
                world.leave(id);
                world.end(id, "stopped");
                if world.healed {
                    world.restart_later(id);
                }
            }
            Exit::Fatal(failure) => {
                world.leave(id);
                world.end(id, &failure.message);
                world.restart_later(id);
            }
            Exit::Hung { job, .. } => {
                world.oracle.crashed_hung(id, &job);
                world.leave(id);
                world.end(id, "hung");
                world.restart_later(id);
            }
        }
    }

    fn sample(&mut self, healed: Time) -> bool {
        let paused = |id: usize| {
            let world = self.world.lock();
            world.incarnations[id].paused_until > world.now
        };
        let statuses: Vec<_> = self
            .running
            .iter()
            .enumerate()
            .filter_map(|(id, running)| Some((id, running.as_ref()?)))
            .filter(|(id, _)| !paused(*id))
            .map(|(id, running)| (id, running.driver.status()))
            .collect();
        let mut world = self.world.lock();
        let now = world.now;
        for (id, status) in statuses {
            // A process that has just gone on has not had the time to say anything.
            let incarnation = &world.incarnations[id];
            if now > incarnation.paused_until + SECOND && now > incarnation.started + SECOND {
                let status = mutants::corrupt_status(self.mutant, status);
                world.oracle.check_status(id, now, &status, self.open_max);
            }
        }
        world.sample_later(2_900);
        now > healed && world.unfinished().is_empty()
    }
}

/// How long after the last fault everything must have ended, in virtual time: what remains of sessions, rebalances, and held
/// outcomes, plus the work itself, one after the other.
fn liveness_bound(script: &Script) -> Time {
    let setup = &script.setup;
    let restart = 2 * setup.session + 15_000;
    let mut work = 0;
    for step in &script.steps {
        if let Action::Produce { kind, count, .. } = step.action {
            let one = match kind.class {
                Class::Good | Class::Keyless => kind.n,
                Class::SlowHost => 31_000 * u64::from(setup.attempts),
                Class::Hang => 6 * (190_000 + restart),
                Class::Killer => 3 * (kind.n + restart),
                Class::RareKiller => kind.n.min(3) * restart,
                Class::ForgedDelay => kind.n.min(60_000) / 4,
                Class::Fatal => restart,
                _ => 300 * u64::from(setup.attempts),
            };
            work += one * u64::from(count);
        }
    }
    (120_000 + 2 * setup.session + 2 * work) * MS
}

/// Longest time for a good job where nothing but records is wrong, and none of them kills: the group's first assignment, the
/// work of all jobs, shared by what may run at once, and the time for which slow servers keep places.
fn good_bound(script: &Script) -> Option<Time> {
    let setup = &script.setup;
    let (mut work, mut slow) = (0, 0);
    for step in &script.steps {
        if let Action::Produce { kind, count, .. } = step.action {
            let count = u64::from(count);
            match kind.class {
                Class::Good | Class::Keyless => work += kind.n * count,
                Class::SlowHost => slow += 30_000 * u64::from(setup.attempts) * count,
                Class::Killer | Class::RareKiller | Class::Hang | Class::Fatal => return None,
                _ => work += 400 * u64::from(setup.attempts) * count,
            }
        }
    }
    let window = u64::from(setup.concurrency + setup.queue).max(1);
    let slow = if slow == 0 { 0 } else { slow / window + 30_000 };
    Some((20_000 + 2 * work / u64::from(setup.concurrency.max(1)) + slow) * MS)
}
