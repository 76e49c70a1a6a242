//! From a record to a worker's hands.

use stt_core::{Admitted, Case, Delivery, Ticket, Twin};

use super::{Leaving, Poll};
use crate::task::Task;
use crate::telemetry;

impl Poll<'_> {
    pub(super) fn admit(&mut self, delivery: Delivery) {
        let leaves = |leaving: &Leaving| leaving.partitions.contains(&delivery.partition);
        if self.leaving.as_ref().is_some_and(leaves) || self.tasks.is_none() {
            return; // not passed, so it will be delivered to whoever comes next
        }
        let (ticket, crashes) = match self.ledger.admit(&delivery.partition, delivery.offset) {
            Admitted::Open { ticket, crashes } => (ticket, crashes),
            Admitted::Done => return telemetry::done_before(),
            Admitted::Ignored => return,
        };
        telemetry::received();
        let limits = &self.config.limits;
        let case = Case::open(delivery, limits).begun_before(crashes, limits);
        if crashes > 0 {
            telemetry::suspect(&case, crashes);
        }
        let wait = case.wait(self.parts.clock.wall(), limits);
        if wait.is_zero() {
            self.queue(case, ticket);
        } else {
            self.delays.push(self.now() + wait, (case, ticket));
        }
    }

    /// Puts a job into the line, unless its twin is or was done.
    pub(super) fn queue(&mut self, case: Case, ticket: Ticket) {
        let wanted = self.wanted.get(ticket.partition()).cloned().unwrap_or_default();
        let Some(key) = case.job_key() else {
            return self.line_up(Task::new(case, ticket, None, wanted));
        };
        let number = case.number();
        let now = self.now();
        match self.twins.admit(&key, number, (case, ticket), now) {
            Twin::Only((case, ticket)) => {
                let finding = self.findings.pop(&(key.clone(), number));
                let task = Task::new(case, ticket, Some(key), wanted);
                self.line_up(Task { finding, ..task });
            }
            Twin::Done((case, ticket), receipt) => {
                telemetry::duplicate("done", &case);
                self.ledger.settle(receipt.covers(ticket));
            }
            Twin::Follows => {}
        }
    }

    fn line_up(&mut self, task: Task) {
        let suspect = task.case.is_suspect();
        self.line.push(task, suspect);
    }

    /// Begins the jobs whose turn it is: the broker is told first, so that should one of them end the process, it is known
    /// which ones they were.
    pub(super) fn start(&mut self) {
        let now = self.now();
        while let Some(task) = self.tasks.as_ref().and_then(|_| self.line.take()) {
            self.ledger.begin(&task.ticket);
            self.commit_at = now;
            self.starting.push_back((task, now));
        }
        while let Some((task, since)) = self.starting.front() {
            let waited = now.saturating_duration_since(*since);
            let marked = self.ledger.is_marked(&task.ticket);
            // A suspect is not begun without: if it ends the process, that must count.
            let waits = task.case.is_suspect() || (self.answers && waited < self.config.mark_wait);
            if !marked && waits {
                return;
            }
            if !marked {
                telemetry::unmarked();
                self.answers = false;
            }
            let Some((task, _)) = self.starting.pop_front() else {
                return;
            };
            self.hand_over(task);
        }
    }

    fn hand_over(&mut self, task: Task) {
        let partition = task.ticket.partition().clone();
        if self.tasks.as_ref().is_some_and(|tasks| tasks.send(task).is_ok()) {
            *self.hands.entry(partition).or_default() += 1;
        } else {
            self.line.ended();
        }
    }

    /// Pauses intake when enough is taken in, and resumes it.
    pub(super) fn balance(&mut self) {
        let (floor, ceiling) = bounds(self.config.concurrency, self.config.queue_max);
        let (busy, delayed) = (
            self.line.in_hand() + self.line.waiting() + self.twins.following(),
            self.delays.len(),
        );
        let partitions: Vec<_> = self.wanted.keys().cloned().collect();
        if !self.paused && (busy >= ceiling || delayed >= self.config.delayed_max) {
            self.paused = true;
            self.source.pause(&partitions);
        } else if self.paused && busy <= floor && delayed <= self.config.delayed_max / 2 {
            self.paused = false;
            self.source.resume(&partitions);
        }
    }
}

/// With how many jobs intake is resumed, and with how many it pauses: every worker still has a job and half of the queue
/// waits when it is resumed, as what was paused has to be fetched again.
fn bounds(workers: usize, queue_max: usize) -> (usize, usize) {
    let workers = workers.max(1);
    let ceiling = workers + queue_max;
    ((workers + queue_max / 2).min(ceiling - 1), ceiling)
}

#[cfg(test)]
mod tests {
    use super::bounds;

    #[test]
    fn intake_is_resumed_before_a_worker_has_nothing_to_do() {
        for (workers, queue_max, found) in [
            (1, 4, (3, 5)),
            (8, 4, (10, 12)),
            (4, 1, (4, 5)),
            (2, 0, (1, 2)),
            (0, 0, (0, 1)),
        ] {
            assert_eq!(
                bounds(workers, queue_max),
                found,
                "{workers} workers, {queue_max} places"
            );
        }
    }
}
