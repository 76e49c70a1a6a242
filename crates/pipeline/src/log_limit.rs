//! Fewer log lines for a fault that goes on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Lets one line of each kind pass in an interval, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    kinds: HashMap<(&'static str, String), Kind>,
}

#[derive(Debug)]
struct Kind {
    logged: Instant,
    suppressed: u64,
}

const INTERVAL: Duration = Duration::from_secs(10);

/// Kinds remembered. Codes are closed sets, but texts of brokers are not.
const KINDS_MAX: usize = 200;

impl LogLimit {
    /// `Some` with the number of lines left out before it, when a line of this kind may be written now.
    pub(crate) fn pass(&mut self, event: &'static str, detail: &str, now: Instant) -> Option<u64> {
        let detail: String = detail.chars().take(80).collect();
        if let Some(kind) = self.kinds.get_mut(&(event, detail.clone())) {
            if now.saturating_duration_since(kind.logged) < INTERVAL {
                kind.suppressed += 1;
                return None;
            }
            kind.logged = now;
            return Some(std::mem::take(&mut kind.suppressed));
        }
        if self.kinds.len() >= KINDS_MAX {
            self.kinds.clear();
        }
        let kind = Kind {
            logged: now,
            suppressed: 0,
        };
        self.kinds.insert((event, detail), kind);
        Some(0)
    }
}

/// What a line says of those that were left out.
pub(crate) fn more(suppressed: u64) -> String {
    match suppressed {
        0 => String::new(),
        count => format!(" ({count} more like this before)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_each_kind_in_ten_seconds_counts_the_others() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut limit = LogLimit::default();
        assert_eq!(limit.pass("held", "DISK", at(0)), Some(0));
        assert_eq!(limit.pass("held", "DISK", at(1)), None);
        assert_eq!(limit.pass("held", "DNS", at(1)), Some(0));
        assert_eq!(limit.pass("held", "DISK", at(9)), None);
        assert_eq!(limit.pass("held", "DISK", at(10)), Some(2));
        assert_eq!(limit.pass("held", "DISK", at(20)), Some(0));
        assert_eq!(more(2), " (2 more like this before)");
        assert_eq!(more(0), "");
    }
}
