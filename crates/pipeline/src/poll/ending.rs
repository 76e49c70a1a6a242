//! What becomes of a job that is no longer in a worker's hands, and of its twins.

use stt_core::{Case, JobKey, Receipt, Settled, Ticket};

use super::Poll;
use crate::task::{Done, End, Finding, Task};
use crate::telemetry;

impl Poll<'_> {
    pub(super) fn ended(&mut self, done: Done) {
        let Done {
            partition,
            key,
            number,
            end,
        } = done;
        self.line.ended();
        if let Some(count) = self.hands.get_mut(&partition) {
            *count -= 1;
            if *count == 0 {
                self.hands.remove(&partition);
            }
        }
        if self.hands.is_empty() {
            self.unwanted.clear();
        }
        match end {
            End::Published(published) => {
                let receipt = published.receipt();
                if self.ledger.settle(published) == Settled::Stale {
                    telemetry::stale();
                }
                self.published(key, number, receipt);
            }
            End::Settled(receipt) => self.published(key, number, receipt),
            End::Abandoned(finding) => {
                self.report.abandoned += 1;
                self.left(key, number, finding);
            }
            End::Died(failure) => {
                self.left(key, number, None);
                self.fatal = self.fatal.take().or(Some(failure));
            }
        }
    }

    fn published(&mut self, key: Option<JobKey>, number: u32, receipt: Receipt) {
        self.report.published += 1;
        let Some(key) = key else { return };
        let now = self.now();
        for (case, ticket) in self.twins.published(&key, number, receipt, now) {
            telemetry::duplicate("running", &case);
            self.ledger.settle(receipt.covers(ticket));
        }
    }

    /// A job has no outcome here: a twin of it that is still wanted takes its place.
    fn left(&mut self, key: Option<JobKey>, number: u32, finding: Option<Finding>) {
        let Some(key) = key else { return };
        if let Some(finding) = finding {
            self.findings.put((key.clone(), number), finding);
        }
        for (case, ticket) in self.twins.left(&key, number) {
            if self.tasks.is_some() {
                self.queue(case, ticket);
            } else {
                self.leave_to_others(&case);
            }
        }
    }

    /// Leaves the jobs that no worker has in hand for other workers.
    pub(super) fn leave_waiting(&mut self, is_left: &dyn Fn(&Ticket) -> bool) {
        let mut tasks: Vec<Task> = self.line.extract(|task| is_left(&task.ticket));
        let starting = std::mem::take(&mut self.starting);
        for (task, since) in starting {
            if is_left(&task.ticket) {
                self.line.ended();
                tasks.push(task);
            } else {
                self.starting.push_back((task, since));
            }
        }
        let waiting = |(_, ticket): &(Case, Ticket)| is_left(ticket);
        let twins = self.twins.extract(waiting);
        let delayed = self.delays.extract(waiting);
        for (case, _) in twins.iter().chain(&delayed) {
            self.leave_to_others(case);
        }
        for Task { case, key, finding, .. } in tasks {
            self.leave_to_others(&case);
            self.left(key, case.number(), finding);
        }
    }

    fn leave_to_others(&mut self, case: &Case) {
        telemetry::left(case);
        self.report.abandoned += 1;
    }
}
