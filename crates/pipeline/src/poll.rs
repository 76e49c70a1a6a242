//! The poll loop: the one thread that owns the source, the ledger, the waiting records and the commits.

mod ending;
mod intake;
mod parting;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lru::LruCache;
use stt_core::{
    Cancel, Case, Delays, Failure, JobKey, Ledger, Line, Partition, Source, SourceError, SourceEvent, Ticket, Twins,
};

use crate::outlet::{Outlet, Transactions, Turn};
use crate::task::{Done, Finding, Task, Wanted};
use crate::telemetry;
use crate::worker::Worker;
use crate::{Config, Parts, Publishing, Status};

/// Asks the pipeline to stop; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stopping(Arc<AtomicBool>);

impl Stopping {
    /// Take nothing more in, finish what fits the grace, leave.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a pipeline did, when it ended as asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Outcomes acknowledged by the broker: results, dead letters, retries.
    pub published: u64,
    /// Jobs left for other workers.
    pub abandoned: u64,
    /// Whether the broker has every commit that could be made.
    pub committed: bool,
}

/// Why a pipeline ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// No more jobs can come.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A part said that this process cannot go on.
    #[error("cannot go on: {}", .0.story())]
    Fatal(Failure),
    /// A thread could not be started.
    #[error("could not start a worker thread")]
    Thread(#[from] std::io::Error),
}

/// Runs until `stopping` is asked for, or something ends it.
///
/// # Errors
/// When the source or a part is gone for good; offsets of unfinished jobs stay open.
pub fn run(
    source: &mut dyn Source,
    publishing: Publishing,
    parts: &Parts,
    config: &Config,
    status: &Arc<Status>,
    stopping: &Stopping,
) -> Result<Report, Ended> {
    let (task_in, task_out) = mpsc::channel();
    let (done_in, done_out) = mpsc::channel();
    let closing = Cancel::default();
    let (transactions, outlet) = match publishing {
        Publishing::AtLeastOnce(publish) => (None, Outlet::Direct(publish)),
        Publishing::ExactlyOnce(transact) => {
            let (transactions, outlet) = Transactions::new(transact);
            (Some(transactions), outlet)
        }
    };
    let worker = Worker {
        number: 0,
        parts: parts.clone(),
        outlet,
        limits: config.limits.clone(),
        session_timeout: config.session_timeout,
        detail: config.detail,
        status: Arc::clone(status),
        closing: closing.clone(),
    };
    let threads = start_workers(&worker, config.concurrency, &Arc::new(Mutex::new(task_out)), &done_in)?;
    let mut poll = Poll {
        source,
        parts,
        config,
        status,
        tasks: Some(task_in),
        closing,
        done: done_out,
        ledger: Ledger::default(),
        transactions,
        delays: Delays::default(),
        twins: Twins::new(config.idempotency_ttl, config.idempotency_entries_max),
        findings: LruCache::new(FINDINGS_MAX),
        line: Line::new(config.concurrency.max(1) + AHEAD.min(config.queue_max)),
        starting: VecDeque::new(),
        hands: BTreeMap::new(),
        wanted: BTreeMap::new(),
        unwanted: vec![],
        leaving: None,
        paused: false,
        answers: true,
        commit_at: parts.clock.now(),
        fatal: None,
        report: Report::default(),
    };
    let result = poll.serve(stopping);
    let drained = poll.drain();
    let report = poll.leave();
    let fatal = poll.fatal.take();
    if drained {
        for thread in threads {
            let _ = thread.join(); // a worker's panics end in the job they came from
        }
    }
    result?;
    fatal.map_or(Ok(report), |failure| Err(Ended::Fatal(failure)))
}

fn start_workers(
    model: &Worker,
    count: usize,
    tasks: &Arc<Mutex<Receiver<Task>>>,
    done: &Sender<Done>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let start = |number| {
        let worker = Worker {
            number,
            ..model.clone()
        };
        let (tasks, done) = (Arc::clone(tasks), done.clone());
        std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || worker.run(&tasks, &done))
    };
    (0..count.max(1)).map(start).collect()
}

/// Jobs begun beyond one for each worker, so that a worker that ends one has the next at hand.
const AHEAD: usize = 1;

/// Findings kept for jobs whose partition was lost before they could be published.
const FINDINGS_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not 0");

/// Longest wait for an event while a worker may have something to say, which the source cannot wake us for.
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// Partitions to be given up as soon as nothing of them is in hand and the broker has their commits, or at `deadline`.
struct Leaving {
    partitions: Vec<Partition>,
    deadline: Instant,
}

struct Poll<'a> {
    source: &'a mut dyn Source,
    parts: &'a Parts,
    config: &'a Config,
    status: &'a Status,
    /// Gone once the pipeline drains, so that idle workers end.
    tasks: Option<Sender<Task>>,
    closing: Cancel,
    done: Receiver<Done>,
    ledger: Ledger,
    /// When outcomes and offsets go together.
    transactions: Option<Transactions>,
    delays: Delays<(Case, Ticket)>,
    twins: Twins<(Case, Ticket)>,
    /// What was found and could not be published, by job and try.
    findings: LruCache<(JobKey, u32), Finding>,
    line: Line<Task>,
    /// Begun, and waiting for the broker to know it. Each with when it was begun.
    starting: VecDeque<(Task, Instant)>,
    /// How many tasks the workers have of each partition.
    hands: BTreeMap<Partition, usize>,
    /// How much the jobs of each partition owned are wanted.
    wanted: BTreeMap<Partition, Wanted>,
    /// The same of partitions that are gone, while jobs of theirs may run.
    unwanted: Vec<Wanted>,
    leaving: Option<Leaving>,
    paused: bool,
    /// Whether the last mark that was waited for came. While a group rebalances, brokers answer no commit: then only the
    /// first job waits in vain.
    answers: bool,
    /// When the next commit is to be made.
    commit_at: Instant,
    fatal: Option<Failure>,
    report: Report,
}

impl Poll<'_> {
    fn serve(&mut self, stopping: &Stopping) -> Result<(), SourceError> {
        while !stopping.is_asked() && self.fatal.is_none() {
            self.turn()?;
            self.balance();
        }
        Ok(())
    }

    /// One turn: whatever is due, then at most one event of the source.
    fn turn(&mut self) -> Result<(), SourceError> {
        let now = self.now();
        self.status.polled(now, self.config.session_timeout);
        while let Ok(done) = self.done.try_recv() {
            self.ended(done);
        }
        while let Some((case, ticket)) = self.tasks.as_ref().and_then(|_| self.delays.pop(now)) {
            self.queue(case, ticket);
        }
        self.start();
        self.commit();
        if self.leaving.as_ref().is_some_and(|leaving| self.is_over(leaving)) {
            let leaving = self.leaving.take().expect("looked at above");
            self.give_up(&leaving.partitions, "revoked");
            self.source.release(&leaving.partitions);
        }
        let event = self.source.poll(self.wait(now))?;
        self.take(event);
        telemetry::load(self.ledger.open(), self.delays.len(), self.paused);
        Ok(())
    }

    fn wait(&self, now: Instant) -> Duration {
        let busy = self.line.in_hand() > 0 || self.transactions.as_ref().is_some_and(Transactions::is_busy);
        let until_due = self.delays.next_due().map(|due| due.saturating_duration_since(now));
        let wait = until_due.map_or(self.config.poll_wait, |due| due.min(self.config.poll_wait));
        if busy { wait.min(BUSY_WAIT) } else { wait }
    }

    fn take(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Idle => {}
            SourceEvent::Delivered(delivery) => self.admit(delivery),
            SourceEvent::Assigned(assignments) => {
                self.status.joined();
                let partitions: Vec<_> = assignments
                    .iter()
                    .map(|assignment| assignment.partition.clone())
                    .collect();
                for assignment in assignments {
                    self.wanted.insert(assignment.partition.clone(), Wanted::default());
                    self.ledger.assign(assignment);
                }
                telemetry::assigned("assigned", &partitions, self.wanted.len());
                if self.paused {
                    self.source.pause(&partitions);
                }
            }
            SourceEvent::Revoked { partitions, lost: true } => {
                // What was about to be given up is gone already, and may come back before its deadline.
                if let Some(leaving) = &mut self.leaving {
                    leaving.partitions.retain(|partition| !partitions.contains(partition));
                }
                self.leaving.take_if(|leaving| leaving.partitions.is_empty());
                self.give_up(&partitions, "lost");
            }
            SourceEvent::Revoked {
                partitions,
                lost: false,
            } => {
                for partition in &partitions {
                    self.stop_running(partition);
                }
                let deadline = self.now() + self.config.leave_wait;
                self.leaving = Some(Leaving { partitions, deadline });
                self.commit_at = self.now();
            }
            SourceEvent::Committed { due, error } => {
                telemetry::committed(error.as_deref());
                if error.is_none() {
                    self.hurry();
                }
                for due in &due {
                    if error.is_some() {
                        self.ledger.refused(due)
                    } else {
                        self.ledger.committed(due)
                    }
                }
            }
            SourceEvent::Trouble(what) => telemetry::trouble(&what),
        }
    }

    fn commit(&mut self) {
        let now = self.now();
        let commit = now >= self.commit_at;
        if commit {
            self.commit_at = now + self.config.commit_every;
        }
        if let Some(transactions) = &mut self.transactions {
            match transactions.turn(&mut self.ledger, commit, now) {
                Ok(Turn::Committed) => self.hurry(),
                Ok(Turn::Other) => {}
                Err(failure) => self.fatal = self.fatal.take().or(Some(failure)),
            }
        } else if commit {
            let due = self.ledger.due();
            if !due.is_empty() {
                self.source.commit(&due);
            }
        }
    }

    /// The broker took a commit: the way is free for the next, and where a job waits for its mark, that is made now.
    fn hurry(&mut self) {
        self.answers = true;
        if !self.starting.is_empty() {
            self.commit_at = self.now();
        }
    }

    fn turn_until(&mut self, wait: Duration, over: impl Fn(&Self) -> bool) {
        let deadline = self.now() + wait;
        while !over(self) && self.now() < deadline {
            if self.turn().is_err() {
                return; // the source is gone; there is nothing to wait for
            }
        }
    }

    fn now(&self) -> Instant {
        self.parts.clock.now()
    }
}
