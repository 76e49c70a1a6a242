//! Shares one backend among the jobs of a process: requests that wait at the same time run as one batch.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stt_core::{Budget, Stop};

use crate::backend::{Backend, BackendError};
use crate::batch::{self, BatchMax, EncodedWindow, Request, Response, Work};
use crate::counts::Counts;

/// Interval at which a waiting job checks its budget.
const BUDGET_CHECK: Duration = Duration::from_millis(50);

/// What the scheduler may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Calls of the backend at the same time.
    pub replicas: usize,
    /// Threads of all calls together.
    pub threads: usize,
    pub batch: BatchMax,
    /// How long a batch that is not full waits for jobs that are between two requests.
    pub batch_wait: Duration,
}

/// A backend and the requests that wait for it. It has no thread of its own: while a job waits for its request, its thread runs
/// whatever batch is next, whenever a replica is idle.
pub(crate) struct BatchScheduler<B: Backend> {
    backend: B,
    replicas: usize,
    threads: usize,
    batch_wait: Duration,
    /// Most windows of a call; they fall for good when the device runs out of memory.
    encode_max: AtomicUsize,
    decode_max: AtomicUsize,
    state: Mutex<State<B::Encoded>>,
    changed: Condvar,
    pub(crate) counts: Counts,
}

struct State<E> {
    /// Calls of the backend that run.
    running: usize,
    /// Requests in them.
    in_calls: usize,
    clients: usize,
    next: u64,
    /// In order of arrival.
    waiting: Vec<Entry<E>>,
    done: Vec<(u64, Reply<E>)>,
}

struct Entry<E> {
    number: u64,
    since: Instant,
    work: Work<E>,
}

enum Done<E> {
    Encoded(EncodedWindow<E>),
    Decoded(Response),
}

type Reply<E> = Result<Done<E>, BackendError>;

/// Why a request has no response.
#[derive(Debug, PartialEq)]
pub(crate) enum SubmitError {
    Stopped(Stop),
    Failed(BackendError),
}

/// A job's access to the scheduler. While it exists, batches wait up to [`Limits::batch_wait`] for the job's next request.
pub(crate) struct SchedulerClient<'a, B: Backend>(&'a BatchScheduler<B>);

impl<B: Backend> Drop for SchedulerClient<'_, B> {
    fn drop(&mut self) {
        self.0.state().clients -= 1;
        self.0.changed.notify_all();
    }
}

impl<B: Backend> BatchScheduler<B> {
    pub(crate) fn new(backend: B, limits: Limits) -> Self {
        Self {
            backend,
            replicas: limits.replicas.max(1),
            threads: limits.threads.max(1),
            batch_wait: limits.batch_wait,
            encode_max: AtomicUsize::new(limits.batch.encode.max(1)),
            decode_max: AtomicUsize::new(limits.batch.decode.max(1)),
            state: Mutex::new(State {
                running: 0,
                in_calls: 0,
                clients: 0,
                next: 0,
                waiting: vec![],
                done: vec![],
            }),
            changed: Condvar::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    pub(crate) fn client(&self) -> SchedulerClient<'_, B> {
        self.state().clients += 1;
        SchedulerClient(self)
    }

    fn state(&self) -> MutexGuard<'_, State<B::Encoded>> {
        // The state is consistent between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<B::Encoded>>, most: Duration) -> MutexGuard<'a, State<B::Encoded>> {
        let waited = self.changed.wait_timeout(state, most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn batch_max(&self) -> BatchMax {
        BatchMax {
            encode: self.encode_max.load(Ordering::Relaxed),
            decode: self.decode_max.load(Ordering::Relaxed),
        }
    }

    /// The next batch, or how long to wait for it.
    fn next(&self, state: &State<B::Encoded>) -> Result<Vec<usize>, Duration> {
        let idle = self.replicas.saturating_sub(state.running);
        if idle == 0 {
            return Err(BUDGET_CHECK);
        }
        let waiting: Vec<_> = state.waiting.iter().map(|entry| &entry.work).collect();
        let Some(batch) = batch::choose(&waiting, idle, self.batch_max()) else {
            return Err(BUDGET_CHECK);
        };
        let between_requests = state.clients.saturating_sub(waiting.len() + state.in_calls);
        let waited = batch.entries.iter().map(|at| state.waiting[*at].since.elapsed()).max();
        let left = self.batch_wait.saturating_sub(waited.unwrap_or_default());
        if batch.full || between_requests == 0 || left.is_zero() {
            Ok(batch.entries)
        } else {
            Err(left)
        }
    }
}

impl<B: Backend> SchedulerClient<'_, B> {
    /// Encodes a window of so many frames, band by band.
    pub(crate) fn encode(
        &self,
        mel: Vec<f32>,
        frames: usize,
        budget: &Budget<'_>,
    ) -> Result<EncodedWindow<B::Encoded>, SubmitError> {
        match self.run(Work::Encode { mel, frames }, budget)? {
            Done::Encoded(window) => Ok(window),
            Done::Decoded(_) => unreachable!("encoding gives a window"),
        }
    }

    /// Asks the decoder about a window.
    pub(crate) fn decode(
        &self,
        window: &EncodedWindow<B::Encoded>,
        request: Request,
        budget: &Budget<'_>,
    ) -> Result<Response, SubmitError> {
        let window = window.clone();
        match self.run(Work::Decode { window, request }, budget)? {
            Done::Decoded(response) => Ok(response),
            Done::Encoded(_) => unreachable!("a request gives a response"),
        }
    }

    /// Waits for the work to be done; a budget that ends before the work is in a call takes it back.
    fn run(&self, work: Work<B::Encoded>, budget: &Budget<'_>) -> Result<Done<B::Encoded>, SubmitError> {
        budget.check().map_err(SubmitError::Stopped)?;
        let scheduler = self.0;
        let mut state = scheduler.state();
        let number = state.next;
        state.next += 1;
        let since = Instant::now();
        state.waiting.push(Entry { number, since, work });
        drop(state);
        scheduler.changed.notify_all();
        // Declared before the lock, so that it is dropped after it.
        let _withdrawal = Withdrawal { scheduler, number };
        let mut state = scheduler.state();
        loop {
            if let Some(at) = state.done.iter().position(|(done, _)| *done == number) {
                return state.done.swap_remove(at).1.map_err(SubmitError::Failed);
            }
            // A thread runs batches only while its own work waits: once that is in another thread's call, its result comes soon,
            // and whatever waits then has a thread of its own.
            state = if state.waiting.iter().any(|entry| entry.number == number) {
                budget.check().map_err(SubmitError::Stopped)?;
                match scheduler.next(&state) {
                    Ok(batch) => scheduler.run_batch(state, &batch),
                    Err(wait) => scheduler.wait(state, wait.min(BUDGET_CHECK).min(budget.remaining())),
                }
            } else {
                scheduler.wait(state, BUDGET_CHECK)
            };
        }
    }
}

/// Removes the request and its result when its job leaves, also by a panic inside the backend, which may be in a call for other
/// jobs.
struct Withdrawal<'a, B: Backend> {
    scheduler: &'a BatchScheduler<B>,
    number: u64,
}

impl<B: Backend> Drop for Withdrawal<'_, B> {
    fn drop(&mut self) {
        let mut state = self.scheduler.state();
        state.waiting.retain(|entry| entry.number != self.number);
        state.done.retain(|(number, _)| *number != self.number);
    }
}

impl<B: Backend> BatchScheduler<B> {
    /// Runs a batch, without the lock.
    fn run_batch<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<B::Encoded>>,
        batch: &[usize],
    ) -> MutexGuard<'a, State<B::Encoded>> {
        let mut rest: Vec<Option<Entry<_>>> = std::mem::take(&mut state.waiting).into_iter().map(Some).collect();
        let entries: Vec<Entry<_>> = batch.iter().filter_map(|at| rest[*at].take()).collect();
        state.waiting = rest.into_iter().flatten().collect();
        state.running += 1;
        state.in_calls += entries.len();
        let threads = self.threads / self.replicas.min(state.clients.max(1));
        drop(state);
        self.changed.notify_all(); // what is left may be a batch for another replica
        let mut call = RunningCall {
            scheduler: self,
            numbers: entries.iter().map(|entry| entry.number).collect(),
            replies: vec![],
        };
        let work: Vec<_> = entries.iter().map(|entry| &entry.work).collect();
        call.replies = self.reply(&work, threads.max(1));
        drop(call);
        self.state()
    }

    /// The replies to a batch. When it fails, each request is tried alone, so that none fails for another; when the device has too
    /// little memory for it, in halves.
    fn reply(&self, work: &[&Work<B::Encoded>], threads: usize) -> Vec<Reply<B::Encoded>> {
        let rows = work.len();
        let error = match self.call(work, threads) {
            Ok(replies) if replies.len() == rows => return replies.into_iter().map(Ok).collect(),
            Ok(replies) => BackendError(format!("{} results for {rows} windows", replies.len())),
            Err(error) => error,
        };
        if rows == 1 {
            return vec![Err(error)];
        }
        let part = if error.is_out_of_memory() {
            let max = match work[0] {
                Work::Encode { .. } => &self.encode_max,
                Work::Decode { .. } => &self.decode_max,
            };
            let max = max.fetch_min(rows / 2, Ordering::Relaxed).min(rows / 2);
            log::warn!("a batch of {rows} windows does not fit into memory ({error}); the maximum is now {max}");
            (rows / 2).max(1)
        } else {
            log::warn!("a batch of {rows} windows failed ({error}); each is tried alone");
            1
        };
        self.counts.batches_failed.add(1);
        work.chunks(part).flat_map(|part| self.reply(part, threads)).collect()
    }

    /// One call of the backend.
    fn call(&self, work: &[&Work<B::Encoded>], threads: usize) -> Result<Vec<Done<B::Encoded>>, BackendError> {
        if let Work::Encode { frames, .. } = *work[0] {
            let mels: Vec<&[f32]> = work
                .iter()
                .filter_map(|work| match work {
                    Work::Encode { mel, .. } => Some(mel.as_slice()),
                    Work::Decode { .. } => None,
                })
                .collect();
            let encoded = self.backend.encode(&mels, threads)?;
            self.counts.encoded.add(mels.len());
            let window = |encoded| Done::Encoded(EncodedWindow { encoded, frames });
            return Ok(encoded.into_iter().map(window).collect());
        }
        let (windows, requests): (Vec<_>, Vec<_>) = work
            .iter()
            .filter_map(|work| match work {
                Work::Decode { window, request } => Some((&window.encoded, request)),
                Work::Encode { .. } => None,
            })
            .unzip();
        let responses = self.decode(&windows, &requests, threads)?;
        Ok(responses.into_iter().map(Done::Decoded).collect())
    }

    fn decode(
        &self,
        windows: &[&B::Encoded],
        requests: &[&Request],
        threads: usize,
    ) -> Result<Vec<Response>, BackendError> {
        let (backend, counts) = (&self.backend, &self.counts);
        Ok(match requests[0] {
            Request::Languages => {
                let found = backend.languages(windows, threads)?;
                found.into_iter().map(Response::Languages).collect()
            }
            Request::Generate { search, .. } => {
                let prompts: Vec<&[u32]> = requests.iter().filter_map(|request| request.prompt()).collect();
                let found = backend.generate(windows, &prompts, search, threads)?;
                counts.batches.add(1);
                counts.generated.add(prompts.len());
                counts.steps.add(found.iter().map(|row| row.tokens.len() + 1).sum());
                found.into_iter().map(Response::Generated).collect()
            }
            Request::Align { start, .. } => {
                let (texts, mut frames): (Vec<_>, Vec<_>) =
                    requests.iter().filter_map(|request| request.text()).unzip();
                differ(&texts, &mut frames);
                let found = backend.align(windows, start, &texts, &frames, threads)?;
                counts.aligned.add(requests.len());
                found.into_iter().map(Response::Alignment).collect()
            }
        })
    }
}

/// Makes the windows differ in length where their texts do. CTranslate2 takes the padding of shorter texts for text when
/// all windows have the same number of frames (`WhisperReplica::align`), so a word's time would depend on the batch. The first
/// window gives its last step of 0.02 s.
fn differ(texts: &[&[u32]], frames: &mut [usize]) {
    let same = |pair: &[usize]| pair[0] / 2 == pair[1] / 2; // as the encoder halves them
    if frames.windows(2).all(same) && texts.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        // Of less than two steps nothing would be left.
        if frames[0] >= 4 {
            frames[0] -= 2;
        }
    }
}

/// A call under way. Its end, also by a panic, gives each of its requests a reply and the replica back.
struct RunningCall<'a, B: Backend> {
    scheduler: &'a BatchScheduler<B>,
    numbers: Vec<u64>,
    replies: Vec<Reply<B::Encoded>>,
}

impl<B: Backend> Drop for RunningCall<'_, B> {
    fn drop(&mut self) {
        let panicked = || Err(BackendError("the engine panicked".to_owned()));
        let replies = std::mem::take(&mut self.replies)
            .into_iter()
            .chain(std::iter::repeat_with(panicked));
        let mut state = self.scheduler.state();
        state.running -= 1;
        state.in_calls -= self.numbers.len();
        state.done.extend(self.numbers.drain(..).zip(replies));
        drop(state);
        self.scheduler.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
