//! When each word of a window is spoken.
//!
//! Source: `find_alignment`, `add_word_timestamps` and `merge_punctuations` of faster-whisper.

use stt_core::Word;

use crate::backend::Alignment;
use crate::options::Options;
use crate::split::Piece;

/// Timestamp steps a second.
const STEPS_PER_SECOND: f64 = 50.0;
/// What may stand at the end of a sentence.
const SENTENCE_ENDS: &str = ".。!！?？";
/// A word is not taken to be longer than this, in seconds, when long ones are cut.
const MEDIAN_MAX: f64 = 0.7;

/// A word with its tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Token {
    pub text: String,
    pub len: usize,
}

/// A word in time, in seconds from the beginning of the window.
#[derive(Clone, Debug, PartialEq)]
struct Timing {
    text: String,
    /// Number of tokens.
    len: usize,
    start: f64,
    end: f64,
    probability: f64,
}

/// A piece of a window with its words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spoken {
    pub start: f64,
    pub end: f64,
    pub tokens: Vec<u32>,
    pub words: Vec<Word>,
}

impl From<Piece> for Spoken {
    fn from(piece: Piece) -> Self {
        Self {
            start: piece.start,
            end: piece.end,
            tokens: piece.tokens,
            words: vec![],
        }
    }
}

/// The end of the last word of all; of the last piece, when there are no words.
pub(crate) fn end(pieces: &[Spoken]) -> Option<f64> {
    let last = pieces.iter().rev().find_map(|piece| piece.words.last());
    last.map(|word| word.end_sec)
        .or_else(|| pieces.last().map(|piece| piece.end))
}

/// The last word: when it begins, in seconds from the beginning of the window, and its number of tokens.
pub(crate) fn last(split: Vec<Token>, alignment: &Alignment) -> Option<(f64, usize)> {
    let words = split.len();
    let timings = time(split, alignment);
    // An alignment that ends early does not tell about the last word.
    let last = timings.last().filter(|_| timings.len() == words)?;
    Some((last.start, last.len))
}

/// Gives pieces their words, and the times of their first and last words. `split`: the words of all pieces' text in order;
/// `offset`: where the window begins, `last_speech`: where the last word before it ended, both in seconds.
pub(crate) fn place(
    pieces: &mut [Spoken],
    split: Vec<Token>,
    alignment: &Alignment,
    text_lens: &[usize],
    options: &Options,
    offset: f64,
    mut last_speech: f64,
) {
    let mut timings = time(split, alignment);
    let durations = timings
        .iter()
        .map(|word| word.end - word.start)
        .filter(|duration| *duration != 0.0);
    let median = median(durations.collect()).min(MEDIAN_MAX);
    let longest = median * 2.0;
    if median > 0.0 {
        cut_at_sentence_ends(&mut timings, longest);
    }
    merge_punctuation(
        &mut timings,
        &options.prepend_punctuations,
        &options.append_punctuations,
    );

    let mut timings = timings.into_iter();
    for (piece, text_len) in pieces.iter_mut().zip(text_lens) {
        let mut taken = 0;
        while taken < *text_len {
            let Some(timing) = timings.next() else { break };
            taken += timing.len;
            if !timing.text.is_empty() {
                piece.words.push(Word {
                    start_sec: round(offset + timing.start),
                    end_sec: round(offset + timing.end),
                    text: timing.text,
                    probability: timing.probability,
                });
            }
        }
        fit(piece, median, longest, last_speech);
        if !piece.words.is_empty() {
            last_speech = piece.end;
        }
    }
}

/// Each word's time and probability; none when the alignment is too short to tell.
fn time(split: Vec<Token>, alignment: &Alignment) -> Vec<Timing> {
    // The step at which each token begins: where the path comes to it.
    let mut jumps: Vec<f64> = Vec::with_capacity(alignment.probabilities.len() + 1);
    let mut before = None;
    for (token, step) in &alignment.path {
        if before != Some(*token) {
            jumps.push(*step as f64 / STEPS_PER_SECOND);
        }
        before = Some(*token);
    }
    let mut at = 0;
    let mut timings = Vec::with_capacity(split.len());
    for Token { text, len } in split {
        let (from, to) = (at, at + len);
        at = to;
        let (Some(start), Some(end)) = (jumps.get(from), jumps.get(to)) else {
            break;
        };
        let probabilities = alignment.probabilities.get(from..to).unwrap_or_default();
        let sum: f64 = probabilities.iter().map(|probability| f64::from(*probability)).sum();
        timings.push(Timing {
            text,
            len,
            start: *start,
            end: *end,
            probability: sum / probabilities.len().max(1) as f64,
        });
    }
    timings
}

/// 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => 0.0,
        (half, 0) => f64::midpoint(values[half - 1], values[half]),
        (half, _) => values[half],
    }
}

/// A pause at the end of a sentence belongs to no word.
fn cut_at_sentence_ends(timings: &mut [Timing], longest: f64) {
    for at in 1..timings.len() {
        let ends = |timing: &Timing| SENTENCE_ENDS.contains(&timing.text);
        if timings[at].end - timings[at].start <= longest {
            continue;
        }
        if ends(&timings[at]) {
            timings[at].end = timings[at].start + longest;
        } else if ends(&timings[at - 1]) {
            timings[at].start = timings[at].end - longest;
        }
    }
}

/// Opening punctuation joins the word behind it, closing the one before; the empty places stay.
fn merge_punctuation(timings: &mut [Timing], prepended: &str, appended: &str) {
    let mut following = timings.len().saturating_sub(1);
    for at in (0..following).rev() {
        let text = &timings[at].text;
        if text.starts_with(' ') && prepended.contains(text.trim()) {
            let (text, len) = take(&mut timings[at]);
            timings[following].text.insert_str(0, &text);
            timings[following].len += len;
        } else {
            following = at;
        }
    }
    let mut previous = 0;
    for at in 1..timings.len() {
        if !timings[previous].text.ends_with(' ') && appended.contains(&*timings[at].text) {
            let (text, len) = take(&mut timings[at]);
            timings[previous].text.push_str(&text);
            timings[previous].len += len;
        } else {
            previous = at;
        }
    }
}

fn take(timing: &mut Timing) -> (String, usize) {
    (std::mem::take(&mut timing.text), std::mem::take(&mut timing.len))
}

/// Lets a piece begin and end with its words, but not with a pause that its first or last word was given.
fn fit(piece: &mut Spoken, median: f64, longest: f64, last_speech: f64) {
    let words = &mut piece.words;
    let Some(first) = words.first().cloned() else {
        return;
    };
    let second = words.get(1).cloned();
    let duration = |word: &Word| word.end_sec - word.start_sec;
    let both_long = second
        .as_ref()
        .is_some_and(|second| second.end_sec - first.start_sec > longest * 2.0);
    if first.end_sec - last_speech > median * 4.0 && (duration(&first) > longest || both_long) {
        if let Some(second) = second.filter(|second| duration(second) > longest) {
            let boundary = (second.end_sec / 2.0).max(second.end_sec - longest);
            words[0].end_sec = boundary;
            words[1].start_sec = boundary;
        }
        words[0].start_sec = (words[0].end_sec - longest).max(0.0);
    }
    if piece.start < words[0].end_sec && piece.start - 0.5 > words[0].start_sec {
        words[0].start_sec = (words[0].end_sec - median).min(piece.start).max(0.0);
    } else {
        piece.start = words[0].start_sec;
    }
    let last = words.len() - 1;
    if piece.end > words[last].start_sec && piece.end + 0.5 < words[last].end_sec {
        words[last].end_sec = (words[last].start_sec + median).max(piece.end);
    } else {
        piece.end = words[last].end_sec;
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 100.0).round_ties_even() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(text: &str, start: f64, end: f64) -> Timing {
        let text = text.to_owned();
        Timing {
            text,
            len: 1,
            start,
            end,
            probability: 1.0,
        }
    }

    fn texts(timings: &[Timing]) -> Vec<(&str, usize)> {
        timings
            .iter()
            .map(|timing| (timing.text.as_str(), timing.len))
            .collect()
    }

    fn token(text: &str, len: usize) -> Token {
        Token {
            text: text.to_owned(),
            len,
        }
    }

    #[test]
    fn an_alignment_that_is_too_short_gives_no_words() {
        assert_eq!(time(vec![token(" a", 1)], &Alignment::default()), []);
        let path = vec![(0, 0), (0, 1)];
        let alignment = Alignment {
            path,
            probabilities: vec![0.5],
        };
        assert_eq!(
            time(vec![token(" a", 1)], &alignment),
            [],
            "the end of the token is not in it"
        );
        let mut pieces = [Spoken {
            start: 1.0,
            end: 2.0,
            ..Spoken::default()
        }];
        place(
            &mut pieces,
            vec![token(" a", 1)],
            &alignment,
            &[1],
            &Options::default(),
            0.0,
            0.0,
        );
        assert_eq!((pieces[0].start, pieces[0].end, pieces[0].words.len()), (1.0, 2.0, 0));
        assert_eq!((end(&pieces), end(&[])), (Some(2.0), None));
    }

    #[test]
    fn a_word_lasts_from_its_first_token_to_the_next_words() {
        let path = vec![(0, 5), (0, 6), (1, 10), (2, 20), (2, 25), (3, 50)];
        let alignment = Alignment {
            path,
            probabilities: vec![0.5, 1.0, 0.2],
        };
        let found = time(vec![token(" a", 2), token(" b", 1)], &alignment);
        let found: Vec<_> = found
            .iter()
            .map(|word| (word.start, word.end, word.probability))
            .collect();
        assert_eq!(found[0], (0.1, 0.4, 0.75));
        assert_eq!((found[1].0, found[1].1), (0.4, 1.0));
    }

    #[test]
    fn punctuation_clings_to_its_word() {
        let mut timings =
            [" \"", "Check", "\"", " (", " [", "the", "]", ",", " photo", "."].map(|text| timing(text, 0.0, 0.0));
        let options = Options::default();
        merge_punctuation(
            &mut timings,
            &options.prepend_punctuations,
            &options.append_punctuations,
        );
        let words: Vec<_> = texts(&timings)
            .into_iter()
            .filter(|(text, _)| !text.is_empty())
            .collect();
        assert_eq!(words, [(" \"Check\"", 3), (" ( [the],", 5), (" photo.", 2)]);
    }

    #[test]
    fn a_pause_at_the_end_of_a_sentence_belongs_to_no_word() {
        let mut timings = [
            timing(" a", 0.0, 0.2),
            timing(".", 0.2, 3.0),
            timing(" b", 3.0, 6.0),
            timing(" c", 6.0, 9.0),
        ];
        cut_at_sentence_ends(&mut timings, 0.5);
        let times: Vec<_> = timings.iter().map(|timing| (timing.start, timing.end)).collect();
        assert_eq!(times, [(0.0, 0.2), (0.2, 0.7), (5.5, 6.0), (6.0, 9.0)]);
    }

    #[test]
    fn the_median_of_nothing_is_nothing() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
    }
}
