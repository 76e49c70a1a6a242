//! Subtitles of a result.

use std::str::FromStr;

use stt_core::{write_srt, write_vtt};

use crate::Message;

/// A format of subtitles. A file of them is about one recording, so it is made of one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subtitles {
    /// SRT, numbered from 1.
    Srt,
    /// WebVTT.
    Vtt,
}

impl FromStr for Subtitles {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "srt" => Ok(Self::Srt),
            "vtt" => Ok(Self::Vtt),
            _ => Err("must be srt or vtt"),
        }
    }
}

impl Subtitles {
    /// The subtitles of a result, as a file.
    ///
    /// # Errors
    /// Why there are none, for people.
    pub fn of(self, message: &Message<'_>) -> Result<Vec<u8>, String> {
        let detail = message.detail()?;
        let mut file = Vec::new();
        match self {
            Self::Srt => write_srt(&mut file, &detail.segments),
            Self::Vtt => write_vtt(&mut file, &detail.segments),
        }
        .map_err(|error| error.to_string())?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    const COMPLETED: &[u8] = include_bytes!("../../../fixtures/wire/result-completed.json");
    const DETAIL: &[u8] = include_bytes!("../../../fixtures/wire/result-detail.json");
    const FAILED: &[u8] = include_bytes!("../../../fixtures/wire/result-failed.json");

    fn of(format: Subtitles, payload: Option<&[u8]>) -> Result<String, String> {
        let file = format.of(&Message::read(Kind::Results, None, payload))?;
        Ok(String::from_utf8(file).unwrap())
    }

    #[test]
    fn a_result_without_times_says_why() {
        let id = "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01";
        for (payload, reason) in [
            (
                Some(COMPLETED),
                format!("the result of {id} tells no times; the worker writes them with RESULT_DETAIL=segments"),
            ),
            (
                Some(FAILED),
                format!("the job {id} FAILED: AUDIO_TOO_LARGE: more than 26214400 bytes"),
            ),
            (
                Some(&br#"{"jobId":"a","status":"COMPLETED","detail":null}"#[..]),
                "the result of a tells no times; the worker writes them with RESULT_DETAIL=segments".into(),
            ),
            (
                Some(&br#"{"status":"COMPLETED","detail":{"durationSec":1}}"#[..]),
                "the detail of the result cannot be read: missing field `segments` at line 1 column 17".into(),
            ),
            (None, "it has no value".into()),
        ] {
            assert_eq!(of(Subtitles::Vtt, payload), Err(reason));
        }
    }

    #[test]
    fn a_result_with_times_is_a_file() {
        let srt = of(Subtitles::Srt, Some(DETAIL)).unwrap();
        assert_eq!(srt, "1\n00:00:00,320 --> 00:00:02,120\nरवी ला चार\n\n");
        let vtt = of(Subtitles::Vtt, Some(DETAIL)).unwrap();
        assert_eq!(vtt, "WEBVTT\n\n00:00:00.320 --> 00:00:02.120\nरवी ला चार\n");
        let silence =
            &br#"{"status":"COMPLETED","new":1,"detail":{"segments":[],"languageProbability":null,"durationSec":1}}"#[..];
        assert_eq!(of(Subtitles::Vtt, Some(silence)).unwrap(), "WEBVTT\n");
    }
}
