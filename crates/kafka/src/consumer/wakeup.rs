//! What the polling thread waits for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ends the wait of the polling thread: when librdkafka has queued something, or when another thread asks for it.
///
/// librdkafka can interrupt a poll by itself (`rd_kafka_queue_yield`), but rdkafka's poll then goes on until its time is
/// over. So the consumer is polled without waiting, and the waiting is done here.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queued: bool,
    woken: bool,
}

impl Wakeup {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is in a queue of librdkafka. Called by its threads, with the queue locked.
    pub(super) fn queued(&self) {
        self.state().queued = true;
        self.changed.notify_one();
    }

    /// Another thread has news for the polling thread.
    pub(super) fn wake(&self) {
        self.state().woken = true;
        self.changed.notify_one();
    }

    /// Forgets what was queued up to now: the queues are about to be read.
    pub(super) fn reading_queues(&self) {
        self.state().queued = false;
    }

    /// Whether another thread asked for the end of the poll; once for any number of times.
    pub(super) fn take_woken(&self) -> bool {
        std::mem::take(&mut self.state().woken)
    }

    /// Waits until something is queued, somebody wakes this, or it is `deadline`.
    pub(super) fn wait_until(&self, deadline: Instant) {
        let mut state = self.state();
        while !state.queued && !state.woken {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // In slices: a missed notification must not delay anything for long (rust-rdkafka#638, #665).
            let waited = self.changed.wait_timeout(state, left.min(SLICE));
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() {
                return;
            }
        }
    }
}

const SLICE: Duration = Duration::from_millis(100);
