//! Records that wait for their time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A heap of values by due time; equal times come out in the order they went in.
#[derive(Debug)]
pub struct Delays<T> {
    heap: BinaryHeap<Reverse<Waiting<T>>>,
    count: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    due: Instant,
    number: u64,
    value: T,
}

impl<T> Default for Delays<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            count: 0,
        }
    }
}

impl<T> Delays<T> {
    /// Puts a value in, to come out at `due`.
    pub fn push(&mut self, due: Instant, value: T) {
        self.heap.push(Reverse(Waiting {
            due,
            number: self.count,
            value,
        }));
        self.count += 1;
    }

    /// The next value whose time has come.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        (self.next_due()? <= now).then(|| self.heap.pop().expect("peeked").0.value)
    }

    /// When the next value is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(waiting)| waiting.due)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Takes the values out that no longer matter here.
    pub fn extract(&mut self, is_out: impl Fn(&T) -> bool) -> Vec<T> {
        let all = std::mem::take(&mut self.heap).into_vec();
        let (out, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|Reverse(waiting)| is_out(&waiting.value));
        self.heap = kept.into();
        out.into_iter().map(|Reverse(waiting)| waiting.value).collect()
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.number) == (other.due, other.number)
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn values_come_out_when_due_and_not_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut delays = Delays::default();
        delays.push(at(20), "late");
        delays.push(at(10), "early");
        delays.push(at(20), "later");
        assert_eq!((delays.pop(at(9)), delays.next_due()), (None, Some(at(10))));
        assert_eq!(delays.pop(at(30)), Some("early"));
        assert_eq!(delays.extract(|value| *value == "nobody"), [""; 0]);
        delays.push(at(1), "nobody");
        assert_eq!(delays.extract(|value| *value == "nobody"), ["nobody"]);
        assert_eq!(
            (delays.pop(at(30)), delays.pop(at(30)), delays.pop(at(30))),
            (Some("late"), Some("later"), None)
        );
    }
}
