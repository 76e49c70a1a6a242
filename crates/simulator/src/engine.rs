//! A process's workers: download, decoding, and an engine with as many places as the worker's concurrency.

use std::collections::{BTreeMap, VecDeque};

use stt_core::{ErrorCode, Failure, Fault, JobId, Segment, Transcript, WorkItem, WorkStage, WorkerEvent, Workers};

use crate::script::Class;
use crate::world::{Effect, Event, MS, SECOND, Shared, Time, World};

#[derive(Debug, Default)]
pub(crate) struct Engine {
    tasks: BTreeMap<JobId, Task>,
    ready: VecDeque<JobId>,
    busy: u32,
    events: VecDeque<WorkerEvent>,
}

#[derive(Debug)]
struct Task {
    spec: usize,
    stage: WorkStage,
    cancelled: bool,
}

impl World {
    fn start_work(&mut self, id: usize, work: &WorkItem) {
        let path = work.audio_url.expose().path();
        let spec = path.trim_start_matches('/').parse().unwrap_or(0);
        let task = Task {
            spec,
            stage: WorkStage::Starting,
            cancelled: false,
        };
        self.specs[spec].runs += 1;
        self.oracle.job_started(id, work.job);
        self.incarnations[id].engine.tasks.insert(work.job, task);
        self.log(|| format!("process {id} starts job {} (spec {spec})", work.job.0));
        self.push(self.now + MS / 2, Event::Stage(id, work.job));
    }

    fn cancel_work(&mut self, id: usize, job: JobId) {
        if let Some(task) = self.incarnations[id].engine.tasks.get_mut(&job) {
            task.cancelled = true;
            let at = self.now + self.rng.u64(MS..300 * MS);
            self.push(at, Event::Stage(id, job));
        }
    }

    pub(crate) fn engine_event(&mut self, id: usize, job: JobId) {
        let incarnation = &mut self.incarnations[id];
        if !incarnation.alive {
            return;
        }
        if incarnation.paused_until > self.now {
            let at = incarnation.paused_until + MS;
            return self.push(at, Event::Stage(id, job));
        }
        let Some(task) = incarnation.engine.tasks.get(&job) else {
            return;
        };
        let (spec, stage, cancelled) = (task.spec, task.stage, task.cancelled);
        let kind = self.specs[spec].kind;
        let hangs = kind.class == Class::Hang && stage == WorkStage::Transcribe;
        if hangs {
            return;
        }
        if cancelled {
            return self.finish(
                id,
                job,
                Err(Failure::transient(ErrorCode::TranscribeTimeout, "cancelled")),
            );
        }
        match stage {
            WorkStage::Starting => {
                let wait = match kind.class {
                    Class::SlowHost => 30 * SECOND,
                    _ => self.rng.u64(5 * MS..60 * MS),
                };
                self.enter(id, job, WorkStage::Download, Some(wait));
            }
            WorkStage::Download => {
                let worker = self.incarnations[id].worker;
                let failure = if self.faults.disk_full_until[worker] > self.now {
                    Some(Failure::worker_local(
                        ErrorCode::DownloadFailed,
                        "no space left on device",
                    ))
                } else if kind.class == Class::SlowHost {
                    Some(Failure::transient(
                        ErrorCode::DownloadTimeout,
                        "the server answers nothing",
                    ))
                } else if kind.class == Class::Permanent {
                    Some(Failure::permanent(ErrorCode::AudioUnsupportedFormat, "not audio"))
                } else {
                    None
                };
                match failure {
                    Some(failure) => self.finish(id, job, Err(failure)),
                    None => self.enter(id, job, WorkStage::Decode, Some(3 * MS)),
                }
            }
            WorkStage::Decode => {
                self.enter(id, job, WorkStage::Ready, None);
                self.incarnations[id].engine.ready.push_back(job);
                self.dispatch(id);
            }
            WorkStage::Downloaded | WorkStage::Ready => {}
            WorkStage::Transcribe => self.transcribed(id, job, spec),
        }
    }

    fn transcribed(&mut self, id: usize, job: JobId, number: usize) {
        let spec = &mut self.specs[number];
        let n = spec.kind.n;
        let result = match spec.kind.class {
            Class::Killer => {
                spec.kills += 1;
                return self.effects.push(Effect::Kill(id));
            }
            Class::RareKiller if spec.kills < n => {
                spec.kills += 1;
                return self.effects.push(Effect::Kill(id));
            }
            Class::Transient if spec.runs <= n => Err(Failure {
                fault: Fault::Transient { after: None },
                ..Failure::transient(ErrorCode::TranscribeFailed, "it failed this time")
            }),
            Class::Fatal if spec.runs == 1 => Err(Failure::fatal(ErrorCode::TranscribeFailed, "the device is gone")),
            Class::LargeResult => Ok("y".repeat(n as usize)),
            _ => Ok("text".to_owned()),
        };
        let result = result.map(|text| Transcript {
            text,
            segments: vec![Segment::default()],
            ..Transcript::default()
        });
        self.finish(id, job, result);
    }

    fn enter(&mut self, id: usize, job: JobId, stage: WorkStage, wait: Option<Time>) {
        let engine = &mut self.incarnations[id].engine;
        if let Some(task) = engine.tasks.get_mut(&job) {
            task.stage = stage;
        }
        engine.events.push_back(WorkerEvent::Stage { job, stage });
        self.wake(id, self.now);
        if let Some(wait) = wait {
            self.push(self.now + wait, Event::Stage(id, job));
        }
    }

    fn dispatch(&mut self, id: usize) {
        while self.incarnations[id].engine.busy < self.setup.concurrency.max(1)
            && let Some(job) = self.incarnations[id].engine.ready.pop_front()
        {
            let Some(task) = self.incarnations[id].engine.tasks.get(&job) else {
                continue;
            };
            let kind = self.specs[task.spec].kind;
            let wait = match kind.class {
                Class::Good | Class::Keyless | Class::Killer => kind.n * MS,
                _ => 80 * MS,
            };
            self.incarnations[id].engine.busy += 1;
            self.enter(id, job, WorkStage::Transcribe, Some(wait));
        }
    }

    fn finish(&mut self, id: usize, job: JobId, result: Result<Transcript, Failure>) {
        let engine = &mut self.incarnations[id].engine;
        let Some(task) = engine.tasks.remove(&job) else { return };
        engine.ready.retain(|waiting| *waiting != job);
        if task.stage == WorkStage::Transcribe {
            engine.busy -= 1;
        }
        let times = vec![];
        engine.events.push_back(WorkerEvent::Finished { job, result, times });
        self.oracle.job_finished(id, job);
        self.dispatch(id);
        self.wake(id, self.now);
    }
}

/// [`Workers`] over a process's engine.
#[derive(Debug)]
pub(crate) struct SimWorkers {
    pub world: Shared,
    pub id: usize,
}

impl Workers for SimWorkers {
    fn start(&mut self, work: WorkItem) {
        self.world.lock().start_work(self.id, &work);
    }

    fn cancel(&mut self, job: JobId) {
        self.world.lock().cancel_work(self.id, job);
    }

    fn poll(&mut self) -> Option<WorkerEvent> {
        self.world.lock().incarnations[self.id].engine.events.pop_front()
    }
}
