//! Whether a result is the one that is expected.

use stt_schema::{JobResult, Status};

use crate::clips::Expected;

/// What the comparison found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same text, letter by letter, and the same language.
    Same,
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
    Verdict::Different(format!("{text:?}, expected {:?}", expected.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(text: &str) -> Expected {
        Expected {
            text: text.to_owned(),
            language: "en".to_owned(),
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
                compare(&expected("a b"), &result),
                Verdict::Different(difference.to_owned())
            );
        }
    }

    #[test]
    fn speech_where_none_is_expected_differs_but_its_language_does_not_count() {
        let silence = expected("");
        let unsure = result(&[("transcriptText", "".into()), ("detectedLanguage", "hi".into())]);
        assert_eq!(compare(&silence, &unsure), Verdict::Same);
        assert!(matches!(compare(&silence, &heard("hello")), Verdict::Different(_)));
    }
}
