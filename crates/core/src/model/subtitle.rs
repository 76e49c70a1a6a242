//! Transcripts as files for people and their players: SRT, WebVTT, plain text and JSON.
//!
//! SRT and WebVTT have a cue for each segment. Long segments are not split, and words are not looked at: Whisper's
//! segments are mostly the length of a sentence. Segments without text make no cue.

use std::io::{self, Write};

use serde::Serialize;
use stt_schema::{Detail, DetailLevel};

use crate::model::number::{places, span_ms, unit};
use crate::{Cue, Transcript};

/// Writes SRT: numbered cues with `HH:MM:SS,mmm`. Nothing is written when there are no cues, which is a valid file.
///
/// Any text is safe: it comes on one line, and `-->` in it as `→`. Tags such as `<i>` stay; SRT has no way to write them
/// otherwise.
///
/// # Errors
/// When `out` fails. It is written to in small pieces; buffer what is slow.
///
/// ```
/// use stt_core::{Cue, write_srt};
///
/// let cue = Cue { start_sec: 0.32, end_sec: 2.12, text: " रवी ला चार" };
/// let mut out = Vec::new();
/// write_srt(&mut out, [cue])?;
/// assert_eq!(String::from_utf8_lossy(&out), "1\n00:00:00,320 --> 00:00:02,120\nरवी ला चार\n\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_srt<'a, C: Into<Cue<'a>>>(out: &mut impl Write, cues: impl IntoIterator<Item = C>) -> io::Result<()> {
    for (number, (times, text)) in (1_u64..).zip(timed(cues, ',')) {
        // Lenient readers find cues by their arrow, wherever it stands.
        let text = text.replace("-->", "→");
        write!(out, "{number}\n{times}\n{text}\n\n")?;
    }
    Ok(())
}

/// Writes WebVTT: the line `WEBVTT`, and cues with `HH:MM:SS.mmm`. Without cues it is that line alone, a valid file.
///
/// Any text is safe: it comes on one line, and `&`, `<` and `>` in it are escaped.
///
/// # Errors
/// When `out` fails. It is written to in small pieces; buffer what is slow.
///
/// ```
/// use stt_core::{Cue, write_vtt};
///
/// let cue = Cue { start_sec: 3600.0, end_sec: 3601.5, text: "R&D" };
/// let mut out = Vec::new();
/// write_vtt(&mut out, [cue])?;
/// assert_eq!(String::from_utf8_lossy(&out), "WEBVTT\n\n01:00:00.000 --> 01:00:01.500\nR&amp;D\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_vtt<'a, C: Into<Cue<'a>>>(out: &mut impl Write, cues: impl IntoIterator<Item = C>) -> io::Result<()> {
    out.write_all(b"WEBVTT\n")?;
    for (times, text) in timed(cues, '.') {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        write!(out, "\n{times}\n{text}\n")?;
    }
    Ok(())
}

/// Writes plain text: a line for each segment, nothing when there are none.
///
/// # Errors
/// When `out` fails. It is written to in small pieces; buffer what is slow.
///
/// ```
/// use stt_core::{Cue, write_txt};
///
/// let cues = [" Call me", " at nine."].map(|text| Cue { text, ..Cue::default() });
/// let mut out = Vec::new();
/// write_txt(&mut out, cues)?;
/// assert_eq!(out, b"Call me\nat nine.\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_txt<'a, C: Into<Cue<'a>>>(out: &mut impl Write, cues: impl IntoIterator<Item = C>) -> io::Result<()> {
    for text in cues
        .into_iter()
        .map(|cue| cue.into().line())
        .filter(|text| !text.is_empty())
    {
        writeln!(out, "{text}")?;
    }
    Ok(())
}

/// Writes a transcript as one line of JSON: `text`, `language`, `confidence`, and what a result has in its `detail`, in
/// the same form. Segments have `words` when `words` is true. Every number is finite.
///
/// # Errors
/// When `out` fails. It is written to in small pieces; buffer what is slow.
///
/// ```
/// use stt_core::{Transcript, write_json};
///
/// let silence = Transcript { duration_sec: 1.5, ..Transcript::default() };
/// let mut out = Vec::new();
/// write_json(&mut out, &silence, false)?;
/// assert_eq!(
///     String::from_utf8_lossy(&out).trim_end(),
///     r#"{"text":"","language":null,"confidence":0.0,"languageProbability":null,"durationSec":1.5,"segments":[]}"#
/// );
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_json(out: &mut impl Write, transcript: &Transcript, words: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Written<'a> {
        text: &'a str,
        language: Option<&'static str>,
        confidence: f64,
        #[serde(flatten)]
        detail: Option<Detail>,
    }
    let level = if words {
        DetailLevel::Words
    } else {
        DetailLevel::Segments
    };
    let written = Written {
        text: &transcript.text,
        language: transcript.language.map(|language| language.code()),
        confidence: places(unit(transcript.confidence())),
        detail: transcript.detail(level),
    };
    serde_json::to_writer(&mut *out, &written)?;
    out.write_all(b"\n")
}

/// The line of times and the text of each cue that has one.
fn timed<'a, C: Into<Cue<'a>>>(
    cues: impl IntoIterator<Item = C>,
    point: char,
) -> impl Iterator<Item = (String, String)> {
    cues.into_iter().map(Into::into).filter_map(move |cue| {
        let text = cue.line();
        let (start, end) = span_ms(cue.start_sec, cue.end_sec);
        let times = || format!("{} --> {}", clock(start, point), clock(end, point));
        (!text.is_empty()).then(|| (times(), text))
    })
}

/// `HH:MM:SS` and milliseconds behind `point`; from 100 hours on, with more digits.
fn clock(ms: u64, point: char) -> String {
    let (hours, minutes, seconds, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Language, Segment, Word};

    fn cue(start_sec: f64, end_sec: f64, text: &str) -> Cue<'_> {
        Cue {
            start_sec,
            end_sec,
            text,
        }
    }

    fn srt(cues: &[Cue<'_>]) -> String {
        let mut out = Vec::new();
        write_srt(&mut out, cues.iter().copied()).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn vtt(cues: &[Cue<'_>]) -> String {
        let mut out = Vec::new();
        write_vtt(&mut out, cues.iter().copied()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_text_makes_cues_of_its_own_or_ends_one() {
        let hostile = "<b>one</b>\r\n\r\n7\n00:00:09,000 --> 00:00:10,000\n---> two\u{2028}\u{2028}NOTE & so on\0";
        let srt = srt(&[cue(0.0, 1.0, hostile), cue(1.0, 2.0, " \n\t"), cue(2.0, 3.0, "three")]);
        assert_eq!(
            srt,
            "1\n00:00:00,000 --> 00:00:01,000\n\
             <b>one</b> 7 00:00:09,000 → 00:00:10,000 -→ two NOTE & so on\n\n\
             2\n00:00:02,000 --> 00:00:03,000\nthree\n\n"
        );
        assert_eq!(srt.matches("-->").count(), 2);
        let vtt = vtt(&[cue(0.0, 1.0, hostile), cue(2.0, 3.0, "three")]);
        assert_eq!(
            vtt,
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n\
             &lt;b&gt;one&lt;/b&gt; 7 00:00:09,000 --&gt; 00:00:10,000 ---&gt; two NOTE &amp; so on\n\n\
             00:00:02.000 --> 00:00:03.000\nthree\n"
        );
    }

    #[test]
    fn no_cue_ends_before_it_starts_and_no_time_breaks_the_clock() {
        for (start, end, times) in [
            (5.0, 4.0, "00:00:05,000 --> 00:00:05,000"),
            (f64::NAN, 1.0, "00:00:00,000 --> 00:00:01,000"),
            (-3.0, f64::INFINITY, "00:00:00,000 --> 00:00:00,000"),
            (59.999_6, 3_599.999_9, "00:01:00,000 --> 01:00:00,000"),
            (359_999.999, 360_000.0, "99:59:59,999 --> 100:00:00,000"),
            (4_000_000.25, 4_000_001.0, "1111:06:40,250 --> 1111:06:41,000"),
        ] {
            assert_eq!(srt(&[cue(start, end, "x")]), format!("1\n{times}\nx\n\n"));
        }
        assert!(srt(&[cue(0.0, f64::MAX, "x")]).starts_with("1\n00:00:00,000 --> "));
    }

    #[test]
    fn nothing_said_is_a_valid_file() {
        assert_eq!((srt(&[]).as_str(), vtt(&[]).as_str()), ("", "WEBVTT\n"));
        assert_eq!(
            (srt(&[cue(0.0, 1.0, " ")]).as_str(), vtt(&[cue(0.0, 1.0, " ")]).as_str()),
            ("", "WEBVTT\n")
        );
    }

    #[test]
    fn a_transcript_and_its_detail_are_the_same_subtitles() {
        let said = |start_sec, end_sec, text: &str| Segment {
            start_sec,
            end_sec,
            text: text.into(),
            ..Segment::default()
        };
        let transcript = Transcript {
            segments: vec![said(0.32, 2.119_999, " रवी ला चार"), said(2.12, 4.0, " आणि पाच।")],
            ..Transcript::default()
        };
        let detail = transcript.detail(DetailLevel::Segments).unwrap();
        let (mut own, mut wire) = (Vec::new(), Vec::new());
        write_vtt(&mut own, &transcript.segments).unwrap();
        write_vtt(&mut wire, &detail.segments).unwrap();
        let own = String::from_utf8(own).unwrap();
        assert_eq!(own.as_bytes(), wire);
        assert!(own.contains("00:00:00.320 --> 00:00:02.120\nरवी ला चार\n"), "{own}");
        let mut text = Vec::new();
        write_txt(&mut text, &transcript.segments).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "रवी ला चार\nआणि पाच।\n");
    }

    #[test]
    fn json_has_words_when_they_are_asked_for() {
        let transcript = Transcript {
            text: "चार".into(),
            language: Language::from_tag("mr").ok(),
            language_probability: Some(0.5),
            segments: vec![Segment {
                text: " चार".into(),
                avg_logprob: f64::NAN,
                words: vec![Word::default()],
                ..Segment::default()
            }],
            ..Transcript::default()
        };
        for words in [false, true] {
            let mut out = Vec::new();
            write_json(&mut out, &transcript, words).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!((&json["text"], &json["language"]), (&"चार".into(), &"mr".into()));
            assert_eq!(
                (&json["confidence"], &json["languageProbability"]),
                (&0.0.into(), &0.5.into())
            );
            assert_eq!(json.pointer("/segments/0/words").is_some(), words);
        }
    }

    #[test]
    fn an_output_that_fails_is_told() {
        let mut full = &mut [0_u8; 4][..];
        assert!(write_vtt(&mut full, [cue(0.0, 1.0, "x")]).is_err());
        let mut full = &mut [0_u8; 4][..];
        assert!(write_json(&mut full, &Transcript::default(), false).is_err());
    }
}
