//! Downloads that fail by this worker's fault, such as a full disk, and are asked for again and again meanwhile.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stt_core::AudioUrl;

/// Remembers which downloads failed, so that the next try is not a whole download again every second: the wait before it
/// doubles, up to [`Held::WAIT_MAX`].
#[derive(Debug, Default)]
pub(super) struct Held {
    hash: RandomState,
    entries: Mutex<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    until: Instant,
    wait: Duration,
}

impl Held {
    const WAIT_MIN: Duration = Duration::from_secs(1);
    pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

    /// There are no more than jobs worked on, of which there are fewer.
    const ENTRIES_MAX: usize = 256;

    /// Of this download, how long until it is tried again; `None` when it did not fail.
    pub(super) fn wait(&self, url: &AudioUrl, now: Instant) -> Option<Duration> {
        let key = self.key(url);
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.key == key)?;
        Some(entry.until.saturating_duration_since(now))
    }

    pub(super) fn failed(&self, url: &AudioUrl, now: Instant) {
        let wait = self.take(url).map_or(Self::WAIT_MIN, |entry| entry.wait * 2);
        let wait = wait.min(Self::WAIT_MAX);
        let mut entries = self.entries();
        if entries.len() >= Self::ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(Entry {
            key: self.key(url),
            until: now + wait,
            wait,
        });
    }

    /// It ended otherwise.
    pub(super) fn ended(&self, url: &AudioUrl) {
        self.take(url);
    }

    fn take(&self, url: &AudioUrl) -> Option<Entry> {
        let mut entries = self.entries();
        if entries.is_empty() {
            return None;
        }
        let key = self.key(url);
        let at = entries.iter().position(|entry| entry.key == key)?;
        entries.remove(at)
    }

    fn key(&self, url: &AudioUrl) -> u64 {
        self.hash.hash_one(url.expose())
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_its_limit_and_success_ends_it() {
        let (held, start) = (Held::default(), Instant::now());
        let url = |path: &str| format!("https://h/{path}").parse::<AudioUrl>().unwrap();
        assert_eq!(held.wait(&url("a"), start), None);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            held.failed(&url("a"), start);
            assert_eq!(held.wait(&url("a"), start), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(held.wait(&url("a"), start + Held::WAIT_MAX), Some(Duration::ZERO));
        assert_eq!(held.wait(&url("b"), start), None);
        held.ended(&url("a"));
        assert_eq!(held.wait(&url("a"), start), None);
        for number in 0..1_000 {
            held.failed(&url(&number.to_string()), start);
        }
        assert_eq!(held.entries().len(), Held::ENTRIES_MAX);
    }
}
