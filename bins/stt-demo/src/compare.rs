//! Whether a result is the one that is expected.

use std::collections::BTreeMap;

use stt_schema::{JobResult, Status};

use crate::clips::Expected;

/// How many of the expected words, of 100, must be heard again where the transcript was drawn by lot. Of 28 draws of the
/// repository's clips each had 57 or more.
const DRAWN_WORDS_PERCENT: usize = 33;

/// What the comparison found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same text, letter by letter, and the same language.
    Same,
    /// The expected transcript was drawn by lot, and so is this one: completed, in the same language, and with enough
    /// of the same words.
    Alike,
    /// Not what is expected, and how.
    Different(String),
}

/// Compares `result` with what is `expected`. The language counts where something is expected to be said.
pub(crate) fn compare(expected: &Expected, result: &JobResult) -> Verdict {
    let text = match (result.status, &result.transcript_text) {
        (Status::Completed, Some(text)) => text,
        (Status::Completed, None) => return Verdict::Different("COMPLETED without a transcript".to_owned()),
        (Status::Failed, _) => {
            let code = result
                .error_code
                .map_or_else(|| "without a code".to_owned(), |code| code.to_string());
            let message = result.error_message.as_deref().unwrap_or("no message");
            return Verdict::Different(format!("FAILED {code}: {message}"));
        }
    };
    let language = result.detected_language.as_deref();
    if !expected.text.is_empty() && language != Some(&expected.language) {
        let (heard, expected) = (language.unwrap_or("none"), &expected.language);
        return Verdict::Different(format!("language {heard}, expected {expected}"));
    }
    if *text == expected.text {
        return Verdict::Same;
    }
    let percent = words_heard_percent(&expected.text, text);
    if expected.drawn && percent >= DRAWN_WORDS_PERCENT {
        return Verdict::Alike;
    }
    Verdict::Different(format!("{text:?}, expected {:?}", expected.text))
}

/// How many words of `expected`, of 100, are in `text`, each as often; their order is not looked at.
fn words_heard_percent(expected: &str, text: &str) -> usize {
    let mut heard: BTreeMap<&str, usize> = BTreeMap::new();
    for word in text.split_whitespace() {
        *heard.entry(word).or_default() += 1;
    }
    let found = expected.split_whitespace().filter(|word| {
        let left = heard.get_mut(word).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    });
    100 * found.count() / expected.split_whitespace().count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(text: &str, drawn: bool) -> Expected {
        Expected {
            text: text.to_owned(),
            language: "en".to_owned(),
            drawn,
        }
    }

    fn result(change: &[(&str, serde_json::Value)]) -> JobResult {
        let golden = include_str!("../../../fixtures/wire/result-completed.json");
        let mut json: serde_json::Value = serde_json::from_str(golden).unwrap();
        json["detectedLanguage"] = "en".into();
        for (key, value) in change {
            json[key] = value.clone();
        }
        serde_json::from_value(json).unwrap()
    }

    fn heard(text: &str) -> JobResult {
        result(&[("transcriptText", text.into())])
    }

    #[test]
    fn what_differs_is_told() {
        let failed = serde_json::from_str(include_str!("../../../fixtures/wire/result-failed.json")).unwrap();
        for (result, difference) in [
            (failed, "FAILED AUDIO_TOO_LARGE: more than 26214400 bytes"),
            (
                result(&[("transcriptText", ().into())]),
                "COMPLETED without a transcript",
            ),
            (
                result(&[("transcriptText", "a b".into()), ("detectedLanguage", "hi".into())]),
                "language hi, expected en",
            ),
            (
                result(&[("transcriptText", "a b".into()), ("detectedLanguage", ().into())]),
                "language none, expected en",
            ),
            (heard("a b "), r#""a b ", expected "a b""#),
            (heard(""), r#""", expected "a b""#),
        ] {
            assert_eq!(
                compare(&expected("a b", false), &result),
                Verdict::Different(difference.to_owned())
            );
        }
    }

    #[test]
    fn speech_where_none_is_expected_differs_but_its_language_does_not_count() {
        let silence = expected("", false);
        let unsure = result(&[("transcriptText", "".into()), ("detectedLanguage", "hi".into())]);
        assert_eq!(compare(&silence, &unsure), Verdict::Same);
        assert!(matches!(compare(&silence, &heard("hello")), Verdict::Different(_)));
        assert!(matches!(
            compare(&expected("", true), &heard("hello")),
            Verdict::Different(_)
        ));
    }

    #[test]
    fn a_drawn_transcript_is_alike_with_a_third_of_its_words() {
        let drawn = expected("one two two three", true);
        for (text, verdict) in [
            ("one two two three", "Same"),
            ("two nine two", "Alike"),
            ("three one", "Alike"),
            ("two", "Different"),
            ("one one one one", "Different"),
            ("", "Different"),
        ] {
            let found = format!("{:?}", compare(&drawn, &heard(text)));
            assert!(found.starts_with(verdict), "{text:?}: {found}");
        }
    }
}
