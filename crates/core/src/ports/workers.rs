//! Who does the work.

use std::time::Duration;

use stt_schema::{AudioUrl, Language};

use crate::{Failure, JobId, Transcript};

/// Runs jobs: download, decode, transcribe. Called by the polling thread; no call blocks.
pub trait Workers {
    /// Starts a job. It ends with exactly one [`WorkerEvent::Finished`], whatever happens to the thread that runs it.
    fn start(&mut self, work: WorkItem);

    /// Asks a running job to stop. It still ends with [`WorkerEvent::Finished`].
    fn cancel(&mut self, job: JobId);

    /// The next event.
    fn poll(&mut self) -> Option<WorkerEvent>;
}

/// One job to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkItem {
    /// Which.
    pub job: JobId,
    /// What to download.
    pub audio_url: AudioUrl,
    /// The language spoken; detected when `None`.
    pub language: Option<Language>,
}

/// A step of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkStage {
    /// Waits for a worker thread.
    Starting,
    /// Downloads.
    Download,
    /// Is downloaded and waits for a place among the decoders.
    Downloaded,
    /// Decodes.
    Decode,
    /// Is decoded and waits for the engine.
    Ready,
    /// Is transcribed.
    Transcribe,
}

impl WorkStage {
    /// Name in metrics, logs and `/readyz`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Download => "download",
            Self::Downloaded => "downloaded",
            Self::Decode => "decode",
            Self::Ready => "ready",
            Self::Transcribe => "transcribe",
        }
    }
}

/// How long each step of a job took, in order.
pub type StageTimes = Vec<(WorkStage, Duration)>;

/// What workers report.
#[derive(Debug)]
pub enum WorkerEvent {
    /// A job entered a step.
    Stage {
        /// Which job.
        job: JobId,
        /// Which step.
        stage: WorkStage,
    },
    /// A job ended.
    Finished {
        /// Which job.
        job: JobId,
        /// Its transcript, or why there is none.
        result: Result<Transcript, Failure>,
        /// What its steps took.
        times: StageTimes,
    },
}
