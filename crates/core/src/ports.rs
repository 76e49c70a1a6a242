//! The traits behind which the machinery stands. Each has one production implementation and at least one other that passes
//! the same contract tests (`stt_testkit::contract`).

mod sink;
mod source;
mod steps;
mod workers;

pub use sink::{Batch, BatchId, BatchResult, OutcomeResult, Sink};
pub use source::{Assignment, Commit, CommittedOffset, ResetCause, Source, SourceError, SourceEvent, Waker};
pub use steps::{Decode, Fetch, Transcribe, TranscribeRequest};
pub use workers::{StageTimes, WorkItem, WorkStage, WorkerEvent, Workers};
