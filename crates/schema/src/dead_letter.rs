//! The dead letter: a job that failed for good, whole, so that it can be sent again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{ErrorCode, FailureStage, Timestamp};

/// A job that failed for good, on `stt.jobs.dlq`. The keys, their order and their types are fixed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
    /// The payload as the producer wrote it, white space and unknown keys included; null when it is no JSON.
    pub job: Option<Box<RawValue>>,
    /// The payload in base64, there only when `job` cannot hold it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original_b64: Option<String>,
    /// Why it failed.
    pub error_code: ErrorCode,
    /// The same for people.
    pub error_message: String,
    /// How many times it was tried, this time included.
    pub attempt: u32,
}

/// A payload in the form in which a dead letter carries it: `job` and `originalB64`.
#[derive(Clone, Debug)]
pub struct Original {
    /// For [`DeadLetter::job`].
    pub job: Option<Box<RawValue>>,
    /// For [`DeadLetter::original_b64`].
    pub b64: Option<String>,
}

impl Original {
    /// Wraps a payload without loss; `None` is a record without a value.
    #[must_use]
    pub fn of(payload: Option<&[u8]>) -> Self {
        let Some(payload) = payload else {
            return Self { job: None, b64: None };
        };
        match serde_json::from_slice::<Box<RawValue>>(payload) {
            Ok(job) if job.get() != "null" => Self {
                job: Some(job),
                b64: None,
            },
            _ => Self {
                job: None,
                b64: Some(STANDARD.encode(payload)),
            },
        }
    }
}

impl DeadLetter {
    /// The payload as it was, without white space around it; `None` when the record had no value or `originalB64` is
    /// damaged.
    #[must_use]
    pub fn payload(&self) -> Option<Vec<u8>> {
        match (&self.job, &self.original_b64) {
            (Some(job), _) => Some(job.get().as_bytes().to_vec()),
            (None, Some(text)) => STANDARD.decode(text).ok(),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_comes_back_as_it_went_in() {
        let deep = [b"{\"x\":".repeat(200), b"1".to_vec(), b"}".repeat(200)].concat();
        for payload in [
            &b"{ \"jobId\" :\t\"a\",\n \"n\": 1.50e3, \"jobId\": 2 }"[..],
            b"[]",
            b"null",
            b"",
            b"{",
            b"\xff\x00junk",
            &deep,
        ] {
            let original = Original::of(Some(payload));
            let letter = DeadLetter {
                original_topic: "stt.jobs".into(),
                original_partition: 0,
                original_offset: 1,
                failed_at: "2026-01-02T03:04:05Z".parse().unwrap(),
                failure_stage: FailureStage::Validation,
                job: original.job,
                original_b64: original.b64,
                error_code: ErrorCode::InvalidJob,
                error_message: String::new(),
                attempt: 1,
            };
            let json = serde_json::to_string(&letter).unwrap();
            let back: DeadLetter = serde_json::from_str(&json).unwrap();
            assert_eq!(back.payload().as_deref(), Some(payload), "{json}");
        }
        let tombstone = Original::of(None);
        assert!(tombstone.job.is_none() && tombstone.b64.is_none());
    }
}
