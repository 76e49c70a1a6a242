//! Whether a body comes fast enough.

use std::time::{Duration, Instant};

/// Counts bytes in windows of time, one after another. A slow start is made good within its window, and the end of a body
/// has no window to fill.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_min: u64,
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    /// At least `throughput_min` bytes a second, on average over each `window` from `now` on.
    pub(super) fn start(throughput_min: u64, window: Duration, now: Instant) -> Self {
        let bytes_min = throughput_min as f64 * window.as_secs_f64();
        Self {
            bytes_min: bytes_min as u64,
            window,
            since: now,
            bytes: 0,
        }
    }

    /// Counts what came by `now`; whether it was enough.
    pub(super) fn keeps_up(&mut self, bytes: usize, now: Instant) -> bool {
        self.bytes += bytes as u64;
        if now.saturating_duration_since(self.since) < self.window {
            return true;
        }
        let enough = self.bytes >= self.bytes_min;
        (self.since, self.bytes) = (now, 0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes by the second at which they come, of 1,000 a second over 10 s; the second at which it is too slow.
    fn too_slow_at(arrivals: &[(u64, usize)]) -> Option<u64> {
        let start = Instant::now();
        let mut pace = Pace::start(1_000, Duration::from_secs(10), start);
        let late = arrivals
            .iter()
            .find(|(second, bytes)| !pace.keeps_up(*bytes, start + Duration::from_secs(*second)));
        late.map(|(second, _)| *second)
    }

    #[test]
    fn a_trickle_ends_with_its_window() {
        let trickle: Vec<_> = (1..60).map(|second| (second, 999)).collect();
        assert_eq!(too_slow_at(&trickle), Some(10));
        let dries_up: Vec<_> = (1..60)
            .map(|second| (second, if second <= 20 { 5_000 } else { 1 }))
            .collect();
        assert_eq!(too_slow_at(&dries_up), Some(30));
        assert_eq!(too_slow_at(&[(25, 1)]), Some(25));
    }

    #[test]
    fn a_slow_start_and_a_short_end_pass() {
        assert_eq!(too_slow_at(&[(9, 1), (10, 9_999), (20, 10_000), (24, 1)]), None);
        let steady: Vec<_> = (1..600).map(|second| (second, 1_000)).collect();
        assert_eq!(too_slow_at(&steady), None);
        assert_eq!(too_slow_at(&[(1, 3)]), None);
    }
}
