//! Partitions that were revoked and wait for their last commits.

use std::time::Instant;

use stt_core::{Ledger, Partition};

/// Partitions to be given up as soon as the broker has their commits, or at `deadline`.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub partitions: Vec<Partition>,
    pub deadline: Instant,
}

impl Leaving {
    pub(crate) fn is_over(&self, now: Instant, ledger: &Ledger) -> bool {
        now >= self.deadline || ledger.is_committed(&self.partitions)
    }
}
