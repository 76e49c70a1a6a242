//! The messages of stt-worker on Kafka: what a producer of jobs and a reader of results must agree on.
//!
//! Main types: [`Job`], [`JobResult`], [`DeadLetter`]. Their keys, order and types are fixed (see `docs/wire.md`);
//! golden files in `fixtures/wire` hold them. This crate never does IO, reads a clock or knows of Kafka.
//!
//! ```
//! let job = stt_schema::Job::parse(br#"{
//!   "jobId": "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01", "taskId": "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b02",
//!   "audioUrl": "https://media.example/note.ogg?token=secret", "languageHint": "mr-IN",
//!   "createdAt": "2026-01-02T03:04:05Z", "correlationId": "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b03" }"#)?;
//! assert_eq!(job.language_hint.unwrap().code(), "mr");
//! assert_eq!(job.audio_url.to_string(), "https://media.example"); // shown without path and query
//! # Ok::<(), stt_schema::JobError>(())
//! ```

mod code;
mod dead_letter;
mod detail;
mod job;
mod language;
mod portable;
mod result;
mod text;
mod timestamp;
mod url;

pub use code::{ErrorCode, FailureStage};
pub use dead_letter::{BadDeadLetter, DeadLetter, OmittedPayload};
pub use detail::{Detail, DetailLevel, DetailSegment, DetailWord};
pub use job::{Job, JobError, Salvaged};
pub use language::{Language, UnknownLanguage};
pub use result::{Engine, JobResult, Status};
pub use text::is_hidden;
pub use timestamp::{BadTimestamp, Timestamp};
pub use url::{AudioUrl, BadUrl, BadUrlParts, UrlParts};

/// Name of the Kafka header that counts the tries of a job, from 1, as decimal text.
pub const ATTEMPT_HEADER: &str = "attempt";
