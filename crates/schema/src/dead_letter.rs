//! The dead letter: a job that failed for good, whole, so that it can be sent again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::portable::is_portable;
use crate::text::escaped;
use crate::{ErrorCode, FailureStage, Timestamp};

/// A job that failed for good, on `stt.jobs.dlq`. The keys, their order and their types are fixed; the payload is there
/// as `job`, or as `originalB64` when it is no JSON, or JSON that readers might refuse or understand differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Topic of the record in which the job first came.
    pub original_topic: String,
    /// Its partition.
    pub original_partition: i32,
    /// Its offset.
    pub original_offset: i64,
    /// When the job failed for good.
    pub failed_at: Timestamp,
    /// Where it failed.
    pub failure_stage: FailureStage,
    /// The payload byte for byte as the producer wrote it; `None` when the record had no value, or it is `omitted`.
    pub payload: Option<Vec<u8>>,
    /// What stands for a payload that is too large for a dead letter.
    pub omitted: Option<OmittedPayload>,
    /// Why it failed.
    pub error_code: ErrorCode,
    /// The same for people.
    pub error_message: String,
    /// How many times it was tried, this time included.
    pub attempt: u32,
}

/// Stands for a payload with which the broker did not take the dead letter. The record itself is where `original_topic`,
/// `original_partition` and `original_offset` say, as long as the topic keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OmittedPayload {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in lowercase hexadecimal digits.
    pub sha256: String,
}

/// A message is no dead letter.
#[derive(Debug, thiserror::Error)]
#[error("not a dead letter: {0}")]
pub struct BadDeadLetter(serde_json::Error);

/// What comes before `job`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Opening<'a> {
    original_topic: &'a str,
    original_partition: i32,
    original_offset: i64,
    failed_at: Timestamp,
    failure_stage: FailureStage,
}

/// What comes behind `job`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Closing<'a> {
    #[serde(rename = "originalB64", skip_serializing_if = "Option::is_none")]
    original_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_sha256: Option<&'a str>,
    error_code: ErrorCode,
    error_message: &'a str,
    attempt: u32,
}

/// All of it, as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read<'a> {
    original_topic: String,
    original_partition: i32,
    original_offset: i64,
    failed_at: Timestamp,
    failure_stage: FailureStage,
    #[serde(borrow)]
    job: &'a RawValue,
    #[serde(rename = "originalB64", default)]
    original_b64: Option<String>,
    #[serde(default)]
    original_bytes: Option<u64>,
    #[serde(default)]
    original_sha256: Option<String>,
    error_code: ErrorCode,
    error_message: String,
    attempt: u32,
}

impl DeadLetter {
    /// The letter as it goes on the wire.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let held = self.payload.as_deref().filter(|payload| job_can_hold(payload));
        let encoded = self.payload.as_ref().filter(|_| held.is_none());
        let opening = json(&Opening {
            original_topic: &self.original_topic,
            original_partition: self.original_partition,
            original_offset: self.original_offset,
            failed_at: self.failed_at,
            failure_stage: self.failure_stage,
        });
        let closing = json(&Closing {
            original_b64: encoded.map(|payload| STANDARD.encode(payload)),
            original_bytes: self.omitted.as_ref().map(|omitted| omitted.bytes),
            original_sha256: self.omitted.as_ref().map(|omitted| omitted.sha256.as_str()),
            error_code: self.error_code,
            error_message: &self.error_message,
            attempt: self.attempt,
        });
        // Put together by hand, as serde_json would drop the white space around the payload.
        [
            &opening[..opening.len() - 1],
            b",\"job\":",
            held.unwrap_or(b"null"),
            b",",
            &closing[1..],
        ]
        .concat()
    }

    /// Reads a letter. White space around the value of `job` is part of the payload, as the worker writes none itself.
    /// Unknown keys are ignored.
    ///
    /// # Errors
    /// When it is no JSON object with all the keys of a dead letter, each of its type, or `originalB64` is no base64.
    pub fn parse(letter: &[u8]) -> Result<Self, BadDeadLetter> {
        let read: Read<'_> = serde_json::from_slice(letter).map_err(BadDeadLetter)?;
        if !letter.trim_ascii_start().starts_with(b"{") {
            return Err(BadDeadLetter(serde_json::Error::custom("a list"))); // of all the values, which serde takes
        }
        let payload = match (read.job.get(), read.original_b64) {
            ("null", None) => None,
            ("null", Some(text)) => {
                let damaged = |error| BadDeadLetter(serde_json::Error::custom(format!("originalB64: {error}")));
                Some(STANDARD.decode(text).map_err(damaged)?)
            }
            (job, _) => Some(with_margins(job, letter).to_vec()),
        };
        Ok(Self {
            original_topic: read.original_topic,
            original_partition: read.original_partition,
            original_offset: read.original_offset,
            failed_at: read.failed_at,
            failure_stage: read.failure_stage,
            payload,
            omitted: read
                .original_bytes
                .zip(read.original_sha256)
                .map(|(bytes, sha256)| OmittedPayload { bytes, sha256 }),
            error_code: read.error_code,
            error_message: read.error_message,
            attempt: read.attempt,
        })
    }
}

/// Whether a payload stands for itself as the value of `job`: it is JSON that every reader of the letter understands, and not
/// the `null` that says it is none. A stranger's payload must not keep others from reading the letter.
fn job_can_hold(payload: &[u8]) -> bool {
    payload.trim_ascii() != b"null" && is_portable(payload)
}

/// A value within a letter, together with the white space around it.
fn with_margins<'a>(value: &str, letter: &'a [u8]) -> &'a [u8] {
    let is_space = |byte: &&u8| b" \t\n\r".contains(byte);
    let start = value.as_ptr().addr() - letter.as_ptr().addr();
    let end = start + value.len();
    let before = letter[..start].iter().rev().take_while(is_space).count();
    let behind = letter[end..].iter().take_while(is_space).count();
    &letter[start - before..end + behind]
}

fn json(part: &impl Serialize) -> Vec<u8> {
    escaped(serde_json::to_vec(part).expect("it has string keys and plain values"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: Option<&[u8]>) -> DeadLetter {
        DeadLetter {
            original_topic: "odd \",\"job\":1".into(),
            original_partition: 0,
            original_offset: 1,
            failed_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            failure_stage: FailureStage::Validation,
            payload: payload.map(<[u8]>::to_vec),
            omitted: None,
            error_code: ErrorCode::InvalidJob,
            error_message: "\"job\": \u{1}".into(),
            attempt: 1,
        }
    }

    #[test]
    fn what_is_no_letter_says_why() {
        let good = String::from_utf8(letter(Some(b"{}")).to_json()).unwrap();
        let b64 = String::from_utf8(letter(Some(b"oops")).to_json()).unwrap();
        let list = r#"["stt.jobs",0,1,"2026-01-02T03:04:05Z","VALIDATION",{},null,null,null,"INVALID_JOB","",1]"#;
        for (bad, told) in [
            (String::new(), "EOF while parsing"),
            ("[]".into(), "expected struct Read"),
            (good.replace("\"job\":{},", ""), "missing field `job`"),
            (
                good.replace("\"job\":{}", "\"job\":{},\"job\":{}"),
                "duplicate field `job`",
            ),
            (good.replace("INVALID_JOB", "NEW_CODE"), "unknown variant `NEW_CODE`"),
            (good.replace("\"attempt\":1", "\"attempt\":-1"), "invalid value"),
            (b64.replace("b29wcw==", "b29wcw"), "originalB64: Invalid padding"),
            (b64.replace("b29wcw==", "%"), "originalB64: Invalid"),
            (list.into(), "a list"),
        ] {
            let error = DeadLetter::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with("not a dead letter: ") && error.contains(told),
                "{error}"
            );
        }
    }

    #[test]
    fn every_payload_comes_back_as_it_went_in() {
        let deep = [b"{\"x\":".repeat(200), b"1".to_vec(), b"}".repeat(200)].concat();
        for (payload, in_job) in [
            (&b"{ \"jobId\" :\t\"a\",\n \"n\": 1.50e3, \"taskId\": 2 }"[..], true),
            (b"{ \"jobId\": \"a\", \"jobId\": 2 }", false),
            (b" \t{\"jobId\":\"a\"}\r\n\n", true),
            (b"{\"b\":1,\"a\":{\"b\":1,\"a\":2}}", true),
            (b"{\"b\":1,\"a\":{\"b\":1,\"a\":2,\"a\":3}}", false),
            (br#"{"t":"\u0930\u0935\/\ud83d\ude00","job":"\"job\":1,"}"#, true),
            (br#"{"t":"\ud800"}"#, false),
            ("{\"t\":\"\u{930}\u{935} \u{2028}\"}\n".as_bytes(), true),
            (
                b"[123456789012345678901234567890,-0,-0.0,1E+40,0.10000000000000000000001]",
                true,
            ),
            (b"[1E+4000]", false),
            (b"\n7\n", true),
            (&deep, false),
            (b"null", false),
            (b" null\n", false),
            (b"", false),
            (b" ", false),
            (b"{", false),
            (b"{}{}", false),
            (b"\xef\xbb\xbf{}", false),
            (b"{\"t\":\"\xff\"}", false),
            (b"\xff\x00junk", false),
        ] {
            let letter = letter(Some(payload));
            let json = letter.to_json();
            let told = String::from_utf8_lossy(&json);
            assert_eq!(DeadLetter::parse(&json).unwrap(), letter, "{told}");
            assert_eq!(told.contains(",\"originalB64\":"), !in_job, "{told}");
            let found = !payload.is_empty() && json.windows(payload.len()).any(|part| part == payload);
            assert!(found || !in_job, "{told}");
        }
        let tombstone = letter(None);
        assert_eq!(DeadLetter::parse(&tombstone.to_json()).unwrap(), tombstone);
    }

    #[test]
    fn an_omitted_payload_round_trips() {
        let omitted = OmittedPayload {
            bytes: 780_000,
            sha256: "ab".repeat(32),
        };
        let letter = DeadLetter {
            omitted: Some(omitted),
            ..letter(None)
        };
        let json = letter.to_json();
        assert_eq!(DeadLetter::parse(&json).unwrap(), letter);
        let text = String::from_utf8(json).unwrap();
        assert!(
            text.contains(r#""job":null,"originalBytes":780000,"originalSha256":"abab"#),
            "{text}"
        );
    }

    #[test]
    fn no_message_changes_how_a_letter_is_shown() {
        let mut letter = letter(None);
        letter.error_message = "no \u{202e}gpj.exe\u{2028}".into();
        let json = String::from_utf8(letter.to_json()).unwrap();
        assert!(json.contains("no \\u202egpj.exe\\u2028"), "{json}");
        assert_eq!(DeadLetter::parse(json.as_bytes()).unwrap(), letter);
    }

    #[test]
    fn a_reader_of_json_needs_to_know_nothing_of_this() {
        let json = letter(Some(b" {\"jobId\":\"a\"}\n")).to_json();
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&value["job"]["jobId"], &value["attempt"]), (&"a".into(), &1.into()));
        assert_eq!(value["originalTopic"], "odd \",\"job\":1");
    }
}
