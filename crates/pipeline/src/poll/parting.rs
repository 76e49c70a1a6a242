//! Giving partitions up: when others ask for them, when they are lost, and at the end.

use std::time::Duration;

use stt_core::Partition;

use super::{BUSY_WAIT, Leaving, Poll};
use crate::poll::Report;
use crate::telemetry;

impl Poll<'_> {
    /// Jobs of a partition are run no further; those that are done may still be published.
    pub(super) fn stop_running(&mut self, partition: &Partition) {
        if let Some(wanted) = self.wanted.get(partition) {
            wanted.run.cancel();
        }
        self.ledger.retire(partition);
        self.leave_waiting(&|ticket| ticket.partition() == partition);
    }

    /// Whether partitions that were revoked may go: nothing of them is in hand and all is committed, or it is high time.
    pub(super) fn is_over(&self, leaving: &Leaving) -> bool {
        let in_hand = leaving
            .partitions
            .iter()
            .any(|partition| self.hands.contains_key(partition));
        self.now() >= leaving.deadline || (!in_hand && self.ledger.is_committed(&leaving.partitions))
    }

    pub(super) fn give_up(&mut self, partitions: &[Partition], kind: &'static str) {
        for partition in partitions {
            // What runs still may end: should a lost partition come back, the finding is published then.
            if let Some(wanted) = self.wanted.remove(partition) {
                wanted.publish.cancel();
                if self.hands.contains_key(partition) {
                    self.unwanted.push(wanted);
                }
            }
            self.ledger.revoke(partition);
        }
        self.leave_waiting(&|ticket| partitions.contains(ticket.partition()));
        telemetry::assigned(kind, partitions, self.wanted.len());
    }

    /// Lets running jobs end within the grace, keeping the membership alive; then cancels them. Whether all ended.
    pub(super) fn drain(&mut self) -> bool {
        self.status.draining();
        self.closing.cancel();
        self.tasks = None;
        self.leave_waiting(&|_| true);
        self.source.pause(&self.wanted.keys().cloned().collect::<Vec<_>>());
        let grace = if self.fatal.is_some() {
            Duration::ZERO
        } else {
            self.config.shutdown_grace
        };
        self.turn_until(grace, |poll| poll.line.in_hand() == 0);
        self.wanted
            .values()
            .chain(&self.unwanted)
            .for_each(|wanted| wanted.run.cancel());
        self.turn_until(self.config.leave_wait, |poll| poll.line.in_hand() == 0);
        self.wanted.values().for_each(|wanted| wanted.publish.cancel());
        self.turn_until(self.config.leave_wait.min(BUSY_WAIT * 10), |poll| {
            poll.line.in_hand() == 0
        });
        self.line.in_hand() == 0
    }

    /// Makes the last commits and leaves the group.
    pub(super) fn leave(&mut self) -> Report {
        let partitions: Vec<_> = self.ledger.partitions().cloned().collect();
        for partition in &partitions {
            self.ledger.retire(partition);
        }
        self.commit_at = self.now();
        self.turn_until(self.config.leave_wait, |poll| poll.ledger.is_committed(&partitions));
        self.report.committed = self.ledger.is_committed(&partitions);
        self.report.abandoned += self.line.in_hand() as u64; // what did not end in time is left as well
        self.source.close(self.config.leave_wait);
        self.report
    }
}
