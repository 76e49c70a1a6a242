//! Hosts that did not answer, again and again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A circuit breaker for each host: after [`Hosts::FAILURES`] time-outs in a row it is not asked for a while, so that jobs at a
/// dead host hold a worker for an instant each, instead of for a whole time-out. The while doubles with each further
/// time-out, and the first answer ends it.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<HashMap<String, Host>>);

#[derive(Debug)]
struct Host {
    failures: u32,
    until: Option<Instant>,
    last: Instant,
}

/// A host that is not asked for a while, as it timed out again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedHost {
    /// Host and port.
    pub host: String,
    /// Time-outs in a row.
    pub timeouts: u32,
    /// How long it is not asked still.
    pub left: Duration,
}

impl Hosts {
    pub(super) const FAILURES: u32 = 5;
    const PAUSE_MIN: Duration = Duration::from_secs(5);
    const PAUSE_MAX: Duration = Duration::from_secs(60);

    /// Most hosts remembered; of more, those go whose last time-out was first.
    const ENTRIES_MAX: usize = 1024;

    /// Those that are not asked now, the longest pause first.
    pub(super) fn paused(&self, now: Instant) -> Vec<PausedHost> {
        let hosts = self.lock();
        let paused = hosts.iter().filter_map(|(key, host)| {
            let left = host.until?.saturating_duration_since(now);
            (!left.is_zero()).then(|| PausedHost {
                host: key.clone(),
                timeouts: host.failures,
                left,
            })
        });
        let mut paused: Vec<_> = paused.collect();
        paused.sort_by(|one, other| other.left.cmp(&one.left).then_with(|| one.host.cmp(&other.host)));
        paused
    }

    /// How long this host is not to be asked yet.
    pub(super) fn pause(&self, host: &str, port: u16, now: Instant) -> Option<Duration> {
        let mut hosts = self.lock();
        let found = hosts.get_mut(&key(host, port))?;
        let left = found.until?.saturating_duration_since(now);
        if left.is_zero() {
            found.until = None; // one try, or a few at the same time
            return None;
        }
        Some(left)
    }

    pub(super) fn timed_out(&self, host: &str, port: u16, now: Instant) {
        let mut hosts = self.lock();
        if hosts.len() >= Self::ENTRIES_MAX {
            let oldest = hosts
                .iter()
                .min_by_key(|(_, host)| host.last)
                .map(|(key, _)| key.clone());
            oldest.and_then(|oldest| hosts.remove(&oldest));
        }
        let found = hosts.entry(key(host, port)).or_insert(Host {
            failures: 0,
            until: None,
            last: now,
        });
        found.failures += 1;
        found.last = now;
        if let Some(further) = found.failures.checked_sub(Self::FAILURES) {
            let pause = Self::PAUSE_MIN * 2_u32.pow(further.min(8));
            found.until = Some(now + pause.min(Self::PAUSE_MAX));
        }
    }

    pub(super) fn answered(&self, host: &str, port: u16) {
        let mut hosts = self.lock();
        if !hosts.is_empty() {
            hosts.remove(&key(host, port));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(host: &str, port: u16) -> String {
    format!("{}:{port}", host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_never_answers_is_asked_less_and_less() {
        let (hosts, start) = (Hosts::default(), Instant::now());
        let mut asked = 0;
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            if hosts.pause("Dead.example", 443, now).is_none() {
                asked += 1;
                hosts.timed_out("dead.example.", 443, now);
            }
            assert_eq!(
                hosts.pause("dead.example", 80, now),
                None,
                "another port may be another server"
            );
        }
        let paused = hosts.paused(start + Duration::from_secs(599));
        assert_eq!(
            (paused.len(), paused[0].host.as_str(), paused[0].timeouts),
            (1, "dead.example:443", asked)
        );
        assert_eq!(
            asked,
            4 + 1 + 4 + 8,
            "five at once, then after 5, 10, 20, 40 s and each minute"
        );
        hosts.answered("dead.example", 443);
        assert_eq!(hosts.pause("dead.example", 443, start), None);
    }

    #[test]
    fn no_number_of_hosts_takes_more_than_its_room() {
        let (hosts, start) = (Hosts::default(), Instant::now());
        for number in 0..5_000 {
            hosts.timed_out(&format!("{number}.example"), 443, start + Duration::from_millis(number));
        }
        assert_eq!(hosts.lock().len(), Hosts::ENTRIES_MAX);
    }
}
