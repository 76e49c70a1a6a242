//! Text that seems invented, beside a silence.
//!
//! Source: the `hallucination_silence_threshold` rules of `generate_segments` of faster-whisper.

use stt_core::Word;

use crate::mel::FRAMES_PER_SECOND;
use crate::split::Window;
use crate::words::Spoken;

/// Words by which a piece is judged.
const WORDS: usize = 8;
/// What is not counted among them.
const PUNCTUATION: &str = "\"'“¿([{-\"'.。,，!！?？:：”)]}、";

/// What becomes of a window's pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    /// All may be invented: go on at this frame, where the silence before them ends.
    Skip(usize),
    /// Those from this one on are invented: go on at this frame.
    Cut {
        from: usize,
        seek: usize,
    },
}

/// Judges the pieces of a window. `threshold`, `last_speech` (where the last word before the window ended) in seconds.
pub(crate) fn judge(
    pieces: &[Spoken],
    window: Window,
    window_frames: usize,
    content_frames: usize,
    threshold: f64,
    last_speech: f64,
) -> Verdict {
    let seconds = |frames: usize| frames as f64 / FRAMES_PER_SECOND as f64;
    let frames = |seconds: f64| (seconds * FRAMES_PER_SECOND as f64).round_ties_even() as usize;
    let offset = seconds(window.seek);
    if let Some(first) = with_words(pieces).filter(|first| is_odd(first)) {
        let gap = first.start - offset;
        if gap > threshold {
            return Verdict::Skip(window.seek + frames(gap));
        }
    }
    let mut last_end = last_speech;
    for (at, piece) in pieces.iter().enumerate() {
        if piece.words.is_empty() {
            continue;
        }
        if is_odd(piece) {
            let next = with_words(&pieces[at + 1..]);
            let next_start = next.map_or(offset + seconds(window.frames), |next| next.words[0].start_sec);
            let silent_before =
                piece.start - last_end > threshold || piece.start < threshold || piece.start - offset < 2.0;
            let silent_after = next_start - piece.end > threshold
                || next.is_some_and(is_odd)
                || offset + seconds(window_frames) - piece.end < 2.0;
            if silent_before && silent_after {
                let seek = if seconds(content_frames) - piece.end < threshold {
                    content_frames
                } else {
                    frames((offset + 1.0).max(piece.start))
                };
                return Verdict::Cut { from: at, seek };
            }
        }
        last_end = piece.end;
    }
    Verdict::Keep
}

fn with_words(pieces: &[Spoken]) -> Option<&Spoken> {
    pieces.iter().find(|piece| !piece.words.is_empty())
}

/// Whether a piece's words are too improbable, too short, too long.
fn is_odd(piece: &Spoken) -> bool {
    if piece.words.is_empty() {
        return false;
    }
    let words: Vec<_> = piece
        .words
        .iter()
        .filter(|word| !PUNCTUATION.contains(&word.text))
        .take(WORDS)
        .collect();
    let score: f64 = words.iter().map(|word| oddity(word)).sum();
    score >= 3.0 || score + 0.01 >= words.len() as f64
}

fn oddity(word: &Word) -> f64 {
    let duration = word.end_sec - word.start_sec;
    let improbable = if word.probability < 0.15 { 1.0 } else { 0.0 };
    improbable + (0.133 - duration).max(0.0) * 15.0 + (duration - 2.0).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        seek: 1000,
        frames: 3000,
    };

    fn piece(start: f64, end: f64, probability: f64) -> Spoken {
        let word = |at: usize| Word {
            start_sec: start + (end - start) * at as f64 / 2.0,
            end_sec: start + (end - start) * (at + 1) as f64 / 2.0,
            text: " word".into(),
            probability,
        };
        Spoken {
            start,
            end,
            words: vec![word(0), word(1)],
            ..Spoken::default()
        }
    }

    fn verdict(pieces: &[Spoken]) -> Verdict {
        judge(pieces, WINDOW, 3000, 6000, 2.0, 10.0)
    }

    #[test]
    fn the_silence_before_what_seems_invented_is_passed() {
        assert_eq!(verdict(&[piece(15.0, 16.0, 0.1)]), Verdict::Skip(1500));
        assert_eq!(verdict(&[piece(15.0, 16.0, 0.9)]), Verdict::Keep);
    }

    #[test]
    fn what_seems_invented_between_silences_goes() {
        let pieces = [piece(10.5, 12.0, 0.9), piece(20.0, 21.0, 0.1), piece(30.0, 31.0, 0.9)];
        assert_eq!(verdict(&pieces), Verdict::Cut { from: 1, seek: 2000 });
        let close = [piece(10.5, 12.0, 0.9), piece(13.0, 14.0, 0.1), piece(30.0, 31.0, 0.9)];
        assert_eq!(verdict(&close), Verdict::Keep, "it follows speech closely");
        let last = [piece(10.5, 12.0, 0.9), piece(58.5, 59.5, 0.1)];
        assert_eq!(
            verdict(&last),
            Verdict::Cut { from: 1, seek: 6000 },
            "nothing is behind it"
        );
    }

    #[test]
    fn words_that_are_too_short_or_too_long_are_odd() {
        assert!(is_odd(&piece(0.0, 0.1, 0.9)));
        assert!(is_odd(&piece(0.0, 8.0, 0.9)));
        assert!(!is_odd(&piece(0.0, 1.0, 0.9)));
        assert!(!is_odd(&Spoken::default()));
    }
}
