//! One message after the other, until enough or until the time is over.

use std::time::{Duration, Instant};

use stt_kafka::{Tail, Tailed};

use crate::Failure;

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The reader had enough.
    Enough,
    /// The time was over.
    TimedOut,
}

/// How long one wait for a message lasts.
const WAIT: Duration = Duration::from_secs(1);

/// Gives each message to `each` until that returns true for enough, or `deadline` comes; without one, for ever.
///
/// # Errors
/// What `each` returns, and [`Failure::Kafka`] when the client is finished. Passing troubles are waited out.
pub fn follow(
    tail: &mut Tail,
    deadline: Option<Instant>,
    mut each: impl FnMut(&Tailed) -> Result<bool, Failure>,
) -> Result<Followed, Failure> {
    loop {
        let left = deadline.map_or(WAIT, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(Followed::TimedOut);
        }
        if let Some(tailed) = tail.next(left.min(WAIT))?
            && each(&tailed)?
        {
            return Ok(Followed::Enough);
        }
    }
}

/// The last trouble with the brokers, if there was any, to be put behind the news that the time is over.
#[must_use]
pub fn trouble(tail: &Tail) -> String {
    tail.last_error()
        .map(|text| format!("; last trouble with kafka: {text}"))
        .unwrap_or_default()
}
