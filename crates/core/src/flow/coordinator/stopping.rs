//! The way to the end.

use std::time::{Duration, Instant};

use super::Coordinator;
use crate::flow::events::Exit;
use crate::flow::job::JobState;

/// How far a stop is.
#[derive(Debug)]
pub(super) struct Stopping {
    phase: Phase,
    deadline: Instant,
    /// What to report at the end instead of a regular stop.
    hung: Option<Exit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Running jobs may end, and outcomes be published.
    Finishing,
    /// Running jobs are cancelled.
    Cancelling,
    /// Last commits.
    Committing,
}

impl Stopping {
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Coordinator {
    /// Takes nothing more in, leaves what has not started to others, and lets running jobs end within the grace.
    pub(super) fn stop(&mut self) {
        let grace = match self.fatal {
            Some(_) => Duration::ZERO,
            None => self.config.shutdown_grace,
        };
        let deadline = self.now + grace;
        if let Some(stopping) = &mut self.stopping {
            stopping.deadline = stopping.deadline.min(deadline);
            return;
        }
        self.stopping = Some(Stopping {
            phase: Phase::Finishing,
            deadline,
            hung: None,
        });
        let waiting = |state: &JobState| {
            !matches!(
                state,
                JobState::Running { .. } | JobState::Publishing(_) | JobState::PublishedWhileLost { .. }
            )
        };
        // Leaving one may put a duplicate of it into the queue, which is left as well.
        loop {
            let mut left: Vec<_> = self
                .jobs
                .values()
                .filter(|job| waiting(&job.state))
                .map(|job| job.id)
                .collect();
            if left.is_empty() {
                break;
            }
            left.sort();
            left.into_iter().for_each(|id| self.abandon(id));
        }
    }

    pub(super) fn is_leaving_hung(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.hung.is_some())
    }

    /// Ends with a job that cannot be stopped: only last commits are made.
    pub(super) fn leave_hung(&mut self, exit: Exit) {
        self.stop();
        if let Some(stopping) = &mut self.stopping {
            stopping.phase = Phase::Committing;
            stopping.deadline = self.now + self.config.leave_wait;
            stopping.hung = Some(exit);
        }
        self.commit_at = self.now;
    }

    pub(super) fn advance_stop(&mut self) {
        let Some(stopping) = &self.stopping else { return };
        let is_late = self.now >= stopping.deadline;
        let is_busy = !self.running.is_empty()
            || self
                .jobs
                .values()
                .any(|job| job.is_publishing() && job.standing != crate::flow::job::Standing::Lost);
        match stopping.phase {
            Phase::Finishing if !is_busy => self.last_commits(),
            Phase::Finishing if is_late => {
                for id in self.running.clone() {
                    self.wind_down(id);
                }
                self.enter_phase(Phase::Cancelling);
            }
            Phase::Cancelling if !is_busy || is_late => self.last_commits(),
            Phase::Committing if is_late || self.partitions.values().all(|owned| owned.offsets.is_committed()) => {
                self.end();
            }
            _ => {}
        }
    }

    /// What is left now is not going to end here: its start markers are taken back, so nobody counts a crash.
    fn last_commits(&mut self) {
        for owned in self.partitions.values_mut() {
            owned.offsets.unmark_all();
            owned.dirty = true;
        }
        self.commit_at = self.now;
        self.enter_phase(Phase::Committing);
        self.commit();
    }

    fn enter_phase(&mut self, phase: Phase) {
        let deadline = self.now + self.config.leave_wait;
        if let Some(stopping) = &mut self.stopping {
            (stopping.phase, stopping.deadline) = (phase, deadline);
        }
    }

    fn end(&mut self) {
        let Some(stopping) = self.stopping.take() else { return };
        self.report.committed = self.partitions.values().all(|owned| owned.offsets.is_committed());
        self.report.abandoned += self.running.len() as u64;
        let report = self.report;
        let fatal = self.fatal.take().map(Exit::Fatal);
        self.exit(fatal.or(stopping.hung).unwrap_or(Exit::Stopped(report)));
    }
}
