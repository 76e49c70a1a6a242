//! Where jobs bring their windows, and one of them takes a batch to the network.

mod serve;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stt_core::{Budget, Stop};

use crate::batch::{Answer, Call, View};
use crate::counts::Counts;
use crate::net::{Net, NetError};

/// How often a waiting job looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(50);

/// One network, and the jobs that share it. There is no thread behind it: of the jobs that wait, one takes the next batch
/// to the network, its own call or not, and hands out the answers. While it is busy the others gather.
pub(crate) struct Desk<N: Net> {
    net: N,
    /// Most windows at once; falls for good when the device has too little memory.
    most: AtomicUsize,
    /// How long a batch that is not full waits for jobs that are in between two calls.
    patience: Duration,
    state: Mutex<State<N::Encoded>>,
    changed: Condvar,
    pub(crate) counts: Counts,
}

struct State<E> {
    /// Whether somebody is at the network.
    busy: bool,
    /// Jobs that sit at the desk.
    seats: usize,
    next: u64,
    /// In order of arrival.
    waiting: Vec<Entry<E>>,
    answered: Vec<(u64, Reply<E>)>,
}

impl<E> State<E> {
    /// The number of the call from now on.
    fn put(&mut self, mel: Arc<[f32]>, view: Option<View<E>>, call: Call) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push(Entry {
            number,
            mel,
            view,
            call,
        });
        number
    }
}

struct Entry<E> {
    number: u64,
    mel: Arc<[f32]>,
    view: Option<View<E>>,
    call: Call,
}

/// An answer, with the view that it was found in.
type Found<E> = (View<E>, Answer);
type Reply<E> = Result<Found<E>, NetError>;

/// Why there is no answer.
#[derive(Debug, PartialEq)]
pub(crate) enum NoAnswer {
    Stopped(Stop),
    Failed(NetError),
}

/// A job's place: as long as it is held, batches wait a moment for the job's next window.
pub(crate) struct Seat<'a, N: Net>(&'a Desk<N>);

impl<N: Net> Drop for Seat<'_, N> {
    fn drop(&mut self) {
        self.0.state().seats -= 1;
        self.0.changed.notify_all();
    }
}

/// One of a job's windows.
pub(crate) struct Held<E> {
    mel: Arc<[f32]>,
    view: Option<View<E>>,
}

impl<E> Held<E> {
    /// A window of [`crate::WINDOW_FRAMES`] frames, mel by mel.
    pub(crate) fn new(mel: Vec<f32>) -> Self {
        Self {
            mel: mel.into(),
            view: None,
        }
    }
}

impl<N: Net> Desk<N> {
    pub(crate) fn new(net: N, most: usize, patience: Duration) -> Self {
        Self {
            net,
            most: AtomicUsize::new(most.max(1)),
            patience,
            state: Mutex::new(State {
                busy: false,
                seats: 0,
                next: 0,
                waiting: vec![],
                answered: vec![],
            }),
            changed: Condvar::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn net(&self) -> &N {
        &self.net
    }

    pub(crate) fn sit(&self) -> Seat<'_, N> {
        self.state().seats += 1;
        Seat(self)
    }

    fn state(&self) -> MutexGuard<'_, State<N::Encoded>> {
        // What is behind the lock is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<N::Encoded>>, most: Duration) -> MutexGuard<'a, State<N::Encoded>> {
        let waited = self.changed.wait_timeout(state, most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn full(&self, state: &State<N::Encoded>) -> bool {
        state.waiting.len() >= state.seats.min(self.most.load(Ordering::Relaxed))
    }
}

impl<N: Net> Seat<'_, N> {
    /// Asks the network about a window, and keeps its view for the next call. Waits for the batch that is under way, then
    /// for its own; a budget that ends while it waits takes the call back.
    pub(crate) fn ask(&self, held: &mut Held<N::Encoded>, call: Call, budget: &Budget<'_>) -> Result<Answer, NoAnswer> {
        budget.check().map_err(NoAnswer::Stopped)?;
        let desk = self.0;
        let number = desk.state().put(Arc::clone(&held.mel), held.view.take(), call);
        desk.changed.notify_all();
        // Should this thread panic at the network, on another's call maybe. Before the lock, so that it goes after it.
        let _taken_back = TakenBack { desk, number };
        let mut state = desk.state();
        loop {
            if let Some(at) = state.answered.iter().position(|(answered, _)| *answered == number) {
                let (view, answer) = state.answered.swap_remove(at).1.map_err(NoAnswer::Failed)?;
                held.view = Some(view);
                return Ok(answer);
            }
            let waits = state.waiting.iter().position(|entry| entry.number == number);
            if let (Some(at), Err(stop)) = (waits, budget.check()) {
                held.view = state.waiting.remove(at).view;
                return Err(NoAnswer::Stopped(stop));
            }
            state = match (state.busy, waits) {
                (false, _) => desk.serve(state),
                (true, Some(_)) => desk.wait(state, LOOK.min(budget.remaining())),
                (true, None) => desk.wait(state, LOOK), // it is at the network, and will be answered
            };
        }
    }
}

/// Takes a call and its answer off the desk, whatever became of them.
struct TakenBack<'a, N: Net> {
    desk: &'a Desk<N>,
    number: u64,
}

impl<N: Net> Drop for TakenBack<'_, N> {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.waiting.retain(|entry| entry.number != self.number);
        state.answered.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests;
