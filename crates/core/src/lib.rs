//! The core of stt-worker: the values that a job passes through, the traits behind which the machinery stands (Kafka, HTTP,
//! FFmpeg, CTranslate2), and [`Coordinator`], which makes every delivery decision.
//!
//! A record becomes an [`IncomingJob`]; workers turn it into a [`Transcript`] or a [`Failure`]; the coordinator turns that
//! into an [`Outcome`], has it published, and commits the record's offset once the broker has acknowledged it.
//!
//! This crate does no IO of its own (subtitles go where the caller says), reads no clock but through [`Clock`], holds no
//! locks and writes no logs.

mod flow;
mod model;
mod ports;

pub use flow::{
    Coordinator, CoordinatorConfig, Exit, FailureLabel, FlowEvent, Form, IgnoredReason, IncomingJob, Input, JobLabel,
    JobStatus, NotReady, OutcomeStatus, Output, PartitionStatus, RETRY_HEADERS, Report, Status,
};
pub use model::{
    Backoff, Budget, Cancel, Clock, Cue, Delivery, Destination, Failure, Fault, Fetched, Header, JobId, Limits,
    Outcome, OutcomeKind, OutcomeRecord, Partition, Pcm, Segment, Site, SpillFile, Stop, SystemClock, TraceContext,
    Transcript, Word, error_chain, write_json, write_srt, write_txt, write_vtt,
};
pub use ports::{
    Assignment, Batch, BatchId, BatchResult, Commit, CommittedOffset, Decode, Fetch, OutcomeResult, ResetCause, Sink,
    Source, SourceError, SourceEvent, StageTimes, Transcribe, TranscribeRequest, Waker, WorkItem, WorkStage,
    WorkerEvent, Workers,
};

/// Wire types that implementors of the traits and users of the values name.
pub use stt_schema::{AudioUrl, DetailLevel, ErrorCode, FailureStage, Language, UrlParts, is_hidden};
