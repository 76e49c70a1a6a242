//! From a delivered record to the run queue.

use std::time::Duration;

use super::Coordinator;
use crate::flow::dedup::Duplicate;
use crate::flow::events::{FlowEvent, IgnoredReason};
use crate::flow::incoming::IncomingJob;
use crate::flow::job::{Job, JobState, Publication, Standing, Verdict};
use crate::flow::partition::Admission;
use crate::{Delivery, JobId, Partition, Site};

impl Coordinator {
    pub(super) fn admit(&mut self, delivery: Delivery) {
        let ignored = match self.partitions.get(&delivery.partition) {
            _ if self.stopping.is_some() => Some(IgnoredReason::Stopping),
            Some(partition) if partition.draining.is_none() => None,
            _ => Some(IgnoredReason::NotOwned),
        };
        if let Some(reason) = ignored {
            return self.event(FlowEvent::Ignored(reason));
        }
        let incoming = IncomingJob::parse(delivery, &self.config.limits);
        let place = (incoming.delivery().partition.clone(), incoming.delivery().offset);
        let kept = self.kept.get(&place).copied();
        let kept = kept.filter(|id| self.jobs[id].incoming.fingerprint() == incoming.fingerprint());
        let id = kept.unwrap_or(JobId(self.next_job));
        let Some(partition) = self.partitions.get_mut(&place.0) else {
            return;
        };
        partition.dirty = true;
        partition.unchecked += 1;
        match partition.offsets.admit(place.1, id) {
            Admission::Redelivered => self.event(FlowEvent::Ignored(IgnoredReason::Redelivered)),
            Admission::DoneBefore => {
                self.event(FlowEvent::DoneBefore);
                if let Some(id) = kept {
                    // Done by the owner in between.
                    self.drop_kept(id);
                }
            }
            Admission::Open { crashes } => {
                if self.was_done_before_loss(&place, &incoming) {
                    self.event(FlowEvent::DoneBefore);
                    return self.pass(&place, &incoming);
                }
                self.event(FlowEvent::Received);
                match kept {
                    Some(id) => self.reattach(id),
                    None => self.admit_new(id, incoming.with_crashes(crashes, &self.config.limits)),
                }
            }
        }
    }

    /// Whether this process ended the record before it lost the partition, and the broker did not take the commit.
    fn was_done_before_loss(&mut self, place: &(Partition, i64), incoming: &IncomingJob) -> bool {
        let known = self
            .done_before_loss
            .iter()
            .position(|(partition, offset, _)| (partition, offset) == (&place.0, &place.1));
        let known = known.and_then(|position| self.done_before_loss.remove(position));
        known.is_some_and(|(_, _, key)| key == incoming.fingerprint())
    }

    /// Passes a record that was never put on the books.
    fn pass(&mut self, place: &(Partition, i64), incoming: &IncomingJob) {
        if let Some(partition) = self.partitions.get_mut(&place.0) {
            partition.offsets.close(place.1);
            partition.closed_count += 1;
            let closed = (partition.closed_count, incoming.fingerprint());
            partition.uncommitted.insert(place.1, closed);
        }
    }

    fn admit_new(&mut self, id: JobId, incoming: IncomingJob) {
        self.next_job += 1;
        let crashes = incoming.crashes();
        let delay = incoming.delay(self.wall, &self.config.limits);
        self.busy_bytes += incoming.delivery().size();
        let site = Site::of(incoming.job().map_or("", |job| job.audio_url.host()));
        let job = Job {
            id,
            incoming,
            site,
            key: None,
            standing: Standing::Owned,
            state: JobState::Queued,
            admitted: self.now,
            since: self.now,
            holds: 0,
        };
        if crashes > 0 {
            let label = job.label();
            self.event(FlowEvent::CrashSuspect { job: label, crashes });
        }
        self.jobs.insert(id, job);
        if delay.is_zero() {
            self.enqueue(id);
        } else {
            self.delay(id, delay, None);
        }
    }

    /// A job of a partition that was lost and came back goes on where it is: its work is not done again, and an outcome that
    /// is on its way is not published again.
    fn reattach(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.standing = Standing::Owned;
        self.busy_bytes += job.incoming.delivery().size();
        if let Some(key) = job.incoming.job_key() {
            let attempt = job.incoming.attempt();
            match self.dedup.add(&key, attempt, id, self.now) {
                Duplicate::No => job.key = Some(key),
                Duplicate::Of(_) => drop(self.dedup.remove(&key, attempt, id)),
                Duplicate::OfCompleted => {}
            }
        }
        let (partition, offset) = (job.partition().clone(), job.offset());
        self.kept.remove(&(partition.clone(), offset));
        let is_running = job.is_running();
        let waits = matches!(&job.state, JobState::Publishing(publication) if publication.outcome.is_some());
        let published = match job.state {
            JobState::PublishedWhileLost { completed } => Some(completed),
            _ => None,
        };
        if is_running && let Some(owned) = self.partitions.get_mut(&partition) {
            owned.offsets.start(offset);
        }
        if waits {
            self.to_publish.push_back(id);
        }
        if let Some(completed) = published
            && let Some(job) = self.remove(id)
        {
            self.close_offset(&job);
            self.finish_followers(&job, completed);
        }
    }

    /// Puts a job into the run queue, unless it is invalid (then its outcome is published at once) or a duplicate.
    pub(super) fn enqueue(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Err(failure) = job.incoming.job() {
            return self.settle(id, Verdict::Failed(failure), vec![]);
        }
        if job.key.is_none() {
            job.key = job.incoming.job_key();
        }
        if let Some(key) = job.key.clone() {
            let attempt = job.incoming.attempt();
            match self.dedup.add(&key, attempt, id, self.now) {
                Duplicate::No => {}
                Duplicate::Of(_) => {
                    job.enter(JobState::Following, self.now);
                    return;
                }
                Duplicate::OfCompleted => {
                    job.key = None;
                    return self.close_duplicate(id, true);
                }
            }
        }
        let job = self.jobs.get_mut(&id).expect("it is there, as above");
        job.enter(JobState::Queued, self.now);
        let job = &self.jobs[&id];
        self.run_queue.push(job.partition(), &job.site, id);
    }

    /// Passes a record without an outcome of its own.
    pub(super) fn close_duplicate(&mut self, id: JobId, of_completed: bool) {
        let Some(job) = self.remove(id) else { return };
        self.close_offset(&job);
        let label = job.label();
        self.event(FlowEvent::Duplicate {
            job: label,
            of_completed,
        });
    }

    /// Lets a job wait. It holds up nothing meanwhile.
    pub(super) fn delay(&mut self, id: JobId, wait: Duration, held: Option<crate::ErrorCode>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let size = job.incoming.delivery().size();
        job.enter(JobState::Delayed { held }, self.now);
        self.busy_bytes = self.busy_bytes.saturating_sub(size);
        self.delayed_bytes += size;
        self.delays.push(self.now + wait, id);
        let too_many = |this: &Self| {
            this.delays.len() > this.config.delayed_records_max || this.delayed_bytes > this.config.delayed_bytes_max
        };
        while too_many(self) {
            let Some(first) = self.delays.pop_first() else { return };
            self.event(FlowEvent::DelayCutShort);
            self.end_delay(first);
        }
    }

    pub(super) fn release_delayed(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        while let Some(id) = self.delays.pop(self.now) {
            self.end_delay(id);
        }
    }

    fn end_delay(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let size = job.incoming.delivery().size();
        job.enter(JobState::Queued, self.now);
        self.delayed_bytes = self.delayed_bytes.saturating_sub(size);
        self.busy_bytes += size;
        if job.key.is_some() {
            // Held by a fault of this worker: registered with the deduplicator already.
            let job = &self.jobs[&id];
            self.run_queue.push(job.partition(), &job.site, id);
        } else {
            self.enqueue(id);
        }
    }

    /// The work on a job is finished; its outcome is published as soon as that is allowed.
    pub(super) fn settle(&mut self, id: JobId, verdict: Verdict, times: crate::StageTimes) {
        let Some(mut job) = self.jobs.remove(&id) else { return };
        self.dequeue(&job);
        let publication = Publication::new(id, &job.incoming, verdict, times, self.wording());
        job.enter(JobState::Publishing(publication), self.now);
        if job.standing != Standing::Lost {
            self.to_publish.push_back(id);
        }
        self.jobs.insert(id, job);
    }
}
