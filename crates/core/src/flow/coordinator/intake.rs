//! How much is taken in ahead.

use std::time::{Duration, Instant};

use super::Coordinator;
use crate::Partition;
use crate::flow::config::CoordinatorConfig;
use crate::flow::events::Output;

/// How many records are held ahead of the workers. Pausing has its price (librdkafka drops what it prefetched and fetches it
/// again), and so has holding much (a rebalance leaves it all to others). So the limit follows the pace of the work: it doubles
/// when half of it is worked off in less than [`SHORT`], and halves when that takes longer than [`LONG`].
#[derive(Debug)]
pub(super) struct Intake {
    limit: usize,
    paused_since: Option<Instant>,
    /// Whether records that wait for their site to have room do not count against the limit: so from when a pause lasts for
    /// longer than [`SHORT`] because of them, until they are few.
    passes_sites: bool,
}

const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(10);

/// A partition whose commit metadata is filled beyond this is paused, long before anything would be left out of it.
const METADATA_FULL: f64 = 0.8;
/// And resumed below this.
const METADATA_ROOM: f64 = 0.6;

/// Its size is checked after so many offsets were opened or closed: each adds a dozen bytes at most, so it cannot run over in
/// between.
const METADATA_CHECK_INTERVAL: usize = 32;

impl Intake {
    pub(super) fn new(config: &CoordinatorConfig) -> Self {
        Self {
            limit: least(config),
            paused_since: None,
            passes_sites: false,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }
}

/// When half of it is left, every worker has a job still.
fn least(config: &CoordinatorConfig) -> usize {
    2 * config.window()
}

impl Coordinator {
    /// Pauses delivery when enough is in memory, and resumes it.
    pub(super) fn balance_intake(&mut self) {
        let (busy, all) = (self.busy(), self.all_busy());
        let (records_max, bytes_max) = (self.records_max(), self.config.intake_bytes_max);
        let has_room = self.busy_bytes <= bytes_max / 2 && all <= records_max - records_max / 4;
        self.intake.passes_sites &= all > self.intake.limit / 2;
        match self.intake.paused_since {
            None if busy >= self.intake.limit || all >= records_max || self.busy_bytes > bytes_max => {
                self.intake.paused_since = Some(self.now);
            }
            Some(since) if busy <= self.intake.limit / 2 && has_room => {
                self.intake.paused_since = None;
                self.adapt(self.now.saturating_duration_since(since));
            }
            // The records behind those of a slow site may be of others.
            Some(since) if self.now >= since + SHORT && self.unheld() <= self.intake.limit / 2 && has_room => {
                self.intake.paused_since = None;
                self.intake.passes_sites = true;
            }
            _ => {}
        }
        let paused = self.intake.is_paused() || self.stopping.is_some();
        let priority = self.config.priority_topic.clone();
        let (mut to_pause, mut to_resume) = (vec![], vec![]);
        for (partition, owned) in &mut self.partitions {
            if owned.unchecked >= METADATA_CHECK_INTERVAL || owned.full {
                owned.unchecked = 0;
                let fill = owned.offsets.metadata_fill();
                owned.full = fill > METADATA_FULL || (owned.full && fill > METADATA_ROOM);
            }
            // Retries are read even while there is enough of fresh jobs, up to twice the limit.
            let is_urgent = priority.as_deref() == Some(partition.topic.as_ref()) && self.stopping.is_none();
            let enough = paused && !(is_urgent && busy < 2 * self.intake.limit);
            let wanted = enough || owned.full || owned.draining.is_some();
            if wanted != owned.paused {
                owned.paused = wanted;
                let list: &mut Vec<Partition> = if wanted { &mut to_pause } else { &mut to_resume };
                list.push(partition.clone());
            }
        }
        if !to_pause.is_empty() {
            self.outputs.push_back(Output::Pause(to_pause));
        }
        if !to_resume.is_empty() {
            self.outputs.push_back(Output::Resume(to_resume));
        }
    }

    /// How many records count against the intake's limit.
    fn busy(&self) -> usize {
        if self.intake.passes_sites {
            self.unheld()
        } else {
            self.all_busy()
        }
    }

    /// Records in memory but those that wait for their site to have room.
    fn unheld(&self) -> usize {
        let load = self.site_load();
        let queued = self.run_queue.held_back(|site| load.has_room(site));
        self.all_busy() - queued - load.held_back()
    }

    /// Records in memory. Not those of lost partitions: they may wait for their redelivery, which a pause would hold up.
    fn all_busy(&self) -> usize {
        self.jobs.len() - self.delays.len() - self.kept.len()
    }

    fn records_max(&self) -> usize {
        self.config.intake_records_max.max(least(&self.config))
    }

    /// When it is time to look whether intake goes on past a slow site.
    pub(super) fn next_intake_at(&self) -> Option<Instant> {
        let since = self.intake.paused_since.filter(|_| !self.intake.passes_sites)?;
        Some(since + SHORT).filter(|at| *at > self.now)
    }

    /// How many records more are wanted before intake pauses.
    #[must_use]
    pub fn intake_room(&self) -> usize {
        let within_limit = self.intake.limit.saturating_sub(self.busy());
        within_limit.min(self.records_max().saturating_sub(self.all_busy()))
    }

    fn adapt(&mut self, took: Duration) {
        let (least, records_max) = (least(&self.config), self.records_max());
        let limit = &mut self.intake.limit;
        if took < SHORT {
            *limit *= 2;
        } else if took > LONG {
            *limit /= 2;
        }
        *limit = (*limit).clamp(least, records_max);
    }
}
