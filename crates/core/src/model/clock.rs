//! Time as a dependency.

use std::time::{Duration, Instant, SystemTime};

/// Where time comes from. Everything that reads a clock or waits does it through this.
pub trait Clock: Send + Sync {
    /// Monotonic now.
    fn now(&self) -> Instant;
    /// Wall-clock now, for what goes on the wire.
    fn wall(&self) -> SystemTime;
    /// Waits.
    fn sleep(&self, wait: Duration);
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    #[allow(clippy::disallowed_methods)] // this is the one place that really waits
    fn sleep(&self, wait: Duration) {
        std::thread::sleep(wait);
    }
}
