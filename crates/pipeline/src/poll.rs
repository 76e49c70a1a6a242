//! The poll loop: the one thread that owns the source, the ledger, the waiting records and the commits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stt_core::{
    Admitted, Cancel, Case, Delays, Delivery, Failure, Ledger, Partition, Settled, Source, SourceError, SourceEvent,
    Ticket,
};

use crate::leaving::Leaving;
use crate::telemetry;
use crate::worker::{Done, Task, Worker};
use crate::{Config, Parts, Status};

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
    parts: &Parts,
    config: &Config,
    status: &Arc<Status>,
    stopping: &Stopping,
) -> Result<Report, Ended> {
    let (task_in, task_out) = mpsc::channel();
    let (done_in, done_out) = mpsc::channel();
    let closing = Cancel::default();
    let worker = Worker {
        number: 0,
        parts: parts.clone(),
        limits: config.limits.clone(),
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
        delays: Delays::default(),
        cancels: BTreeMap::new(),
        leaving: None,
        paused: false,
        in_hand: 0,
        committed_at: parts.clock.now(),
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
    delays: Delays<(Case, Ticket)>,
    /// One for each partition owned: raised when it is given up.
    cancels: BTreeMap<Partition, Cancel>,
    leaving: Option<Leaving>,
    paused: bool,
    /// Tasks given to the workers and not heard of yet.
    in_hand: usize,
    committed_at: Instant,
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
        let now = self.parts.clock.now();
        self.status.polled(now);
        while let Ok(done) = self.done.try_recv() {
            self.settle(done);
        }
        while let Some((case, ticket)) = self.tasks.as_ref().and_then(|_| self.delays.pop(now)) {
            self.dispatch(case, ticket);
        }
        if now.saturating_duration_since(self.committed_at) >= self.config.commit_every {
            self.commit();
        }
        if self
            .leaving
            .as_ref()
            .is_some_and(|leaving| leaving.is_over(now, &self.ledger))
        {
            let leaving = self.leaving.take().expect("looked at above");
            self.give_up(&leaving.partitions, "revoked");
            self.source.release(&leaving.partitions);
        }
        let until_due = self.delays.next_due().map(|due| due.saturating_duration_since(now));
        let wait = until_due.map_or(self.config.poll_wait, |due| due.min(self.config.poll_wait));
        let event = self.source.poll(wait)?;
        self.take(event);
        telemetry::load(self.ledger.open(), self.delays.len(), self.paused);
        Ok(())
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
                    self.cancels.insert(assignment.partition.clone(), Cancel::default());
                    self.ledger.assign(assignment);
                }
                telemetry::assigned("assigned", &partitions, self.cancels.len());
                if self.paused {
                    self.source.pause(&partitions);
                }
            }
            SourceEvent::Revoked { partitions, lost: true } => self.give_up(&partitions, "lost"),
            SourceEvent::Revoked {
                partitions,
                lost: false,
            } => {
                self.cancel(&partitions);
                self.commit();
                let deadline = self.parts.clock.now() + self.config.leave_wait;
                self.leaving = Some(Leaving { partitions, deadline });
            }
            SourceEvent::Committed { due, error } => {
                telemetry::committed(error.as_deref());
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

    fn admit(&mut self, delivery: Delivery) {
        let leaves = self
            .leaving
            .as_ref()
            .is_some_and(|leaving| leaving.partitions.contains(&delivery.partition));
        if leaves || self.tasks.is_none() {
            return; // not passed, so it will be delivered to whoever comes next
        }
        let Admitted::Open { ticket, .. } = self.ledger.admit(&delivery.partition, delivery.offset) else {
            return;
        };
        telemetry::received();
        let case = Case::open(delivery, &self.config.limits);
        let wait = case.wait(self.parts.clock.wall(), &self.config.limits);
        if wait.is_zero() {
            self.dispatch(case, ticket);
        } else {
            self.delays.push(self.parts.clock.now() + wait, (case, ticket));
        }
    }

    fn dispatch(&mut self, case: Case, ticket: Ticket) {
        let cancel = self.cancels.get(ticket.partition()).cloned().unwrap_or_default();
        let Some(tasks) = &self.tasks else { return };
        if tasks.send(Task { case, ticket, cancel }).is_ok() {
            self.in_hand += 1;
        }
    }

    fn settle(&mut self, done: Done) {
        self.in_hand -= 1;
        match done {
            Done::Published(published) => {
                self.report.published += 1;
                if self.ledger.settle(published) == Settled::Stale {
                    telemetry::stale();
                }
            }
            Done::Abandoned => self.report.abandoned += 1,
            Done::Died(failure) => self.fatal = self.fatal.take().or(Some(failure)),
        }
    }

    fn commit(&mut self) {
        self.committed_at = self.parts.clock.now();
        let due = self.ledger.due();
        if !due.is_empty() {
            self.source.commit(&due);
        }
    }

    /// Pauses intake when enough is open, and resumes it at half of that.
    fn balance(&mut self) {
        let ceiling = self.config.concurrency.max(1) + self.config.queue_max;
        let (busy, delayed) = (self.in_hand, self.delays.len());
        let partitions: Vec<_> = self.cancels.keys().cloned().collect();
        if !self.paused && (busy >= ceiling || delayed >= self.config.delayed_max) {
            self.paused = true;
            self.source.pause(&partitions);
        } else if self.paused && busy <= ceiling / 2 && delayed <= self.config.delayed_max / 2 {
            self.paused = false;
            self.source.resume(&partitions);
        }
    }

    fn cancel(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(cancel) = self.cancels.get(partition) {
                cancel.cancel();
            }
        }
    }

    fn give_up(&mut self, partitions: &[Partition], kind: &'static str) {
        self.cancel(partitions);
        for partition in partitions {
            self.cancels.remove(partition);
            self.ledger.revoke(partition);
        }
        self.delays
            .retain(|(_, ticket)| !partitions.contains(ticket.partition()));
        telemetry::assigned(kind, partitions, self.cancels.len());
    }

    /// Lets running jobs end within the grace, keeping the membership alive; then cancels them. Whether all ended.
    fn drain(&mut self) -> bool {
        self.status.draining();
        self.tasks = None;
        self.closing.cancel();
        self.delays.retain(|_| false);
        self.source.pause(&self.cancels.keys().cloned().collect::<Vec<_>>());
        let grace = if self.fatal.is_some() {
            Duration::ZERO
        } else {
            self.config.shutdown_grace
        };
        self.turn_until(grace, |poll| poll.in_hand == 0);
        self.cancels.values().for_each(Cancel::cancel);
        self.turn_until(self.config.leave_wait, |poll| poll.in_hand == 0);
        self.in_hand == 0
    }

    /// Makes the last commits and leaves the group.
    fn leave(&mut self) -> Report {
        self.commit();
        let partitions: Vec<_> = self.ledger.partitions().cloned().collect();
        self.turn_until(self.config.leave_wait, |poll| poll.ledger.is_committed(&partitions));
        self.report.committed = self.ledger.is_committed(&partitions);
        self.report.abandoned += self.in_hand as u64; // what did not end in time is left as well
        self.source.close(self.config.leave_wait);
        self.report
    }

    fn turn_until(&mut self, wait: Duration, over: impl Fn(&Self) -> bool) {
        let deadline = self.parts.clock.now() + wait;
        while !over(self) && self.parts.clock.now() < deadline {
            if self.turn().is_err() {
                return; // the source is gone; there is nothing to wait for
            }
        }
    }
}
