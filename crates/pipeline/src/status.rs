//! What the health endpoints say: shared between the polling thread, which writes it, and whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stt_core::{NotReady, Status};

/// The last snapshot of a pipeline. One lock, held for a few instructions at a time.
#[derive(Debug)]
pub struct StatusBoard(Mutex<Board>);

#[derive(Debug)]
struct Board {
    turned: Instant,
    status: Arc<Status>,
}

/// Why the process should be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLive {
    /// The polling thread has not come round for so long. A broker outage does not stop it.
    Silent(Duration),
    /// A job exceeded its time limits by far and cannot be stopped.
    Hung,
}

impl std::fmt::Display for NotLive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(silence) => write!(f, "the polling thread has been silent for {} s", silence.as_secs()),
            Self::Hung => f.write_str("a job exceeded its time limits by far and cannot be stopped"),
        }
    }
}

impl StatusBoard {
    /// A polling thread that is silent for longer hangs.
    pub const SILENCE_MAX: Duration = Duration::from_secs(30);

    /// The board of a pipeline that starts at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let not_ready = vec![NotReady::NotMember];
        let status = Status {
            not_ready,
            ..Status::default()
        };
        Self(Mutex::new(Board {
            turned: now,
            status: Arc::new(status),
        }))
    }

    /// The last snapshot; up to 100 ms old, older while the polling thread waits for events.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.lock().status)
    }

    /// Whether the worker works on jobs as it should.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn ready(&self) -> Result<(), NotReady> {
        self.lock()
            .status
            .not_ready
            .first()
            .map_or(Ok(()), |reason| Err(*reason))
    }

    /// Whether the process should go on.
    ///
    /// # Errors
    /// Why it should be restarted.
    pub fn live(&self, now: Instant) -> Result<(), NotLive> {
        let board = self.lock();
        let silence = now.saturating_duration_since(board.turned);
        if silence > Self::SILENCE_MAX {
            Err(NotLive::Silent(silence))
        } else if board.status.hung.is_some() {
            Err(NotLive::Hung)
        } else {
            Ok(())
        }
    }

    pub(crate) fn turned(&self, now: Instant) {
        self.lock().turned = now;
    }

    pub(crate) fn publish(&self, status: Status) {
        crate::telemetry::levels(&status);
        self.lock().status = Arc::new(status);
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_polling_thread_and_a_hung_job_end_liveness() {
        let start = Instant::now();
        let board = StatusBoard::new(start);
        assert_eq!((board.ready(), board.live(start)), (Err(NotReady::NotMember), Ok(())));
        let late = start + StatusBoard::SILENCE_MAX + Duration::from_secs(1);
        assert_eq!(board.live(late), Err(NotLive::Silent(Duration::from_secs(31))));
        board.turned(late);
        board.publish(Status::default());
        assert_eq!((board.ready(), board.live(late)), (Ok(()), Ok(())));
        let hung = stt_core::JobStatus {
            topic: "stt.jobs".into(),
            partition: 0,
            offset: 0,
            attempt: 1,
            stage: "transcribe",
            stage_age: 500.0,
            age: 500.0,
            held: None,
        };
        board.publish(Status {
            hung: Some(hung),
            ..Status::default()
        });
        assert_eq!(board.live(late), Err(NotLive::Hung));
    }
}
