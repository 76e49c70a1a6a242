//! The audio that is left when silences are cut out of it, and the way back to its own time.

use std::borrow::Cow;

use crate::vad::Span;

/// Samples of a second.
const RATE: f64 = 16_000.0;

/// The spans of the audio, one after the other; the audio itself, not copied, if they are all of it. Source:
/// `collect_chunks` of faster-whisper, without a longest chunk.
pub(crate) fn collect<'a>(samples: &'a [f32], spans: &[Span]) -> Cow<'a, [f32]> {
    match spans {
        [span] => Cow::Borrowed(&samples[span.start..span.end]),
        _ => Cow::Owned(
            spans
                .iter()
                .flat_map(|span| &samples[span.start..span.end])
                .copied()
                .collect(),
        ),
    }
}

/// From seconds of the audio that was collected to seconds of the whole audio, which come rounded to 0.01 s. Source:
/// `SpeechTimestampsMap` and `restore_speech_timestamps` of faster-whisper.
#[derive(Debug)]
pub(crate) struct TimeMap {
    /// Where each span ends in the collected audio, in samples.
    ends: Vec<usize>,
    /// Seconds cut out before each span.
    cut_sec: Vec<f64>,
}

impl TimeMap {
    pub(crate) fn new(spans: &[Span]) -> Self {
        let mut collected = 0;
        let (mut ends, mut cut_sec) = (Vec::new(), Vec::new());
        for span in spans {
            cut_sec.push((span.start - collected) as f64 / RATE);
            collected += span.len();
            ends.push(collected);
        }
        Self { ends, cut_sec }
    }

    /// Start and end of a segment without words. What starts at a cut starts after it, what ends at one ends before it.
    pub(crate) fn segment(&self, start_sec: f64, end_sec: f64) -> (f64, f64) {
        let end = sample(end_sec);
        let ends_at_cut = self.ends.iter().position(|cut| *cut == end);
        (
            self.restored(start_sec, self.span_at(start_sec)),
            self.restored(end_sec, ends_at_cut.or(self.span_at(end_sec))),
        )
    }

    /// Start and end of a word: both in the span that its middle is in, so that no word lasts over a cut.
    pub(crate) fn word(&self, start_sec: f64, end_sec: f64) -> (f64, f64) {
        let span = self.span_at(f64::midpoint(start_sec, end_sec));
        (self.restored(start_sec, span), self.restored(end_sec, span))
    }

    /// The span that a time is in; the last one for what is after all; `None` if there are none.
    fn span_at(&self, seconds: f64) -> Option<usize> {
        let passed = self.ends.partition_point(|end| *end <= sample(seconds));
        Some(passed.min(self.ends.len().checked_sub(1)?))
    }

    fn restored(&self, seconds: f64, span: Option<usize>) -> f64 {
        let seconds = seconds + span.map_or(0.0, |span| self.cut_sec[span]);
        // By way of its decimals, as Python's round does: times 100 would round 0.285 up.
        format!("{seconds:.2}").parse().unwrap_or(seconds)
    }
}

fn sample(seconds: f64) -> usize {
    (seconds * RATE) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans by their seconds.
    fn spans<const N: usize>(seconds: [(f64, f64); N]) -> [Span; N] {
        seconds.map(|(start, end)| Span {
            start: sample(start),
            end: sample(end),
        })
    }

    /// 2 s cut before the first span, 5 s more before the second; the cut is at 1.5 s.
    fn map() -> TimeMap {
        TimeMap::new(&spans([(2.0, 3.5), (8.5, 10.0)]))
    }

    #[test]
    fn without_spans_nothing_is_left_and_no_time_moves() {
        assert_eq!(collect(&[1.0, 2.0], &[])[..], [] as [f32; 0]);
        assert_eq!(TimeMap::new(&[]).segment(1.0, 2.0), (1.0, 2.0));
        assert_eq!(TimeMap::new(&[]).word(1.0, 2.0), (1.0, 2.0));
    }

    #[test]
    fn audio_without_a_cut_is_the_same_audio() {
        let samples = [1.0, 2.0, 3.0];
        let whole = collect(&samples, &[Span { start: 0, end: 3 }]);
        assert!(matches!(whole, Cow::Borrowed(_)));
        assert_eq!(whole[..], samples);
        assert_eq!(TimeMap::new(&spans([(0.0, 30.0)])).segment(0.02, 29.98), (0.02, 29.98));
    }

    #[test]
    fn spans_follow_each_other() {
        let samples: Vec<f32> = (0..10).map(|n| n as f32).collect();
        let left = collect(&samples, &[Span { start: 1, end: 3 }, Span { start: 7, end: 10 }]);
        assert_eq!(left[..], [1.0, 2.0, 7.0, 8.0, 9.0]);
    }

    #[test]
    fn what_ends_at_a_cut_ends_before_it_and_what_starts_there_starts_after_it() {
        assert_eq!(map().segment(0.0, 1.5), (2.0, 3.5));
        assert_eq!(map().segment(1.5, 3.0), (8.5, 10.0));
        assert_eq!(map().segment(0.5, 2.0), (2.5, 9.0), "a segment may last over a cut");
        assert_eq!(
            map().segment(2.0, 31.0),
            (9.0, 38.0),
            "past the end the last span goes on"
        );
    }

    #[test]
    fn a_word_never_lasts_over_a_cut() {
        assert_eq!(map().word(1.2, 1.6), (3.2, 3.6), "its middle is before the cut");
        assert_eq!(map().word(1.3, 2.1), (8.3, 9.1), "its middle is after it");
        assert_eq!(map().word(1.4, 1.6), (8.4, 8.6), "its middle is the cut");
    }

    #[test]
    fn times_are_rounded_to_hundredths_as_python_rounds() {
        assert_eq!(map().word(0.285, 0.125), (2.29, 2.12));
        assert_eq!(TimeMap::new(&[]).segment(0.285, 2.675), (0.28, 2.67));
    }
}
