//! Which of the waiting requests run together, as one call of the backend.

use crate::backend::{Alignment, Generated, PromptShape, Search};

/// One window as the encoder gives it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EncodedWindow<E> {
    pub encoded: E,
    /// Frames of features that were encoded. Windows of different lengths do not fit into one batch.
    pub frames: usize,
}

/// What a job asks about one of its encoded windows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Languages,
    Generate {
        prompt: Vec<u32>,
        shape: PromptShape,
        search: Search,
    },
    Align {
        start: Vec<u32>,
        text: Vec<u32>,
        frames: usize,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Response {
    Languages(Vec<(u32, f32)>),
    Generated(Generated),
    Alignment(Alignment),
}

impl Request {
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

    /// Whether the backend can answer both in one call.
    fn batches_with(&self, other: &Self) -> bool {
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

/// A job's next step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work<E> {
    /// Features of a window, band by band.
    Encode {
        mel: Vec<f32>,
        frames: usize,
    },
    Decode {
        window: EncodedWindow<E>,
        request: Request,
    },
}

impl<E> Work<E> {
    fn is_encode(&self) -> bool {
        matches!(self, Self::Encode { .. })
    }

    fn batches_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Encode { frames, .. }, Self::Encode { frames: other, .. }) => frames == other,
            (
                Self::Decode { window, request },
                Self::Decode {
                    window: other,
                    request: asked,
                },
            ) => window.frames == other.frames && request.batches_with(asked),
            _ => false,
        }
    }
}

/// Most windows of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchMax {
    pub encode: usize,
    pub decode: usize,
}

/// What runs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Places among those that wait, in order.
    pub entries: Vec<usize>,
    /// Whether no further request would fit.
    pub full: bool,
}

/// Chooses the next batch of those that wait, in order of arrival, for one of `idle` replicas.
///
/// Windows are encoded first, until as many wait to be decoded as fit into a batch: an encoded window waits at little cost,
/// and decoding a full batch costs little more than decoding one window. Encoding cannot keep decoding from its turn, as a
/// job waits for one thing at a time. A batch takes no more than its share of what waits, so that no idle replica is left
/// without.
pub(crate) fn choose<E>(waiting: &[&Work<E>], idle: usize, max: BatchMax) -> Option<Batch> {
    let mates = |first: usize| -> Vec<usize> {
        (first..waiting.len())
            .filter(|at| *at == first || waiting[*at].batches_with(waiting[first]))
            .collect()
    };
    let encode = waiting.iter().position(|work| work.is_encode());
    let decodes = || (0..waiting.len()).filter(|at| !waiting[*at].is_encode()).map(mates);
    let (entries, max) = match (encode, decodes().find(|mates| mates.len() >= max.decode)) {
        (_, Some(whole)) => (whole, max.decode),
        (Some(first), None) => (mates(first), max.encode),
        (None, None) => (decodes().next()?, max.decode),
    };
    let share = entries.len().div_ceil(idle.max(1));
    let full = entries.len() >= max;
    let most = if full { max } else { share };
    Some(Batch {
        entries: entries.into_iter().take(most.clamp(1, max.max(1))).collect(),
        full,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: BatchMax = BatchMax { encode: 2, decode: 4 };

    fn encode(frames: usize) -> Work<()> {
        Work::Encode { mel: vec![], frames }
    }

    fn decode(request: Request, frames: usize) -> Work<()> {
        let window = EncodedWindow { encoded: (), frames };
        Work::Decode { window, request }
    }

    fn generate(max_length: usize) -> Work<()> {
        let shape = PromptShape {
            len: 1,
            start: 0,
            without_timestamps: false,
        };
        let search = Search::at(0.0, max_length, &crate::Options::default(), &std::sync::Arc::from([]));
        let request = Request::Generate {
            prompt: vec![1],
            shape,
            search,
        };
        decode(request, 3000)
    }

    fn align(start: u32, frames: usize) -> Work<()> {
        let (start, text) = (vec![start], vec![]);
        decode(Request::Align { start, text, frames: 0 }, frames)
    }

    fn chosen(waiting: &[&Work<()>], idle: usize) -> (Vec<usize>, bool) {
        let batch = choose(waiting, idle, MAX).expect("work waits");
        (batch.entries, batch.full)
    }

    #[test]
    fn no_work_is_no_batch() {
        assert_eq!(choose::<()>(&[], 1, MAX), None);
    }

    #[test]
    fn the_first_takes_those_that_fit_up_to_the_maximum() {
        let (one, other, languages) = (generate(448), generate(100), decode(Request::Languages, 3000));
        let waiting = [&one, &languages, &other, &one, &one];
        assert_eq!(chosen(&waiting, 1), (vec![0, 3, 4], false));
        assert_eq!(chosen(&waiting[1..], 1), (vec![0], false));
        assert_eq!(chosen(&[&one; 6], 1), (vec![0, 1, 2, 3], true));
        let zero = BatchMax { encode: 0, decode: 0 };
        assert_eq!(choose(&[&one, &one], 1, zero).unwrap().entries, [0], "one always runs");
    }

    #[test]
    fn windows_of_other_length_or_start_are_apart() {
        let (one, short, other) = (align(1, 3000), align(1, 1000), align(2, 3000));
        assert_eq!(chosen(&[&one, &short, &other, &one], 1).0, [0, 3]);
        let (long, short) = (encode(3000), encode(1000));
        assert_eq!(chosen(&[&long, &short, &long], 1).0, [0, 2]);
    }

    #[test]
    fn encoding_is_first_until_a_whole_batch_waits_to_be_decoded() {
        let (mel, text) = (encode(3000), generate(448));
        assert_eq!(chosen(&[&text, &text, &text, &mel], 1), (vec![3], false));
        assert_eq!(chosen(&[&text, &mel, &mel, &mel], 1), (vec![1, 2], true));
        assert_eq!(chosen(&[&mel, &text, &text, &text, &text], 1), (vec![1, 2, 3, 4], true));
        let languages = decode(Request::Languages, 3000);
        let waiting = [&languages, &mel, &text, &text, &text, &text];
        assert_eq!(chosen(&waiting, 1), (vec![2, 3, 4, 5], true), "whichever is whole");
    }

    #[test]
    fn idle_replicas_share_what_waits() {
        let text = generate(448);
        assert_eq!(chosen(&[&text; 3], 2), (vec![0, 1], false));
        assert_eq!(chosen(&[&text; 2], 2), (vec![0], false));
        assert_eq!(chosen(&[&text; 1], 2), (vec![0], false));
        assert_eq!(
            chosen(&[&text; 4], 2),
            (vec![0, 1, 2, 3], true),
            "a whole batch stays whole"
        );
    }
}
