//! Worker threads: each runs one job at a time, from its URL to its transcript.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use stt_core::{
    Budget, Cancel, DetailLevel, ErrorCode, Failure, JobId, Limits, StageTimes, TranscribeRequest, Transcript, Waker,
    WorkItem, WorkStage, WorkerEvent, Workers,
};

use crate::slots::{Cancelled, Slots};
use crate::{Config, Services};

/// A thread for each job in the window: `concurrency` of them transcribe at once, the others download and decode ahead, so
/// that the engine does not wait for a slow server.
pub struct WorkerPool {
    tasks: Option<Sender<(WorkItem, Cancel)>>,
    events: Receiver<WorkerEvent>,
    running: HashMap<JobId, Cancel>,
    threads: Vec<JoinHandle<()>>,
}

/// Decoders that may run beyond one for each place in the engine.
const DECODERS_AHEAD: usize = 1;

impl WorkerPool {
    /// Starts the threads. `waker` is called when [`Workers::poll`] has something.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(services: &Services, config: &Config, waker: Waker) -> std::io::Result<Self> {
        let (task_in, task_out) = mpsc::channel();
        let (event_in, events) = mpsc::channel();
        let task_out = Arc::new(Mutex::new(task_out));
        let engines = config.coordinator.concurrency.max(1);
        let worker = Worker {
            services: services.clone(),
            limits: config.coordinator.limits.clone(),
            detail: config.coordinator.detail,
            slots: Arc::new(Slots::new(engines + DECODERS_AHEAD, engines, config.decoded_bytes_max)),
            events: event_in,
            waker,
        };
        let start = |number| {
            let (worker, tasks) = (worker.clone(), Arc::clone(&task_out));
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            thread.spawn(move || worker.serve(&tasks))
        };
        let threads = (0..config.coordinator.window()).map(start).collect::<Result<_, _>>()?;
        Ok(Self {
            tasks: Some(task_in),
            events,
            running: HashMap::new(),
            threads,
        })
    }

    /// Ends the threads that have nothing to do and waits for them; those that run a job are left to themselves.
    pub fn join_idle(&mut self) {
        self.tasks = None;
        if self.running.is_empty() {
            for thread in self.threads.drain(..) {
                let _ = thread.join(); // a panic was reported as the failure of its job
            }
        }
    }
}

impl Workers for WorkerPool {
    fn start(&mut self, work: WorkItem) {
        let cancel = Cancel::default();
        self.running.insert(work.job, cancel.clone());
        if let Some(tasks) = &self.tasks {
            // The receiver lives as long as any thread does, and no job ends a thread.
            let _ = tasks.send((work, cancel));
        }
    }

    fn cancel(&mut self, job: JobId) {
        if let Some(cancel) = self.running.get(&job) {
            cancel.cancel();
        }
    }

    fn poll(&mut self) -> Option<WorkerEvent> {
        let event = self.events.try_recv().ok()?;
        if let WorkerEvent::Finished { job, .. } = &event {
            self.running.remove(job);
        }
        Some(event)
    }
}

#[derive(Clone)]
struct Worker {
    services: Services,
    limits: Limits,
    detail: DetailLevel,
    slots: Arc<Slots>,
    events: Sender<WorkerEvent>,
    waker: Waker,
}

impl Worker {
    /// Runs jobs until there are no more.
    fn serve(&self, tasks: &Mutex<Receiver<(WorkItem, Cancel)>>) {
        loop {
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((work, cancel)) = task else { return };
            let job = work.job;
            let mut run = Run {
                worker: self,
                job,
                cancel: &cancel,
                times: vec![],
            };
            // Whatever panics, here or in any library, the thread lives on and the job is reported: a lost report would hold
            // its place and its offset for ever.
            let result = catch_unwind(AssertUnwindSafe(|| run.process(&work)));
            let times = std::mem::take(&mut run.times);
            let result = result.unwrap_or_else(|panic| Err(panicked(&times, panic.as_ref())));
            self.report(WorkerEvent::Finished { job, result, times });
        }
    }

    fn report(&self, event: WorkerEvent) {
        let _ = self.events.send(event); // without a polling thread nobody could act on it
        (self.waker)();
    }
}

/// One job in a worker's hands.
struct Run<'a> {
    worker: &'a Worker,
    job: JobId,
    cancel: &'a Cancel,
    times: StageTimes,
}

impl Run<'_> {
    fn process(&mut self, work: &WorkItem) -> Result<Transcript, Failure> {
        let (worker, cancel) = (self.worker, self.cancel);
        let (services, limits) = (&worker.services, &worker.limits);
        let budget = |allowed| Budget::new(services.clock.as_ref(), cancel, allowed);

        let fetched = self.stage(WorkStage::Download, || {
            services.fetch.fetch(&work.audio_url, &budget(limits.download))
        })?;

        // Decoding and transcription share one time limit; waiting for a place counts towards neither.
        let slot = self.wait(WorkStage::Downloaded, || worker.slots.decode(cancel))?;
        let pcm = self.stage(WorkStage::Decode, || {
            services.decode.decode(&fetched, &budget(limits.transcribe))
        })?;
        let left = limits.transcribe.saturating_sub(self.last_stage_time());
        drop(fetched); // the encoded bytes are not needed while the engine works
        let _decoded = worker.slots.hold(std::mem::size_of_val(pcm.samples.as_slice()));
        drop(slot);

        let _engine = self.wait(WorkStage::Ready, || worker.slots.engine(cancel))?;
        let request = TranscribeRequest {
            language: work.language,
            words: worker.detail == DetailLevel::Words,
        };
        self.stage(WorkStage::Transcribe, || {
            services.transcribe.transcribe(&pcm, &request, &budget(left))
        })
    }

    /// Runs a step, timed, also when it panics.
    fn stage<T>(&mut self, stage: WorkStage, step: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let (clock, job) = (&self.worker.services.clock, self.job);
        self.worker.report(WorkerEvent::Stage { job, stage });
        let began = clock.now();
        let result = catch_unwind(AssertUnwindSafe(step));
        self.times.push((stage, clock.now().saturating_duration_since(began)));
        result.unwrap_or_else(|panic| Err(panicked(&self.times, panic.as_ref())))
    }

    /// Waits for a place.
    fn wait<T>(&mut self, stage: WorkStage, wait: impl FnOnce() -> Result<T, Cancelled>) -> Result<T, Failure> {
        let job = self.job;
        self.worker.report(WorkerEvent::Stage { job, stage });
        wait().map_err(|Cancelled| {
            Failure::transient(ErrorCode::TranscribeFailed, "cancelled while it waited for a place")
        })
    }

    fn last_stage_time(&self) -> Duration {
        self.times.last().map_or(Duration::ZERO, |(_, time)| *time)
    }
}

/// What a panic is for its job.
fn panicked(times: &StageTimes, panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
    let stage = times.last().map_or(WorkStage::Starting, |(stage, _)| *stage).as_str();
    log::error!("panic in a worker thread during {stage}: {text}");
    Failure::transient(
        ErrorCode::WorkerCrashed,
        format!("the worker thread panicked during {stage}"),
    )
}
