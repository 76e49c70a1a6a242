//! Which jobs may decode and transcribe now.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stt_core::Cancel;

/// Places for decoding and for transcribing, each given first come, first served. Decoding runs ahead of the engine, but only
/// while the decoded audio that waits or is transcribed stays below a limit.
#[derive(Debug)]
pub(crate) struct Slots {
    state: Mutex<State>,
    changed: Condvar,
    decoders_max: usize,
    engines_max: usize,
    decoded_bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    next_ticket: u64,
    decode: Queue,
    engine: Queue,
    decoded_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<u64>,
    busy: usize,
}

/// The job was cancelled while it waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cancelled;

/// How often a waiting job checks whether it is cancelled. Cancelling wakes nobody by itself, as it is a flag.
const CANCEL_CHECK_INTERVAL: Duration = Duration::from_millis(50);

impl Slots {
    pub(crate) fn new(decoders_max: usize, engines_max: usize, decoded_bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            decoders_max,
            engines_max,
            decoded_bytes_max,
        }
    }

    /// Waits for a place to decode; it is given back when the guard is dropped.
    pub(crate) fn decode(&self, cancel: &Cancel) -> Result<DecodeSlot<'_>, Cancelled> {
        let may_begin = |state: &State| {
            let engine_is_idle = state.engine.busy == 0 && state.engine.waiting.is_empty();
            state.decode.busy < self.decoders_max
                && (state.decoded_bytes < self.decoded_bytes_max || (engine_is_idle && state.decode.busy == 0))
        };
        self.wait(cancel, |state| &mut state.decode, may_begin)?;
        Ok(DecodeSlot(self))
    }

    /// Waits for a place in the engine; it is given back when the guard is dropped.
    pub(crate) fn engine(&self, cancel: &Cancel) -> Result<EngineSlot<'_>, Cancelled> {
        self.wait(
            cancel,
            |state| &mut state.engine,
            |state| state.engine.busy < self.engines_max,
        )?;
        Ok(EngineSlot(self))
    }

    /// Counts decoded audio until the guard is dropped.
    pub(crate) fn hold(&self, bytes: usize) -> DecodedBytes<'_> {
        self.lock().decoded_bytes += bytes;
        DecodedBytes { slots: self, bytes }
    }

    fn wait(
        &self,
        cancel: &Cancel,
        queue: fn(&mut State) -> &mut Queue,
        may_begin: impl Fn(&State) -> bool,
    ) -> Result<(), Cancelled> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        queue(&mut state).waiting.push_back(ticket);
        loop {
            if cancel.is_cancelled() {
                queue(&mut state).waiting.retain(|waiting| *waiting != ticket);
                self.changed.notify_all();
                return Err(Cancelled);
            }
            if queue(&mut state).waiting.front() == Some(&ticket) && may_begin(&state) {
                let queue = queue(&mut state);
                queue.waiting.pop_front();
                queue.busy += 1;
                self.changed.notify_all();
                return Ok(());
            }
            let waited = self.changed.wait_timeout(state, CANCEL_CHECK_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn free(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place to decode.
pub(crate) struct DecodeSlot<'a>(&'a Slots);

impl Drop for DecodeSlot<'_> {
    fn drop(&mut self) {
        self.0.free(|state| state.decode.busy -= 1);
    }
}

/// A place in the engine.
pub(crate) struct EngineSlot<'a>(&'a Slots);

impl Drop for EngineSlot<'_> {
    fn drop(&mut self) {
        self.0.free(|state| state.engine.busy -= 1);
    }
}

/// Decoded audio in memory.
pub(crate) struct DecodedBytes<'a> {
    slots: &'a Slots,
    bytes: usize,
}

impl Drop for DecodedBytes<'_> {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.slots.free(|state| state.decoded_bytes -= bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_cancelled_job_leaves_the_queue_and_the_next_gets_the_place() {
        let slots = Slots::new(1, 1, 100);
        let busy = slots.engine(&Cancel::default()).map_err(|_| "cancelled").unwrap();
        let cancel = Cancel::default();
        let (begun, order) = mpsc::channel();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| slots.engine(&cancel).is_err());
            cancel.cancel();
            assert!(first.join().unwrap());
            scope.spawn(|| {
                let _slot = slots.engine(&Cancel::default()).map_err(|_| "cancelled").unwrap();
                begun.send(()).unwrap();
            });
            assert!(order.try_recv().is_err());
            drop(busy);
            order.recv().unwrap();
        });
    }

    #[test]
    fn decoding_ahead_stops_at_the_byte_limit_but_never_starves_the_engine() {
        let (slots, free) = (Slots::new(2, 1, 100), Cancel::default());
        let cancelled = Cancel::default();
        cancelled.cancel();
        let may_decode = |cancel: &Cancel| slots.decode(cancel).is_ok();
        let big = slots.hold(1_000);
        assert!(may_decode(&free), "the engine is idle");
        let engine = slots.engine(&free).map_err(|_| "cancelled").unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| may_decode(&free));
            assert!(!waits.is_finished());
            drop(big);
            assert!(waits.join().unwrap());
        });
        drop(engine);
        assert!(!may_decode(&cancelled));
    }
}
