//! What the health endpoints tell: shared between the pipeline, which writes it, and whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How the pipeline is doing. One lock, held for a few instructions at a time.
#[derive(Debug)]
pub struct Status(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    polled: Instant,
    /// Until when it is not known whether a silence cost the partitions.
    unsure_until: Option<Instant>,
    joined: bool,
    draining: bool,
    /// What each worker waits for that is not its job's fault, and since when.
    blocked: BTreeMap<usize, (Instant, String)>,
}

/// Why the worker should get no traffic, or is not to be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// It has not joined its consumer group yet.
    NotJoined,
    /// It is shutting down.
    Draining,
    /// It cannot go on with a job for a reason that would hold up any job.
    Blocked(String),
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotJoined => f.write_str("not a member of the consumer group yet"),
            Self::Draining => f.write_str("shutting down"),
            Self::Blocked(why) => write!(f, "blocked: {why}"),
        }
    }
}

impl Status {
    /// A wait longer than this makes the worker not ready.
    pub const BLOCKED_AFTER: Duration = Duration::from_secs(3);

    /// How long nothing is published after a silence longer than the session. Kafka's heartbeats go every 3 s.
    const UNSURE: Duration = Duration::from_secs(4);

    /// The status of a pipeline that starts at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Inner {
            polled: now,
            unsure_until: None,
            joined: false,
            draining: false,
            blocked: BTreeMap::new(),
        }))
    }

    /// How long the poll thread has been silent. Past half a minute it hangs and the process should be restarted; a
    /// broker outage does not silence it.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.lock().polled)
    }

    /// Whether jobs are being worked on as they should.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn ready(&self, now: Instant) -> Result<(), NotReady> {
        let inner = self.lock();
        let waits = |(since, _): &&(Instant, String)| now.saturating_duration_since(*since) >= Self::BLOCKED_AFTER;
        if inner.draining {
            Err(NotReady::Draining)
        } else if !inner.joined {
            Err(NotReady::NotJoined)
        } else if let Some((_, why)) = inner.blocked.values().find(waits) {
            Err(NotReady::Blocked(why.clone()))
        } else {
            Ok(())
        }
    }

    /// The poll thread polls. After a silence longer than its session, others may own the partitions: whether they do, the
    /// broker tells within a heartbeat or two.
    pub(crate) fn polled(&self, now: Instant, session_timeout: Duration) {
        let mut inner = self.lock();
        if now.saturating_duration_since(inner.polled) >= session_timeout {
            inner.unsure_until = Some(now + Self::UNSURE);
        }
        inner.polled = now;
    }

    /// Whether the partitions may have new owners without our knowing.
    pub(crate) fn is_unsure(&self, now: Instant, session_timeout: Duration) -> bool {
        let inner = self.lock();
        now.saturating_duration_since(inner.polled) >= session_timeout
            || inner.unsure_until.is_some_and(|until| now < until)
    }

    pub(crate) fn joined(&self) {
        self.lock().joined = true;
    }

    pub(crate) fn draining(&self) {
        self.lock().draining = true;
    }

    /// A worker begins to wait for something, or learns better what for; the clock starts at the first.
    pub(crate) fn blocked(&self, worker: usize, now: Instant, why: impl Into<String>) {
        self.lock()
            .blocked
            .entry(worker)
            .or_insert_with(|| (now, String::new()))
            .1 = why.into();
    }

    pub(crate) fn unblocked(&self, worker: usize) {
        self.lock().blocked.remove(&worker);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_wait_does_not_cost_readiness_but_a_long_one_does() {
        let start = Instant::now();
        let status = Status::new(start);
        let later = |sec| start + Duration::from_secs(sec);
        assert_eq!(status.ready(start), Err(NotReady::NotJoined));
        status.joined();
        status.blocked(0, start, "publishing");
        assert_eq!(status.ready(later(2)), Ok(()));
        status.blocked(0, later(2), "unknown topic");
        assert_eq!(status.ready(later(4)), Err(NotReady::Blocked("unknown topic".into())));
        status.unblocked(0);
        assert_eq!(status.ready(later(4)), Ok(()));
        status.draining();
        assert_eq!(status.ready(later(4)), Err(NotReady::Draining));
        assert_eq!(status.silence(later(7)), Duration::from_secs(7));
    }

    #[test]
    fn after_a_silence_longer_than_the_session_nothing_is_sure_for_a_while() {
        let start = Instant::now();
        let status = Status::new(start);
        let (later, session) = (|sec| start + Duration::from_secs(sec), Duration::from_secs(10));
        status.polled(later(9), session);
        assert!(!status.is_unsure(later(18), session));
        assert!(
            status.is_unsure(later(19), session),
            "the machine slept, and nobody polled yet"
        );
        status.polled(later(30), session);
        assert!(status.is_unsure(later(33), session), "the broker had no time to answer");
        assert!(!status.is_unsure(later(34), session));
    }
}
