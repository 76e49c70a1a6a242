//! Waits between tries.

use std::time::Duration;

/// Exponential backoff with jitter: the n-th retry waits `base * 2^(n-1)`, at most `max`, spread by ±20 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait before the first retry. Default 500 ms.
    pub base: Duration,
    /// Longest wait. Default 60 s: with three attempts only servers that say how long to wait are waited for that long.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            max: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// Wait after the failed try number `attempt` (from 1). `dice` in [0, 1) spreads the wait; 0.5 gives it unspread.
    #[must_use]
    pub fn wait(&self, attempt: u32, dice: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let wait = self.base.saturating_mul(1 << doublings).min(self.max);
        wait.mul_f64(0.8 + 0.4 * dice.clamp(0.0, 1.0)).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling_and_never_over_it() {
        let backoff = Backoff {
            max: Duration::from_secs(5),
            ..Backoff::default()
        };
        let waits: Vec<_> = (1..=6).map(|attempt| backoff.wait(attempt, 0.5).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(backoff.wait(1, 0.0).as_millis(), 400);
        assert_eq!(backoff.wait(1, 1.0).as_millis(), 600);
        assert_eq!(backoff.wait(u32::MAX, 1.0).as_millis(), 5000);
        assert_eq!(backoff.wait(0, 0.5).as_millis(), 500);
    }
}
