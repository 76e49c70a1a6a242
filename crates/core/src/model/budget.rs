//! How long a step may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Clock;

/// A flag that tells running steps to stop; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Raises the flag, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is up.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a step must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time is used up.
    Expired,
    /// Nobody wants the answer any more.
    Cancelled,
}

/// The time a step has, and the flag that ends it early. Steps check it wherever they could go on for long.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    clock: &'a dyn Clock,
    cancel: &'a Cancel,
    deadline: Instant,
    allowed: Duration,
}

impl<'a> Budget<'a> {
    /// `allowed` from now on.
    #[must_use]
    pub fn new(clock: &'a dyn Clock, cancel: &'a Cancel, allowed: Duration) -> Self {
        Self {
            clock,
            cancel,
            deadline: clock.now() + allowed,
            allowed,
        }
    }

    /// What was allowed at the start, for messages.
    #[must_use]
    pub fn allowed(&self) -> Duration {
        self.allowed
    }

    /// What is left; zero when expired.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(self.clock.now())
    }

    /// When it ends.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The flag that ends it early.
    #[must_use]
    pub fn cancel(&self) -> &'a Cancel {
        self.cancel
    }

    /// The clock that it is measured by.
    #[must_use]
    pub fn clock(&self) -> &'a dyn Clock {
        self.clock
    }

    /// # Errors
    /// When the step must stop.
    pub fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            Err(Stop::Cancelled)
        } else if self.clock.now() >= self.deadline {
            Err(Stop::Expired)
        } else {
            Ok(())
        }
    }
}

impl std::fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget")
            .field("allowed", &self.allowed)
            .field("remaining", &self.remaining())
            .finish()
    }
}
