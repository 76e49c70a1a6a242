//! A window's tokens to segments, and where the next window begins.

use crate::backend::TIME_PRECISION;

/// Frames (of 10 ms) between two timestamp tokens.
const FRAMES_PER_TIMESTAMP: usize = 2;

/// A window of features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// First frame.
    pub seek: usize,
    /// Number of frames.
    pub frames: usize,
}

/// A piece of a window's tokens with its times in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub start: f64,
    pub end: f64,
    pub tokens: Vec<u32>,
}

/// What a window's tokens come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Split {
    pub pieces: Vec<Piece>,
    /// The frame that the next window begins with.
    pub next: usize,
    /// Whether a single timestamp ends the window, behind which nobody speaks.
    pub single_ending: bool,
}

impl Split {
    /// Ends a window's only piece, and the window with it, after so many frames.
    pub(crate) fn end_after(&mut self, frames: usize, window: Window) {
        if let [piece] = &mut self.pieces[..] {
            piece.end = piece.start.max((window.seek + frames) as f64 * 0.01);
            self.next = window.seek + frames;
            self.single_ending = false;
        }
    }
}

/// Whether a pair of timestamps, other than of zeros, says where the next window begins.
pub(crate) fn has_pair(tokens: &[u32], timestamp_begin: u32) -> bool {
    tokens
        .windows(2)
        .any(|pair| pair[0] >= timestamp_begin && pair[1] > timestamp_begin)
}

/// Splits at each pair of timestamps. Text behind the last pair is not finished: the next window begins there, unless a
/// single timestamp ends the window, behind which nobody speaks. Without a pair the window is one segment.
///
/// Source: `_split_segments_by_timestamps` of faster-whisper.
pub(crate) fn split(tokens: &[u32], timestamp_begin: u32, window: Window) -> Split {
    let offset = window.seek as f64 * 0.01;
    let is_timestamp = |token: &u32| *token >= timestamp_begin;
    // Text where a timestamp should stand counts as the window's beginning, not as a time long before it.
    let position = |token: u32| token.saturating_sub(timestamp_begin);
    let time = |token: u32| offset + f64::from(position(token)) * TIME_PRECISION;
    let whole = window.seek + window.frames;

    let single_ending = match tokens {
        [.., before, last] => !is_timestamp(before) && is_timestamp(last),
        _ => false,
    };
    let mut cuts: Vec<usize> = (1..tokens.len())
        .filter(|at| is_timestamp(&tokens[*at]) && is_timestamp(&tokens[at - 1]))
        .collect();
    if cuts.is_empty() {
        let last = tokens
            .iter()
            .copied()
            .rfind(is_timestamp)
            .filter(|token| *token != timestamp_begin);
        let duration = last.map_or(window.frames as f64 * 0.01, |token| {
            f64::from(position(token)) * TIME_PRECISION
        });
        let piece = Piece {
            start: offset,
            end: offset + duration,
            tokens: tokens.to_vec(),
        };
        return Split {
            pieces: vec![piece],
            next: whole,
            single_ending,
        };
    }
    if single_ending {
        cuts.push(tokens.len());
    }
    let mut pieces = Vec::with_capacity(cuts.len());
    let mut from = 0;
    for to in cuts {
        let cut = &tokens[from..to];
        pieces.push(Piece {
            start: time(cut[0]),
            end: time(cut[cut.len() - 1]),
            tokens: cut.to_vec(),
        });
        from = to;
    }
    // Not beyond what was decoded: a timestamp in the padding is a slip.
    let advanced = (position(tokens[from - 1]) as usize * FRAMES_PER_TIMESTAMP).min(window.frames);
    Split {
        pieces,
        // A pair of zeros would begin the same window again, for ever.
        next: if single_ending || advanced == 0 {
            whole
        } else {
            window.seek + advanced
        },
        single_ending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u32 = 1000;

    fn check(tokens: &[u32], pieces: &[(f64, f64, &[u32])], seek: usize) {
        let window = Window {
            seek: 500,
            frames: 3000,
        };
        let Split {
            pieces: found, next, ..
        } = split(tokens, T, window);
        let found: Vec<_> = found
            .iter()
            .map(|piece| (piece.start, piece.end, piece.tokens.as_slice()))
            .collect();
        assert_eq!((found.as_slice(), next), (pieces, seek), "{tokens:?}");
    }

    #[test]
    fn without_a_pair_the_window_is_one_segment() {
        check(&[], &[(5.0, 35.0, &[])], 3500);
        check(&[T, 1, 2], &[(5.0, 35.0, &[T, 1, 2])], 3500);
        check(&[T, 1, T + 50], &[(5.0, 6.0, &[T, 1, T + 50])], 3500);
    }

    #[test]
    fn an_unfinished_segment_is_left_to_the_next_window() {
        let tokens = [T, 1, T + 50, T + 50, 2, 3];
        check(&tokens, &[(5.0, 6.0, &[T, 1, T + 50])], 600);
    }

    #[test]
    fn behind_a_single_timestamp_at_the_end_nobody_speaks() {
        let tokens = [T, 1, T + 50, T + 60, 2, T + 100];
        check(
            &tokens,
            &[(5.0, 6.0, &[T, 1, T + 50]), (6.2, 7.0, &[T + 60, 2, T + 100])],
            3500,
        );
    }

    #[test]
    fn a_pair_at_the_end_closes_the_last_segment() {
        let tokens = [T, 1, T + 50, T + 60];
        check(&tokens, &[(5.0, 6.0, &[T, 1, T + 50])], 600);
    }

    #[test]
    fn a_window_that_gets_nowhere_is_passed() {
        check(&[T, T, 1], &[(5.0, 5.0, &[T])], 3500);
    }

    #[test]
    fn text_where_a_timestamp_should_stand_begins_with_the_window() {
        check(&[1, T + 50, T + 50, 2], &[(5.0, 6.0, &[1, T + 50])], 600);
    }
}
