//! A batch on its way to the network and back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use super::{Desk, Entry, Found, Reply, State};
use crate::batch::{self, Answer, Batch, Call, Group, View, Waiting};
use crate::net::{Net, NetError};

impl<N: Net> Desk<N> {
    /// Takes the next batch to the network, with the lock let go.
    pub(super) fn serve<'a>(&'a self, state: MutexGuard<'a, State<N::Encoded>>) -> MutexGuard<'a, State<N::Encoded>> {
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
                self.counts
                    .steps
                    .add(found.iter().map(|row| row.tokens.len() + 1).sum());
                found.into_iter().map(Answer::Generated).collect()
            }
            Call::Align { start, frames, .. } => {
                self.counts.aligned.add(entries.len());
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
pub(super) fn unlike(texts: &[&[u32]], frames: &mut [usize]) {
    let same = |pair: &[usize]| pair[0] / 2 == pair[1] / 2; // as the encoder halves them
    if frames.windows(2).all(same) && texts.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        let spare = texts.iter().position(|text| text.is_empty()).unwrap_or(0);
        // Of less than two steps nothing would be left.
        if frames[spare] >= 4 {
            frames[spare] -= 2;
        }
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
