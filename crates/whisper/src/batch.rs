//! Which of the waiting calls go to the network together.

use std::sync::Arc;

use crate::net::{Alignment, Generated, Search, Shape};

/// A batch of windows as the encoder sees them. It cannot be cut: it serves all of its windows, or none.
#[derive(Debug)]
pub(crate) struct Group<E> {
    pub encoded: E,
    pub rows: usize,
}

/// One window of a [`Group`].
#[derive(Debug)]
pub(crate) struct View<E> {
    pub group: Arc<Group<E>>,
    pub row: usize,
}

impl<E> Clone for View<E> {
    fn clone(&self) -> Self {
        Self {
            group: Arc::clone(&self.group),
            row: self.row,
        }
    }
}

/// What a job asks about one of its windows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Languages,
    Generate {
        prompt: Vec<u32>,
        shape: Shape,
        search: Search,
    },
    Align {
        start: Vec<u32>,
        text: Vec<u32>,
        frames: usize,
    },
}

/// What the network says to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Languages(Vec<(u32, f32)>),
    Generated(Generated),
    Alignment(Alignment),
}

impl Call {
    pub(crate) fn prompt(&self) -> Option<&[u32]> {
        match self {
            Self::Generate { prompt, .. } => Some(prompt),
            _ => None,
        }
    }

    /// Text and frames to align.
    pub(crate) fn text(&self) -> Option<(&[u32], usize)> {
        match self {
            Self::Align { text, frames, .. } => Some((text, *frames)),
            _ => None,
        }
    }

    /// Whether windows whose mates ask nothing can ride along: text cannot be generated for nobody.
    fn rides_along(&self) -> bool {
        !matches!(self, Self::Generate { .. })
    }

    /// Whether both can go in one batch.
    fn goes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Languages, Self::Languages) => true,
            (
                Self::Generate { shape, search, .. },
                Self::Generate {
                    shape: s, search: t, ..
                },
            ) => shape == s && search == t,
            (Self::Align { start, .. }, Self::Align { start: s, .. }) => start == s,
            _ => false,
        }
    }
}

/// What is known of a waiting call.
pub(crate) struct Waiting<'a, E> {
    pub call: &'a Call,
    pub view: Option<&'a View<E>>,
}

/// The calls that go next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Their places among those that wait; by row when the view serves.
    pub calls: Vec<usize>,
    /// Whether their windows are of one group, whose view serves. Otherwise they are encoded.
    pub encoded: bool,
}

/// Takes the first that waits, and of the others those that go with it, `most` in all. A window that was encoded is encoded
/// again only to generate text when its mates of that time do not.
pub(crate) fn choose<E>(waiting: &[Waiting<'_, E>], most: usize) -> Option<Batch> {
    let first = waiting.first()?;
    let mates = |of: &Waiting<'_, E>| -> Option<Vec<usize>> {
        let group = &of.view?.group;
        let mut mates: Vec<_> = waiting
            .iter()
            .enumerate()
            .filter(|(_, other)| other.call.goes_with(of.call))
            .filter_map(|(at, other)| Some((other.view.filter(|view| Arc::ptr_eq(&view.group, group))?.row, at)))
            .collect();
        mates.sort_unstable();
        let served = of.call.rides_along() || mates.len() == group.rows;
        served.then(|| mates.into_iter().map(|(_, at)| at).collect())
    };
    if let Some(calls) = mates(first) {
        return Some(Batch { calls, encoded: true });
    }
    let calls = waiting
        .iter()
        .enumerate()
        .filter(|(at, other)| *at == 0 || (other.call.goes_with(first.call) && mates(other).is_none()))
        .map(|(at, _)| at)
        .take(most.max(1))
        .collect();
    Some(Batch { calls, encoded: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAR: Call = Call::Languages;

    fn align(start: u32) -> Call {
        let (start, text) = (vec![start], vec![]);
        Call::Align { start, text, frames: 0 }
    }

    fn generate(max_length: usize) -> Call {
        let shape = Shape {
            len: 1,
            start: 0,
            without_timestamps: false,
        };
        let search = Search::at(0.0, max_length, &crate::Options::default(), &Arc::from([]));
        Call::Generate {
            prompt: vec![1],
            shape,
            search,
        }
    }

    fn group(rows: usize) -> Vec<View<()>> {
        let group = Arc::new(Group { encoded: (), rows });
        let view = |row| View {
            group: Arc::clone(&group),
            row,
        };
        (0..rows).map(view).collect()
    }

    fn chosen(waiting: &[(&Call, Option<&View<()>>)], most: usize) -> (Vec<usize>, bool) {
        let waiting: Vec<_> = waiting
            .iter()
            .map(|(call, view)| Waiting { call, view: *view })
            .collect();
        let batch = choose(&waiting, most).expect("somebody waits");
        (batch.calls, batch.encoded)
    }

    #[test]
    fn nobody_waits() {
        assert_eq!(choose::<()>(&[], 8), None);
    }

    #[test]
    fn the_first_takes_along_what_goes_with_it_and_no_more_than_may_go() {
        let (one, other) = (generate(448), generate(100));
        let waiting = [(&one, None), (&HEAR, None), (&other, None), (&one, None), (&one, None)];
        assert_eq!(chosen(&waiting, 8), (vec![0, 3, 4], false));
        assert_eq!(chosen(&waiting, 2), (vec![0, 3], false));
        assert_eq!(chosen(&waiting[1..], 8), (vec![0], false));
        assert_eq!(chosen(&waiting, 0), (vec![0], false), "one goes always");
    }

    #[test]
    fn windows_encoded_together_go_together_by_row_and_alone() {
        let (views, call) = (group(2), generate(448));
        let waiting = [(&call, Some(&views[1])), (&call, None), (&call, Some(&views[0]))];
        assert_eq!(chosen(&waiting, 8), (vec![2, 0], true));
        assert_eq!(chosen(&waiting[..2], 8), (vec![0, 1], false), "without its mate");
        let rotated = [waiting[1], waiting[0], waiting[2]];
        assert_eq!(chosen(&rotated, 8), (vec![0], false), "their view is spared");
    }

    #[test]
    fn what_generates_no_text_needs_no_mates() {
        let (views, one, other) = (group(3), align(1), align(2));
        let waiting = [
            (&one, Some(&views[2])),
            (&other, Some(&views[1])),
            (&one, Some(&views[0])),
            (&one, None),
        ];
        assert_eq!(chosen(&waiting, 8), (vec![2, 0], true));
        assert_eq!(chosen(&waiting[1..], 8), (vec![0], true));
    }

    #[test]
    fn a_window_encoded_alone_is_never_encoded_again() {
        let (alone, call) = (group(1), generate(448));
        assert_eq!(chosen(&[(&call, Some(&alone[0])), (&call, None)], 8), (vec![0], true));
    }
}
