//! Where jobs bring their windows, and one of them takes a batch to the network.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stt_core::{Budget, Stop};

use crate::batch::{self, Answer, Batch, Call, Group, View, Waiting};
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

impl<N: Net> Desk<N> {
    /// Takes the next batch to the network, with the lock let go.
    fn serve<'a>(&'a self, state: MutexGuard<'a, State<N::Encoded>>) -> MutexGuard<'a, State<N::Encoded>> {
        let mut leaving = Leaving {
            desk: self,
            numbers: vec![],
            replies: vec![],
        };
        let mut state = state; // let go before it leaves, whatever happens
        state.busy = true;
        let began = Instant::now();
        while !self.full(&state) {
            let left = self.patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        let (entries, encoded) = take(&mut state.waiting, self.most.load(Ordering::Relaxed));
        drop(state);
        leaving.numbers = entries.iter().map(|entry| entry.number).collect();
        leaving.replies = self.answer(&entries, encoded);
        drop(leaving);
        self.state()
    }

    /// Answers of a batch. When it fails, each of its calls is tried alone, so that none fails for another; when it was too
    /// large for the memory, in halves.
    fn answer(&self, entries: &[Entry<N::Encoded>], encoded: bool) -> Vec<Reply<N::Encoded>> {
        // A view computes all of its windows, also those that ask nothing.
        let known = entries.first().and_then(|entry| entry.view.as_ref());
        let rows = known.filter(|_| encoded).map_or(entries.len(), |view| view.group.rows);
        let error = match self.call(entries, encoded) {
            Ok(answers) => return answers.into_iter().map(Ok).collect(),
            Err(error) if rows == 1 => return vec![Err(error)],
            Err(error) => error,
        };
        let share = if error.is_out_of_memory() {
            (entries.len() / 2).max(1)
        } else {
            1
        };
        if error.is_out_of_memory() {
            let most = self.most.fetch_min(rows / 2, Ordering::Relaxed).min(rows / 2);
            log::warn!("{rows} windows at once are too many for the memory: {error}; at most {most} from now on");
        } else {
            log::warn!("{rows} windows at once failed, now each alone: {error}");
        }
        self.counts.batches_failed.add(1);
        entries
            .chunks(share)
            .flat_map(|entries| self.answer(entries, false))
            .collect()
    }

    fn call(&self, entries: &[Entry<N::Encoded>], encoded: bool) -> Result<Vec<Found<N::Encoded>>, NetError> {
        let known = entries
            .iter()
            .map(|entry| entry.view.clone())
            .collect::<Option<Vec<_>>>();
        let views = match known.filter(|_| encoded) {
            Some(views) => views,
            None => self.encode(entries)?,
        };
        let group = Arc::clone(&views[0].group);
        let mut answers = self
            .ask(&group, &views, entries)?
            .into_iter()
            .map(Some)
            .collect::<Vec<_>>();
        if answers.len() != group.rows {
            return Err(NetError(format!(
                "{} answers for {} windows",
                answers.len(),
                group.rows
            )));
        }
        Ok(views
            .into_iter()
            .filter_map(|view| answers[view.row].take().map(|answer| (view, answer)))
            .collect())
    }

    fn encode(&self, entries: &[Entry<N::Encoded>]) -> Result<Vec<View<N::Encoded>>, NetError> {
        let windows: Vec<_> = entries.iter().map(|entry| &*entry.mel).collect();
        let encoded = self.net.encode(&windows)?;
        let rows = windows.len();
        self.counts.encoded.add(rows);
        let group = Arc::new(Group { encoded, rows });
        let view = |row| View {
            group: Arc::clone(&group),
            row,
        };
        Ok((0..rows).map(view).collect())
    }

    /// An answer for each row of the group; `views` are those of the entries.
    fn ask(
        &self,
        group: &Group<N::Encoded>,
        views: &[View<N::Encoded>],
        entries: &[Entry<N::Encoded>],
    ) -> Result<Vec<Answer>, NetError> {
        let (net, view) = (&self.net, &group.encoded);
        Ok(match &entries[0].call {
            Call::Languages => net.languages(view)?.into_iter().map(Answer::Languages).collect(),
            Call::Generate { search, .. } => {
                let prompts: Vec<&[u32]> = entries.iter().filter_map(|entry| entry.call.prompt()).collect();
                let found = net.generate(view, &prompts, search)?;
                self.counts.batches.add(1);
                self.counts.generated.add(prompts.len());
                found.into_iter().map(Answer::Generated).collect()
            }
            Call::Align { start, frames, .. } => {
                // Rows that ask nothing have no text.
                let (mut texts, mut frames) = (vec![&[][..]; group.rows], vec![*frames; group.rows]);
                for (view, entry) in views.iter().zip(entries) {
                    (texts[view.row], frames[view.row]) = entry.call.text().unwrap_or_default();
                }
                unlike(&texts, &mut frames);
                net.align(view, start, &texts, &frames)?
                    .into_iter()
                    .map(Answer::Alignment)
                    .collect()
            }
        })
    }
}

/// Makes the windows differ in length where their texts do. CTranslate2 takes the padding of shorter texts for text when
/// all windows have the same number of frames (`WhisperReplica::align`), so a word's time would depend on the batch. A row
/// without text gives its last step of 0.02 s, or else the first.
fn unlike(texts: &[&[u32]], frames: &mut [usize]) {
    let same = |pair: &[usize]| pair[0] == pair[1];
    if frames.windows(2).all(same) && texts.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        let spare = texts.iter().position(|text| text.is_empty()).unwrap_or(0);
        frames[spare] = frames[spare].saturating_sub(2);
    }
}

/// The calls that go next, taken out of those that wait.
fn take<E>(waiting: &mut Vec<Entry<E>>, most: usize) -> (Vec<Entry<E>>, bool) {
    let known: Vec<_> = waiting
        .iter()
        .map(|Entry { call, view, .. }| Waiting {
            call,
            view: view.as_ref(),
        })
        .collect();
    let Some(Batch { calls, encoded }) = batch::choose(&known, most) else {
        return (vec![], false);
    };
    let mut rest: Vec<Option<Entry<E>>> = std::mem::take(waiting).into_iter().map(Some).collect();
    let taken = calls.iter().filter_map(|at| rest[*at].take()).collect();
    *waiting = rest.into_iter().flatten().collect();
    (taken, encoded)
}

/// Back from the network, also when it panicked: then those who wait for it fail, and the next is served.
struct Leaving<'a, N: Net> {
    desk: &'a Desk<N>,
    numbers: Vec<u64>,
    replies: Vec<Reply<N::Encoded>>,
}

impl<N: Net> Drop for Leaving<'_, N> {
    fn drop(&mut self) {
        let broken = || Err(NetError("the engine broke down".to_owned()));
        let replies = std::mem::take(&mut self.replies)
            .into_iter()
            .chain(std::iter::repeat_with(broken));
        let mut state = self.desk.state();
        state.answered.extend(self.numbers.drain(..).zip(replies));
        state.busy = false;
        drop(state);
        self.desk.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
