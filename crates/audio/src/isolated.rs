//! Decoding in a process of its own, which can do nothing else.

mod child;
mod contain;
mod descriptors;
mod ended;
pub(crate) mod inspect;
mod media;
mod message;
mod process;

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stt_core::{Budget, Cancel, Decode, ErrorCode, Failure, Fetched, Pcm, Stop, SystemClock};

pub use self::child::{DecodeChildError, decode_child};
pub use self::contain::{Containment, contain};
use self::message::Nonsense;
use self::process::{End, Process, Verdict};
use crate::DecodeConfig;
use crate::decode::{check, check_not_empty, expired, float, stopped};

/// How a process that calls [`decode_child`] is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeChild {
    /// The program. `/proc/self/exe` is the one that runs, even when its file was replaced meanwhile.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment; of ours it gets nothing. Empty by default.
    pub environment: Vec<(OsString, OsString)>,
}

impl DecodeChild {
    /// This program again, with one argument, by which its `main` knows that it is to call [`decode_child`].
    #[must_use]
    pub fn this_program(argument: impl Into<OsString>) -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec![argument.into()],
            environment: vec![],
        }
    }
}

/// Settings of [`IsolatedDecode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationConfig {
    /// What is decoded. Default [`DecodeConfig::default`].
    pub decode: DecodeConfig,
    /// How a process that decodes is started. No default.
    pub child: DecodeChild,
    /// Most bytes of memory it may map beyond its program and libraries (`RLIMIT_AS`). Default 512 MiB: samples are given
    /// on as they come, so decoders need a few MiB, whatever the length.
    pub memory_bytes_max: u64,
    /// Most time of the processor for one job, in whole seconds (`RLIMIT_CPU`). Default `None`: the job's budget.
    pub cpu_max: Option<Duration>,
    /// Most jobs that one does, one after another, as long as nothing is wrong with any; 1 starts a new one for each. Default 64.
    pub jobs_max: u32,
    /// Longest wait for one that starts. Default 10 s.
    pub start_wait: Duration,
}

impl IsolationConfig {
    /// The defaults, with this child.
    #[must_use]
    pub fn new(child: DecodeChild) -> Self {
        Self {
            decode: DecodeConfig::default(),
            child,
            memory_bytes_max: 512 << 20,
            cpu_max: None,
            jobs_max: 64,
            start_wait: Duration::from_secs(10),
        }
    }
}

/// Decodes as [`crate::FfmpegDecode`] does, to the same samples and failures, in processes that are shut in
/// ([`contain`]) and limited: a crash, an endless loop or a hunger for memory ends one of them and fails one job.
///
/// A process does one job at a time and up to [`IsolationConfig::jobs_max`], as long as all is well; there are as many as
/// jobs were decoded at once. After media that failed or was damaged it is not used again, so that what media may have
/// done to it meets no other job. One that crashes, talks nonsense, or does not end with its budget is killed. When that
/// happens to one that did other jobs before, the job is tried again in a new one: the fault may be an earlier job's. So is
/// once, in any case, a job for which the memory did not suffice. A process of this program starts in about 50 ms
/// (docs/benchmarks.md).
///
/// Failures beyond those of decoding: `AUDIO_DECODE_FAILED`, for good when the media ended a decoder (by a signal such as
/// SIGSEGV, for too little memory), transient when it was killed from outside, worker-local when none can be started.
#[derive(Debug)]
pub struct IsolatedDecode {
    config: IsolationConfig,
    idle: Mutex<Vec<Process>>,
    /// Killed, but held by the kernel; waited for later.
    dying: Mutex<Vec<Child>>,
    counts: Counts,
    told: AtomicBool,
}

/// What became of processes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeStats {
    /// Started.
    pub started: u64,
    /// Ended after their last job: they had done all that one does, or its media failed or was damaged.
    pub retired: u64,
    /// Ended by the kernel for a system call that decoding never makes (SIGSYS): somebody was at work in there.
    pub violated: u64,
    /// Ended by themselves: a crash, or a limit reached.
    pub crashed: u64,
    /// Killed at the end of a job's time, or as they did not start in time.
    pub expired: u64,
    /// Killed as their job was cancelled.
    pub cancelled: u64,
    /// Killed for an answer that was none.
    pub protocol: u64,
}

#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    retired: AtomicU64,
    violated: AtomicU64,
    crashed: AtomicU64,
    expired: AtomicU64,
    cancelled: AtomicU64,
    protocol: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl IsolatedDecode {
    /// Starts nothing yet: the first job does.
    #[must_use]
    pub fn new(config: IsolationConfig) -> Self {
        Self {
            config,
            idle: Mutex::default(),
            dying: Mutex::default(),
            counts: Counts::default(),
            told: AtomicBool::new(false),
        }
    }

    /// What became of processes so far.
    #[must_use]
    pub fn stats(&self) -> DecodeStats {
        let Counts {
            started,
            retired,
            violated,
            crashed,
            expired,
            cancelled,
            protocol,
        } = &self.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DecodeStats {
            started: read(started),
            retired: read(retired),
            violated: read(violated),
            crashed: read(crashed),
            expired: read(expired),
            cancelled: read(cancelled),
            protocol: read(protocol),
        }
    }

    /// One that waits for work, or a new one.
    fn take(&self, budget: &Budget<'_>) -> Result<Process, Failure> {
        lock(&self.dying).retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        loop {
            let Some(process) = lock(&self.idle).pop() else {
                return self.start(budget).map(|(process, _)| process);
            };
            if process.is_idle() {
                return Ok(process);
            }
            log::debug!("a decoder ended while it had nothing to do");
            count(&self.counts.crashed);
            self.kill(process);
        }
    }

    /// Starts one, to see whether that can be done and what holds it; it waits for the first job then.
    ///
    /// # Errors
    /// When none can be started.
    pub fn check(&self) -> Result<Containment, Failure> {
        let cancel = Cancel::default();
        let budget = Budget::new(&SystemClock, &cancel, self.config.start_wait);
        let (process, holds) = self.start(&budget)?;
        self.put_back(process);
        Ok(holds)
    }

    fn start(&self, budget: &Budget<'_>) -> Result<(Process, Containment), Failure> {
        let cannot = |why: String| {
            Failure::worker_local(
                ErrorCode::AudioDecodeFailed,
                format!("no decoder can be started: {why}"),
            )
        };
        let mut process = Process::start(&self.config.child).map_err(|error| cannot(error.to_string()))?;
        count(&self.counts.started);
        match process.ready(&self.config, budget) {
            Ok(holds) => {
                self.tell(holds);
                Ok((process, holds))
            }
            Err(end) => {
                let why = self.end(process, &end);
                Err(match end {
                    End::Stopped(_) => stopped(budget)
                        .unwrap_or_else(|| cannot(format!("it was not ready within {:?}", self.config.start_wait))),
                    _ => cannot(why.message),
                })
            }
        }
    }

    /// Once, what this kernel lacks.
    fn tell(&self, holds: Containment) {
        let lacks = holds.lacks();
        if lacks.is_empty() || self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        log::warn!(
            "the kernel lacks {}: decoders are held by the rest alone",
            lacks.join(", ")
        );
    }

    /// Ends one that is of no use any more. What it means for the job, if the job is to blame.
    fn end(&self, mut process: Process, end: &End) -> Failure {
        let (counter, failure) = match end {
            End::Gone => match process.ended() {
                Some(status) if ended::is_violation(status) => {
                    log::warn!(
                        "a decoder was ended for a system call that decoding never makes: its media is an attack"
                    );
                    (&self.counts.violated, ended::failure(status))
                }
                Some(status) => (&self.counts.crashed, ended::failure(status)),
                None => (&self.counts.protocol, nonsense("it closed its socket")),
            },
            End::Stopped(Stop::Expired) => (&self.counts.expired, nonsense("it is late")),
            End::Stopped(Stop::Cancelled) => (&self.counts.cancelled, nonsense("it is not wanted")),
            End::Nonsense(Nonsense(what)) => (&self.counts.protocol, nonsense(what)),
            End::System(error) => (
                &self.counts.protocol,
                Failure::worker_local(
                    ErrorCode::AudioDecodeFailed,
                    format!("the decoder cannot be spoken to: {error}"),
                ),
            ),
        };
        count(counter);
        self.kill(process);
        failure
    }

    fn kill(&self, process: Process) {
        if let Some(child) = process.kill() {
            log::warn!("a decoder that was killed does not end yet");
            lock(&self.dying).push(child);
        }
    }

    /// Keeps it for the next job, unless it has done enough.
    fn put_back(&self, process: Process) {
        if process.jobs < self.config.jobs_max {
            lock(&self.idle).push(process);
        } else {
            self.retire(process);
        }
    }

    /// Ends it, as its media may have done something to it.
    fn retire(&self, process: Process) {
        count(&self.counts.retired);
        self.kill(process);
    }
}

impl Decode for IsolatedDecode {
    fn decode(&self, media: &Fetched, budget: &Budget<'_>) -> Result<Pcm, Failure> {
        check_not_empty(media)?;
        let mut starved_before = false;
        loop {
            check(budget)?;
            let descriptor = media::descriptor(media)?;
            let mut process = self.take(budget)?;
            let mut pcm = Pcm::default();
            let duration_max = self.config.decode.duration_max;
            let samples_max = (duration_max.as_secs_f64() * f64::from(Pcm::RATE)) as usize;
            let mut take = |samples: &[i16]| {
                pcm.samples.extend(samples.iter().copied().map(float));
                if pcm.samples.len() > samples_max {
                    return Err(Nonsense("more samples than asked for"));
                }
                Ok(())
            };
            match process.decode(descriptor.as_fd(), &self.config, budget, &mut take) {
                Ok(Verdict::Done { damaged: false }) => {
                    self.put_back(process);
                    return Ok(pcm);
                }
                Ok(Verdict::Done { damaged: true }) => {
                    self.retire(process);
                    return Ok(pcm);
                }
                Ok(Verdict::Failed { failure, starved }) => {
                    self.retire(process);
                    if starved && !starved_before {
                        starved_before = true;
                        log::debug!("{failure}; trying once more in a new one");
                        continue;
                    }
                    return Err(match failure.code {
                        ErrorCode::TranscribeTimeout => expired(budget),
                        _ => failure,
                    });
                }
                Err(end) => {
                    let is_new = process.jobs == 1;
                    let failure = self.end(process, &end);
                    if matches!(end, End::Stopped(_)) {
                        return Err(stopped(budget).unwrap_or_else(|| expired(budget)));
                    }
                    if is_new {
                        return Err(failure);
                    }
                    log::debug!("{failure}; trying again in a new one");
                }
            }
        }
    }
}

impl Drop for IsolatedDecode {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        idle.into_iter().for_each(|process| self.kill(process));
        for child in lock(&self.dying).iter_mut() {
            let _ = child.wait(); // it was killed; nothing is left to be done
        }
    }
}

fn nonsense(what: &str) -> Failure {
    Failure::permanent(
        ErrorCode::AudioDecodeFailed,
        format!("the decoder does not answer as agreed: {what}"),
    )
}

/// No step behind these locks leaves a list half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
