//! Offset commits: when, and what their answers mean.

use std::time::{Duration, Instant};

use super::Coordinator;
use crate::flow::events::{FlowEvent, Output};
use crate::{Commit, Partition};

impl Coordinator {
    /// Commits what may be committed, when it is time: soon where jobs wait for their start marker or a partition is given
    /// up, else now and then.
    pub(super) fn commit(&mut self) {
        let is_time = self.now >= self.commit_at;
        let has_work = self.partitions.values().any(|partition| partition.dirty);
        if !has_work
            && !self
                .partitions
                .values()
                .any(|partition| partition.offsets.is_commit_in_flight())
        {
            self.commit_trouble = None; // what had no answer was for partitions that are gone
        }
        if is_time && has_work {
            self.commit_at = self.now + self.config.commit_interval;
        }
        if self.config.transactional {
            return self.transact(is_time && has_work);
        }
        if is_time && has_work {
            let commits = self.take_commits(&[]);
            if !commits.is_empty() {
                self.last_commit = Some(self.now);
                self.outputs.push_back(Output::Commit(commits));
            }
        }
    }

    /// The commits that may be made, should `closing` be done as well.
    pub(super) fn take_commits(&mut self, closing: &[(Partition, i64)]) -> Vec<Commit> {
        let mut commits = vec![];
        for (partition, owned) in &mut self.partitions {
            let of_partition = closing.iter().filter(|(of, _)| of == partition);
            let offsets: Vec<i64> = of_partition.map(|(_, offset)| *offset).collect();
            if (!owned.dirty && offsets.is_empty()) || owned.offsets.is_commit_in_flight() {
                continue;
            }
            owned.dirty = false;
            if let Some(committed) = owned.offsets.take_commit(&offsets) {
                owned.in_commit = owned.closed_count;
                let partition = partition.clone();
                commits.push(Commit { partition, committed });
            }
        }
        if !commits.is_empty() {
            self.last_commit = Some(self.now);
            self.commit_trouble.get_or_insert(self.now);
        }
        commits
    }

    /// The next commit should not wait for its regular time.
    pub(super) fn commit_soon(&mut self) {
        let earliest = self
            .last_commit
            .map_or(self.now, |last| last + self.config.marker_interval);
        self.commit_at = self.commit_at.min(earliest.max(self.now));
    }

    pub(super) fn commit_answered(&mut self, commits: &[Commit], error: Option<String>) {
        let accepted = error.is_none();
        self.event(FlowEvent::CommitAnswered { error });
        self.commits_answered(commits, accepted);
    }

    pub(super) fn commits_answered(&mut self, commits: &[Commit], accepted: bool) {
        for Commit { partition, committed } in commits {
            if let Some(owned) = self.partitions.get_mut(partition) {
                let is_latest = owned.offsets.commit_answered(committed, accepted);
                if is_latest && accepted {
                    owned.uncommitted.retain(|_, (closed, _)| *closed > owned.in_commit);
                }
                owned.dirty = true; // what was refused is due again; what came meanwhile may be due
            }
        }
        if accepted && !commits.is_empty() {
            self.commit_trouble = None;
            self.markers_answered = true;
            let is_urgent = !self.marking.is_empty() || self.partitions.values().any(|owned| owned.draining.is_some());
            if is_urgent {
                self.commit_soon();
            }
        }
    }

    pub(super) fn next_commit_at(&self) -> Option<Instant> {
        let has_work = |owned: &super::OwnedPartition| owned.dirty && !owned.offsets.is_commit_in_flight();
        if !self.partitions.values().any(has_work) || self.transaction.is_some() {
            return None;
        }
        let allowed = [self.transaction_not_before, self.unsure_until];
        let allowed = allowed
            .into_iter()
            .flatten()
            .filter(|_| self.config.transactional)
            .max();
        (!self.config.transactional || !self.sink_broken)
            .then(|| allowed.map_or(self.commit_at, |at| at.max(self.commit_at)))
    }

    /// How long commits have had no good answer.
    pub(super) fn commit_silence(&self, now: Instant) -> Duration {
        self.commit_trouble
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}
