//! The result: what became of a job.

use serde::{Deserialize, Serialize};

use crate::{Detail, ErrorCode, Timestamp};

/// What became of a job, on `stt.results`. The keys, their order and their types are fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// The job's `jobId`; the nil UUID when the message did not tell it.
    pub job_id: String,
    /// The job's `taskId`; the nil UUID when the message did not tell it.
    pub task_id: String,
    /// Whether there is a transcript.
    pub status: Status,
    /// The transcript; empty when nobody speaks; null on FAILED.
    pub transcript_text: Option<String>,
    /// Whisper's code of the language (`mr`); null on FAILED, or when there was no speech to detect it from.
    pub detected_language: Option<String>,
    /// exp of the token-weighted mean log-probability over the segments, in [0, 1]; 0.0 on FAILED and on an empty
    /// transcript.
    pub confidence: f64,
    /// Always `faster-whisper`.
    pub engine: Engine,
    /// The model as the operator named it (`MODEL_SIZE`).
    pub model_version: String,
    /// Why it failed; null on COMPLETED.
    pub error_code: Option<ErrorCode>,
    /// The same for people; null on COMPLETED.
    pub error_message: Option<String>,
    /// When the outcome was known.
    pub completed_at: Timestamp,
    /// The job's `correlationId`; the nil UUID when the message did not tell it.
    pub correlation_id: String,
    /// When what was said; absent on FAILED, and unless the operator asked for it (`RESULT_DETAIL`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<Detail>,
}

/// Whether a job has a transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// There is a transcript.
    Completed,
    /// There is none, and there will be none.
    Failed,
}

/// The engine named in results: consumers of the Python worker expect this one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// The faster-whisper algorithm on CTranslate2.
    #[default]
    #[serde(rename = "faster-whisper")]
    FasterWhisper,
}
