//! Jobs that wait for a worker.

use std::collections::VecDeque;

/// Jobs in the order in which they begin. At most `places` are in hand at once, and a suspect only alone.
///
/// A suspect is a job that was in hand when a process ended. Which of those that were in hand ended it is not known, so they
/// are begun one by one, each with nothing else in hand: the next end tells, and the others are cleared.
#[derive(Debug)]
pub struct Line<T> {
    waiting: VecDeque<(T, bool)>,
    places: usize,
    in_hand: usize,
    alone: bool,
}

impl<T> Line<T> {
    /// A line before so many places; at least one.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            places: places.max(1),
            in_hand: 0,
            alone: false,
        }
    }

    /// Puts a job at the end.
    pub fn push(&mut self, job: T, suspect: bool) {
        self.waiting.push_back((job, suspect));
    }

    /// The job that may begin now. It is in hand until [`Line::ended`].
    pub fn take(&mut self) -> Option<T> {
        let suspect = self.waiting.front()?.1;
        let places = if suspect { 1 } else { self.places };
        if self.alone || self.in_hand >= places {
            return None;
        }
        self.in_hand += 1;
        self.alone = suspect;
        self.waiting.pop_front().map(|(job, _)| job)
    }

    /// A job is no longer in hand.
    pub fn ended(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
        self.alone = false; // if it was alone, it was this one
    }

    /// How many are in hand.
    #[must_use]
    pub fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the waiting jobs out that are no longer to begin here.
    pub fn extract(&mut self, is_out: impl Fn(&T) -> bool) -> Vec<T> {
        let (out, waiting): (VecDeque<_>, VecDeque<_>) = self.waiting.drain(..).partition(|(job, _)| is_out(job));
        self.waiting = waiting;
        out.into_iter().map(|(job, _)| job).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(line: &mut Line<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| line.take()).collect()
    }

    #[test]
    fn a_suspect_waits_until_nothing_is_in_hand_and_lets_nobody_in() {
        let mut line = Line::new(2);
        for (job, suspect) in [
            ("a", false),
            ("b", true),
            ("c", true),
            ("d", false),
            ("e", false),
            ("f", false),
        ] {
            line.push(job, suspect);
        }
        assert_eq!(take_all(&mut line), ["a"]);
        line.ended();
        assert_eq!(take_all(&mut line), ["b"]);
        line.ended();
        assert_eq!(take_all(&mut line), ["c"]);
        line.ended();
        assert_eq!(take_all(&mut line), ["d", "e"]);
        assert_eq!((line.in_hand(), line.waiting()), (2, 1));
        assert_eq!(line.extract(|job| *job == "f"), ["f"]);
        line.ended();
        assert_eq!(take_all(&mut line), [""; 0]);
    }
}
