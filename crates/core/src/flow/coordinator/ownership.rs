//! Partitions that come and go.

use std::collections::BTreeMap;

use super::{Coordinator, KEPT_MAX, OwnedPartition};
use crate::flow::events::{FlowEvent, Output};
use crate::flow::job::{JobState, Standing};
use crate::flow::partition::PartitionOffsets;
use crate::{Assignment, JobId, Partition, ResetCause};

impl Coordinator {
    pub(super) fn assigned(&mut self, assignments: Vec<Assignment>) {
        self.member = true;
        let partitions: Vec<_> = assignments
            .iter()
            .map(|assignment| assignment.partition.clone())
            .collect();
        for Assignment { partition, committed } in assignments {
            if self.partitions.contains_key(&partition) {
                self.lost(std::slice::from_ref(&partition)); // it was lost in between, whether or not that was reported
                self.member = true;
            }
            let own_starts = self.own_starts.remove(&partition).unwrap_or_default();
            let offsets = PartitionOffsets::new(committed, &own_starts);
            let owned = OwnedPartition {
                offsets,
                draining: None,
                paused: false,
                full: false,
                dirty: false,
                unchecked: 0,
                uncommitted: BTreeMap::new(),
                closed_count: 0,
                in_commit: 0,
            };
            self.partitions.insert(partition, owned);
        }
        self.partitions_changed("assigned", partitions);
        self.balance_intake();
    }

    /// Partitions are asked back: what runs is cancelled, what is finished is published, the last commits are made, and then
    /// they are released.
    pub(super) fn revoked(&mut self, partitions: &[Partition]) {
        let deadline = self.now + self.config.leave_wait;
        for partition in partitions {
            let Some(owned) = self.partitions.get_mut(partition) else {
                // Not known here: lost already, or never reported. The source waits for the answer all the same.
                self.outputs.push_back(Output::Release(vec![partition.clone()]));
                continue;
            };
            owned.draining = Some(deadline);
            owned.offsets.unmark_all();
            owned.dirty = true;
            for id in self.jobs_of(partition) {
                self.wind_down(id);
            }
        }
        self.commit_soon();
    }

    /// Cancels a job that runs, publishes one that is finished as soon as it can be, leaves any other.
    pub(super) fn wind_down(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match &mut job.state {
            JobState::Running { cancelled, .. } => {
                if !std::mem::replace(cancelled, true) {
                    self.outputs.push_back(Output::Cancel(id));
                }
            }
            JobState::Publishing(_) | JobState::PublishedWhileLost { .. } => {}
            _ => self.abandon(id),
        }
    }

    /// Releases revoked partitions of which nothing is left to do, or whose time is over.
    pub(super) fn release_drained(&mut self) {
        let draining = self.partitions.iter().filter_map(|(partition, owned)| {
            let deadline = owned.draining?;
            Some((partition.clone(), deadline, owned.offsets.is_committed()))
        });
        for (partition, deadline, committed) in draining.collect::<Vec<_>>() {
            let is_busy = self
                .open_jobs(&partition)
                .any(|job| job.is_running() || job.is_publishing());
            if self.now < deadline && (is_busy || !committed) {
                continue;
            }
            self.give_up(&partition);
            self.partitions_changed("revoked", vec![partition.clone()]);
            self.outputs.push_back(Output::Release(vec![partition]));
        }
    }

    /// Partitions may belong to others already.
    pub(super) fn lost(&mut self, partitions: &[Partition]) {
        self.member = false;
        for partition in partitions {
            self.give_up(partition);
        }
        self.partitions_changed("lost", partitions.to_vec());
    }

    /// Ends the ownership of a partition. Jobs that run or are finished are kept: should it come back, they go on.
    fn give_up(&mut self, partition: &Partition) {
        let jobs = self.jobs_of(partition);
        let Some(owned) = self.partitions.remove(partition) else {
            return;
        };
        self.own_starts.insert(partition.clone(), owned.offsets.started());
        let done = owned.uncommitted.into_iter();
        self.done_before_loss
            .extend(done.map(|(offset, (_, key))| (partition.clone(), offset, key)));
        let surplus = self.done_before_loss.len().saturating_sub(KEPT_MAX);
        self.done_before_loss.drain(..surplus);
        for id in jobs {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            let cancelled = matches!(job.state, JobState::Running { cancelled: true, .. });
            match job.state {
                JobState::Running { .. } | JobState::Publishing(_) if !cancelled => self.keep(id),
                _ => self.abandon(id),
            }
        }
    }

    fn keep(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.standing = Standing::Lost;
        self.busy_bytes = self.busy_bytes.saturating_sub(job.incoming.delivery().size());
        let place = (job.partition().clone(), job.offset());
        // Its outcome may never be published here: a duplicate that waits for it takes its place.
        let attempt = job.incoming.attempt();
        if let Some(key) = job.key.take() {
            let followers = self.dedup.remove(&key, attempt, id);
            followers.into_iter().for_each(|follower| self.enqueue(follower));
        }
        self.to_publish.retain(|waiting| *waiting != id);
        self.publish_later.remove(id);
        if let Some(before) = self.kept.insert(place.clone(), id) {
            self.drop_kept(before);
            self.kept.insert(place.clone(), id);
        }
        self.kept_order.push_back(place);
        self.kept_order.retain(|place| self.kept.contains_key(place));
        while self.kept.len() > KEPT_MAX {
            let idle = |place: &(Partition, i64)| {
                let job = self.kept.get(place).and_then(|id| self.jobs.get(id));
                job.is_none_or(|job| !job.is_running() && !job.is_in_flight())
            };
            let Some(position) = self.kept_order.iter().position(idle) else {
                return;
            };
            let place = self.kept_order.remove(position).expect("found just now");
            if let Some(id) = self.kept.get(&place).copied() {
                self.drop_kept(id);
            }
        }
    }

    /// Forgets a kept job; another record of the same job, if there is one, takes its place.
    pub(super) fn drop_kept(&mut self, id: JobId) {
        if let Some(job) = self.remove(id) {
            self.promote_followers(&job);
        }
    }

    /// The log of a partition is another one, or begins later.
    pub(super) fn log_reset(&mut self, partition: &Partition, cause: ResetCause) {
        let mut orphans = 0;
        if cause == ResetCause::NewLog && self.partitions.contains_key(partition) {
            let jobs = self.jobs_of(partition);
            for id in jobs {
                let Some(job) = self.jobs.get_mut(&id) else { continue };
                // Nobody can deliver its record again, so it is finished here, whatever it waits for.
                job.standing = Standing::Orphaned;
                orphans += 1;
            }
            self.forget_kept(partition);
            self.done_before_loss.retain(|(of, _, _)| of != partition);
            if let Some(owned) = self.partitions.get_mut(partition) {
                owned.uncommitted.clear();
                owned.offsets.restart_log();
                owned.dirty = true;
            }
        }
        self.event(FlowEvent::LogReset {
            partition: partition.clone(),
            cause,
            jobs: orphans,
        });
    }

    fn forget_kept(&mut self, partition: &Partition) {
        let of_partition = self.kept.iter().filter(|((of, _), _)| of == partition);
        for id in of_partition.map(|(_, id)| *id).collect::<Vec<_>>() {
            self.drop_kept(id);
        }
    }

    /// Jobs whose offsets in a partition are open, in order.
    pub(super) fn jobs_of(&self, partition: &Partition) -> Vec<JobId> {
        self.open_jobs(partition).map(|job| job.id).collect()
    }

    fn open_jobs<'a>(&'a self, partition: &'a Partition) -> impl Iterator<Item = &'a crate::flow::job::Job> {
        let owned = self.partitions.get(partition);
        let open = owned.into_iter().flat_map(|owned| owned.offsets.open());
        open.filter_map(|(_, id)| self.jobs.get(&id))
            .filter(|job| job.standing == Standing::Owned)
    }

    fn partitions_changed(&mut self, kind: &'static str, partitions: Vec<Partition>) {
        let owned = self.partitions.len();
        self.event(FlowEvent::PartitionsChanged {
            kind,
            partitions,
            owned,
        });
    }
}
