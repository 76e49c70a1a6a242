//! From a transcript to the detail that a result carries of it.

use stt_schema::{Detail, DetailLevel, DetailSegment, DetailWord};

use crate::model::number::{places, span_sec, unit};
use crate::{Segment, Transcript, Word};

impl Transcript {
    /// What a result tells of this beyond its text; `None` when nothing was asked for. Every number in it is finite and
    /// in its range, whatever the engine gave.
    #[must_use]
    pub fn detail(&self, level: DetailLevel) -> Option<Detail> {
        let words = match level {
            DetailLevel::None => return None,
            DetailLevel::Segments => false,
            DetailLevel::Words => true,
        };
        let (_, duration_sec) = span_sec(0.0, self.duration_sec);
        Some(Detail {
            language_probability: self
                .language_probability
                .map(f64::from)
                .filter(|probability| probability.is_finite())
                .map(|probability| places(unit(probability))),
            duration_sec,
            segments: self.segments.iter().map(|each| segment(each, words)).collect(),
        })
    }
}

fn segment(segment: &Segment, words: bool) -> DetailSegment {
    let (start, end) = span_sec(segment.start_sec, segment.end_sec);
    DetailSegment {
        start,
        end,
        text: segment.text.trim().to_owned(),
        confidence: places(unit(segment.avg_logprob.exp())),
        no_speech_probability: places(unit(segment.no_speech_prob)),
        words: words.then(|| segment.words.iter().map(word).collect()),
    }
}

fn word(word: &Word) -> DetailWord {
    let (start, end) = span_sec(word.start_sec, word.end_sec);
    DetailWord {
        start,
        end,
        word: word.text.clone(),
        probability: places(unit(word.probability)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_that_json_cannot_hold_gets_into_it() {
        let nothing = f64::NAN;
        let transcript = Transcript {
            language_probability: Some(f32::NAN),
            duration_sec: f64::INFINITY,
            segments: vec![Segment {
                start_sec: nothing,
                end_sec: f64::NEG_INFINITY,
                avg_logprob: nothing,
                no_speech_prob: nothing,
                words: vec![Word {
                    start_sec: 1.0,
                    end_sec: nothing,
                    text: " a".into(),
                    probability: f64::INFINITY,
                }],
                ..Segment::default()
            }],
            ..Transcript::default()
        };
        let json = serde_json::to_string(&transcript.detail(DetailLevel::Words)).unwrap();
        assert_eq!(
            json,
            r#"{"languageProbability":null,"durationSec":0.0,"segments":[{"start":0.0,"end":0.0,"text":"","#.to_owned()
                + r#""confidence":0.0,"noSpeechProbability":0.0,"#
                + r#""words":[{"start":1.0,"end":1.0,"word":" a","probability":1.0}]}]}"#
        );
    }

    #[test]
    fn only_what_was_asked_for_is_told() {
        let transcript = Transcript {
            segments: vec![Segment {
                text: " so ".into(),
                words: vec![Word::default()],
                ..Segment::default()
            }],
            ..Transcript::default()
        };
        assert_eq!(transcript.detail(DetailLevel::None), None);
        for (level, words) in [(DetailLevel::Segments, None), (DetailLevel::Words, Some(1))] {
            let detail = transcript.detail(level).expect("it was asked for");
            assert_eq!(detail.language_probability, None, "it was not measured");
            let segment = &detail.segments[0];
            assert_eq!(
                (segment.text.as_str(), segment.words.as_ref().map(Vec::len)),
                ("so", words)
            );
        }
        let silence = Transcript::default().detail(DetailLevel::Segments);
        assert_eq!(silence.expect("it was asked for").segments, []);
    }
}
