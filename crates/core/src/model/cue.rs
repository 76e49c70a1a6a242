//! What subtitles are made of.

use stt_schema::DetailSegment;

use crate::Segment;

/// A text, and when it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cue<'a> {
    /// Start in seconds from the beginning of the audio.
    pub start_sec: f64,
    /// End in seconds from the beginning of the audio.
    pub end_sec: f64,
    /// The text; may be anything.
    pub text: &'a str,
}

impl<'a> From<&'a Segment> for Cue<'a> {
    fn from(segment: &'a Segment) -> Self {
        Self {
            start_sec: segment.start_sec,
            end_sec: segment.end_sec,
            text: &segment.text,
        }
    }
}

impl<'a> From<&'a DetailSegment> for Cue<'a> {
    fn from(segment: &'a DetailSegment) -> Self {
        Self {
            start_sec: segment.start,
            end_sec: segment.end,
            text: &segment.text,
        }
    }
}

impl Cue<'_> {
    /// The text on one line; empty when there is none. A line break of any kind, or another control character, is a
    /// space: cues end at an empty line, and a NUL ends a text in players written in C.
    pub(crate) fn line(&self) -> String {
        let breaks = |char: char| char.is_control() || ['\u{2028}', '\u{2029}'].contains(&char);
        let parts = self.text.split(breaks).map(str::trim).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_text_it_is_one_line() {
        for (text, line) in [
            ("", ""),
            (" \r\n\u{2028}\0 ", ""),
            (" one\n\n\ntwo ", "one two"),
            ("a\r\nb\u{85}c\u{2029}d\te\0f", "a b c d e f"),
            (" रवी  ला चार ", "रवी  ला चार"),
        ] {
            let cue = Cue { text, ..Cue::default() };
            assert_eq!(cue.line(), line, "{text:?}");
        }
    }
}
