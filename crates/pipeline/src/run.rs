//! A pipeline from start to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stt_core::{
    Clock, CoordinatorConfig, Decode, Exit, Failure, Fetch, JobLabel, Report, Sink, Source, SourceError, Transcribe,
    Waker,
};

use crate::telemetry::Telemetry;
use crate::{Driver, StatusBoard, WorkerPool};

/// What the workers use.
#[derive(Clone)]
pub struct Services {
    /// Downloads.
    pub fetch: Arc<dyn Fetch>,
    /// Decodes.
    pub decode: Arc<dyn Decode>,
    /// Transcribes.
    pub transcribe: Arc<dyn Transcribe>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Sizes and times of the pipeline.
#[derive(Clone, Debug)]
pub struct Config {
    /// Those of the coordinator, `transactional` excepted: the sink says that.
    pub coordinator: CoordinatorConfig,
    /// Longest the polling thread waits for an event. Default 100 ms.
    pub poll_wait: Duration,
    /// Decoded audio beyond this many bytes stops further decoding ahead of the engine. Default 256 MiB.
    pub decoded_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            coordinator: CoordinatorConfig::default(),
            poll_wait: Duration::from_millis(100),
            decoded_bytes_max: 256 << 20,
        }
    }
}

/// Asks the pipeline to stop; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stopping(Arc<AtomicBool>);

impl Stopping {
    /// Take nothing more in, finish what fits the grace, leave.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a pipeline ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// No more jobs can come.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A part reported that this process cannot go on.
    #[error("cannot go on: {}", .0.error_chain())]
    Fatal(Failure),
    /// A job exceeded its time limits by far and cannot be stopped.
    #[error(
        "{job} is in {stage} for {elapsed:?} and cannot be stopped: native code hangs; the process ends, and the job counts as \
         having crashed it"
    )]
    Hung {
        /// Which job.
        job: Box<JobLabel>,
        /// In which step.
        stage: &'static str,
        /// For how long.
        elapsed: Duration,
    },
    /// A thread could not be started.
    #[error("cannot start a worker thread")]
    Thread(#[from] std::io::Error),
}

/// Runs until `stopping` is asked for, or something ends it. Leaves the group at the end. Threads of jobs that do not end in
/// time are left behind, so the process should exit soon after.
///
/// # Errors
/// When the source or a part is gone for good, or a job hangs; offsets of unfinished jobs stay open.
pub fn run(
    source: &mut dyn Source,
    sink: &mut dyn Sink,
    services: &Services,
    config: &Config,
    board: &Arc<StatusBoard>,
    stopping: &Stopping,
) -> Result<Report, Ended> {
    let waker: Waker = source.waker();
    sink.set_waker(Arc::clone(&waker));
    let mut workers = WorkerPool::start(services, config, waker)?;
    let leave_wait = config.coordinator.leave_wait;
    let mut telemetry = Telemetry::new(Arc::clone(&services.clock));
    let mut on_event = |event| telemetry.record(event);
    let mut driver = Driver::new(
        source,
        sink,
        &mut workers,
        services.clock.as_ref(),
        config,
        board,
        &mut on_event,
    );
    let ended = loop {
        match driver.turn(stopping.is_asked()) {
            Ok(None) => {}
            Ok(Some(exit)) => break Ok(exit),
            Err(error) => break Err(error),
        }
    };
    // Records on their way first: a commit that is on its way already may depend on none of them.
    sink.close(leave_wait);
    source.close(leave_wait);
    match ended? {
        Exit::Stopped(report) => {
            workers.join_idle();
            Ok(report)
        }
        Exit::Fatal(failure) => Err(Ended::Fatal(failure)),
        Exit::Hung { job, stage, elapsed } => Err(Ended::Hung {
            job: Box::new(job),
            stage: stage.as_str(),
            elapsed,
        }),
    }
}
