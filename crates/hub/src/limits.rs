//! How long a model may take.

use std::time::{Duration, Instant};

use crate::{HubConfig, HubError};

/// The end of the time that a model may take, and the pace of its bytes.
pub(crate) struct Limits<'a> {
    config: &'a HubConfig,
    repository: &'a str,
    end: Instant,
    /// When the window of the pace began, and how many bytes have come in it.
    window: (Instant, u64),
}

impl<'a> Limits<'a> {
    pub(crate) fn start(config: &'a HubConfig, repository: &'a str, now: Instant) -> Self {
        Self {
            config,
            repository,
            end: now + config.time_max,
            window: (now, 0),
        }
    }

    /// The time left.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn left(&self, now: Instant) -> Result<Duration, HubError> {
        let left = self.end.saturating_duration_since(now);
        if left.is_zero() {
            return Err(HubError::TimedOut {
                repository: self.repository.to_owned(),
                allowed: self.config.time_max,
            });
        }
        Ok(left)
    }

    /// A transfer begins.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.window = (now, 0);
    }

    /// So many bytes more have come.
    pub(crate) fn received(&mut self, bytes: u64, now: Instant) -> Result<(), HubError> {
        self.left(now)?;
        let (began, so_far) = self.window;
        self.window = (began, so_far + bytes);
        let elapsed = now.saturating_duration_since(began);
        if elapsed < self.config.pace_window {
            return Ok(());
        }
        if ((so_far + bytes) as f64) < self.config.pace_min as f64 * elapsed.as_secs_f64() {
            return Err(HubError::TooSlow {
                repository: self.repository.to_owned(),
                pace_min: self.config.pace_min,
                window: self.config.pace_window,
            });
        }
        self.begin(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_too_slow_and_a_pause_is_not() {
        let config = HubConfig::new("/cache".into());
        let start = Instant::now();
        let at = |sec| start + Duration::from_secs(sec);
        let mut limits = Limits::start(&config, "org/model", start);
        for sec in 1..=59 {
            limits.received(u64::from(sec == 1) * 2_000_000, at(sec)).unwrap();
        }
        limits.received(1, at(60)).unwrap();
        for sec in 61..=119 {
            limits.received(1_000, at(sec)).unwrap();
        }
        let slow = limits.received(1_000, at(120)).unwrap_err();
        assert!(matches!(slow, HubError::TooSlow { .. }), "{slow}");
    }

    #[test]
    fn all_together_may_take_so_long_at_most() {
        let config = HubConfig::new("/cache".into());
        let start = Instant::now();
        let mut limits = Limits::start(&config, "org/model", start);
        let late = start + config.time_max;
        assert_eq!(
            limits.left(late - Duration::from_secs(1)).unwrap(),
            Duration::from_secs(1)
        );
        let over = limits.received(u64::MAX / 2, late).unwrap_err();
        assert!(matches!(over, HubError::TimedOut { .. }), "{over}");
    }
}
