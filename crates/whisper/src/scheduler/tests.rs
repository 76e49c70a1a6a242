//! Jobs that share a backend which counts its calls.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use stt_core::{Cancel, SystemClock};

use super::*;
use crate::backend::{Alignment, Generated, PromptShape, Search};
use crate::options::Options;

/// Long enough that a test that waits for it fails by its own time limit.
const LONG: Duration = Duration::from_secs(600);

/// Echoes its input, and records how many windows each call has. A window is known by its first value.
#[derive(Default)]
struct CountingBackend {
    encoded: Mutex<Vec<usize>>,
    generated: Mutex<Vec<usize>>,
    aligned: Mutex<Vec<usize>>,
    threads: Mutex<Vec<usize>>,
    /// Fails for batches with this window.
    poison: Option<f32>,
    panics: bool,
    /// Windows that fit into its memory.
    memory: Option<usize>,
    /// Reports that generation has begun, and waits for the test.
    gate: Option<Gate>,
}

type Gate = (Mutex<mpsc::Sender<usize>>, Mutex<mpsc::Receiver<()>>);

impl CountingBackend {
    fn fit(&self, rows: usize) -> Result<(), BackendError> {
        if self.memory.is_some_and(|most| rows > most) {
            return Err(BackendError("CUDA failed with error out of memory".into()));
        }
        Ok(())
    }
}

impl Backend for CountingBackend {
    type Encoded = f32;

    fn encode(&self, windows: &[&[f32]], threads: usize) -> Result<Vec<f32>, BackendError> {
        self.encoded.lock().expect("log").push(windows.len());
        self.threads.lock().expect("log").push(threads);
        self.fit(windows.len())?;
        Ok(windows.iter().map(|window| window[0]).collect())
    }

    fn languages(&self, windows: &[&f32], _: usize) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        Ok(windows.iter().map(|window| vec![(**window as u32, 1.0)]).collect())
    }

    fn generate(
        &self,
        windows: &[&f32],
        prompts: &[&[u32]],
        _: &Search,
        _: usize,
    ) -> Result<Vec<Generated>, BackendError> {
        assert_eq!(windows.len(), prompts.len(), "a prompt for each window");
        if let Some((begun, go_on)) = &self.gate {
            begun
                .lock()
                .expect("gate")
                .send(windows.len())
                .expect("the test listens");
            go_on.lock().expect("gate").recv().expect("the test opens");
        }
        self.generated.lock().expect("log").push(prompts.len());
        self.fit(windows.len())?;
        if windows.iter().any(|window| Some(**window) == self.poison) {
            assert!(!self.panics, "as the test asked");
            return Err(BackendError("no".into()));
        }
        let text = |(window, prompt): (&&f32, &&[u32])| Generated {
            tokens: vec![**window as u32, prompt[0]],
            ..Generated::default()
        };
        Ok(windows.iter().zip(prompts).map(text).collect())
    }

    fn align(
        &self,
        windows: &[&f32],
        _: &[u32],
        texts: &[&[u32]],
        frames: &[usize],
        _: usize,
    ) -> Result<Vec<Alignment>, BackendError> {
        assert_eq!((windows.len(), windows.len()), (texts.len(), frames.len()));
        self.aligned.lock().expect("log").push(texts.len());
        let alignment = |(window, text): (&&f32, &&[u32])| Alignment {
            path: vec![(**window as usize, text.len())],
            probabilities: vec![],
        };
        Ok(windows.iter().zip(texts).map(alignment).collect())
    }
}

fn generate(prompt: u32) -> Request {
    Request::Generate {
        prompt: vec![prompt],
        shape: PromptShape {
            len: 1,
            start: 0,
            without_timestamps: false,
        },
        search: Search::at(0.0, 448, &Options::default(), &Arc::from([])),
    }
}

fn align(text: &[u32]) -> Request {
    let (start, text) = (vec![1], text.to_vec());
    Request::Align {
        start,
        text,
        frames: 10,
    }
}

fn limits(decode: usize) -> Limits {
    Limits {
        replicas: 1,
        threads: 4,
        batch: BatchMax { encode: 8, decode },
        batch_wait: LONG,
    }
}

fn scheduler(backend: CountingBackend, decode: usize) -> BatchScheduler<CountingBackend> {
    BatchScheduler::new(backend, limits(decode))
}

fn log(log: &Mutex<Vec<usize>>) -> Vec<usize> {
    log.lock().expect("log").clone()
}

/// So many jobs at once, each with its window and the requests it makes one after another.
fn work(
    scheduler: &BatchScheduler<CountingBackend>,
    jobs: u32,
    requests: &[&(dyn Fn(u32) -> Request + Sync)],
) -> Vec<Vec<Result<Response, SubmitError>>> {
    let clients: Vec<_> = (0..jobs).map(|_| scheduler.client()).collect();
    thread::scope(|scope| {
        let job = |(number, client): (u32, SchedulerClient<'_, CountingBackend>)| {
            let cancel = Cancel::default();
            let budget = Budget::new(&SystemClock, &cancel, LONG);
            let window = match client.encode(vec![number as f32], 1, &budget) {
                Ok(window) => window,
                Err(error) => return vec![Err(error)],
            };
            requests
                .iter()
                .map(|request| client.decode(&window, request(number), &budget))
                .collect()
        };
        let threads: Vec<_> = (0..).zip(clients).map(|pair| scope.spawn(move || job(pair))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .collect()
    })
}

fn text(tokens: &[u32]) -> Result<Response, SubmitError> {
    Ok(Response::Generated(Generated {
        tokens: tokens.to_vec(),
        ..Generated::default()
    }))
}

#[test]
fn a_single_job_waits_for_no_other_and_has_all_threads() {
    let scheduler = scheduler(CountingBackend::default(), 8);
    let responses = work(&scheduler, 1, &[&|_| generate(7), &|_| generate(8)]);
    assert_eq!(responses, [[text(&[0, 7]), text(&[0, 8])]]);
    assert_eq!(log(&scheduler.backend.encoded), [1], "once for both");
    assert_eq!(log(&scheduler.backend.generated), [1, 1]);
    assert_eq!(log(&scheduler.backend.threads), [4]);
}

#[test]
fn jobs_share_calls_and_each_has_its_own_response() {
    let scheduler = scheduler(CountingBackend::default(), 8);
    let responses = work(
        &scheduler,
        4,
        &[&|_| Request::Languages, &generate, &|number| {
            align(&vec![0; number as usize])
        }],
    );
    for (number, responses) in (0u32..).zip(responses) {
        let path = vec![(number as usize, number as usize)];
        let languages = Response::Languages(vec![(number, 1.0)]);
        let alignment = Alignment {
            path,
            probabilities: vec![],
        };
        assert_eq!(
            responses,
            [
                Ok(languages),
                text(&[number, number]),
                Ok(Response::Alignment(alignment))
            ]
        );
    }
    assert_eq!(log(&scheduler.backend.encoded), [4]);
    assert_eq!(
        (log(&scheduler.backend.generated), log(&scheduler.backend.aligned)),
        (vec![4], vec![4])
    );
}

#[test]
fn a_batch_is_never_larger_than_its_maximum() {
    let scheduler = scheduler(CountingBackend::default(), 3);
    let responses = work(&scheduler, 7, &[&generate]);
    assert!(responses.iter().flatten().all(Result::is_ok));
    let batches = log(&scheduler.backend.generated);
    assert!(batches.iter().all(|rows| *rows <= 3), "{batches:?}");
    assert_eq!(batches.iter().sum::<usize>(), 7);
}

#[test]
fn replicas_run_at_the_same_time_and_share_threads_and_work() {
    let ((begun, begins), (open, opened)) = (mpsc::channel(), mpsc::channel());
    let backend = CountingBackend {
        gate: Some((Mutex::new(begun), Mutex::new(opened))),
        ..CountingBackend::default()
    };
    let limits = Limits {
        replicas: 2,
        ..limits(8)
    };
    let scheduler = BatchScheduler::new(backend, limits);
    thread::scope(|scope| {
        let jobs = scope.spawn(|| work(&scheduler, 4, &[&generate]));
        let rows = [begins.recv().unwrap(), begins.recv().unwrap()];
        assert_eq!(rows.iter().sum::<usize>(), 4, "both before either ends: {rows:?}");
        open.send(()).unwrap();
        open.send(()).unwrap();
        assert!(jobs.join().unwrap().iter().flatten().all(Result::is_ok));
    });
    assert!(log(&scheduler.backend.threads).iter().all(|threads| *threads == 2));
}

#[test]
fn texts_of_other_length_are_aligned_in_windows_of_other_length() {
    let mut frames = [3000, 3000, 3000];
    differ(&[&[1], &[1], &[1]], &mut frames);
    assert_eq!(frames, [3000; 3], "the texts have one length");
    differ(&[&[1], &[1], &[1, 2]], &mut frames);
    assert_eq!(frames, [2998, 3000, 3000]);
    differ(&[&[1], &[1], &[1, 2]], &mut frames);
    assert_eq!(frames, [2998, 3000, 3000], "they differ already");
    let mut frames = [2999, 2998];
    differ(&[&[1], &[1, 2]], &mut frames);
    assert_eq!(frames, [2997, 2998], "to the encoder they were equal");
    let mut frames = [3, 2];
    differ(&[&[1], &[1, 2]], &mut frames);
    assert_eq!(frames, [3, 2], "too short");
}

#[test]
fn a_window_that_fails_fails_alone() {
    let backend = CountingBackend {
        poison: Some(1.0),
        ..CountingBackend::default()
    };
    let scheduler = scheduler(backend, 8);
    let responses = work(&scheduler, 3, &[&generate]);
    assert_eq!(responses[0], [text(&[0, 0])]);
    assert_eq!(responses[1], [Err(SubmitError::Failed(BackendError("no".into())))]);
    assert_eq!(responses[2], [text(&[2, 2])]);
    assert_eq!(log(&scheduler.backend.generated), [3, 1, 1, 1]);
    assert_eq!(scheduler.counts.stats().batches_failed, 1);
}

#[test]
fn too_little_memory_halves_batches_for_good() {
    let backend = CountingBackend {
        memory: Some(2),
        ..CountingBackend::default()
    };
    let scheduler = self::scheduler(backend, 8);
    assert!(work(&scheduler, 8, &[&generate]).iter().flatten().all(Result::is_ok));
    assert_eq!(log(&scheduler.backend.encoded), [8, 4, 2, 2, 4, 2, 2]);
    work(&scheduler, 4, &[&generate]);
    assert_eq!(log(&scheduler.backend.encoded)[7..], [2, 2], "the maximum is kept");

    let backend = CountingBackend {
        memory: Some(0),
        ..CountingBackend::default()
    };
    let scheduler = self::scheduler(backend, 8);
    let [responses] = &work(&scheduler, 1, &[&generate])[..] else {
        panic!("one job")
    };
    assert!(matches!(&responses[0], Err(SubmitError::Failed(error)) if error.is_out_of_memory()));
}

#[test]
fn a_backend_that_panics_fails_its_caller_and_runs_the_next() {
    let backend = CountingBackend {
        poison: Some(0.0),
        panics: true,
        ..CountingBackend::default()
    };
    let scheduler = scheduler(backend, 1);
    // Alone: of two jobs, either thread may be the one that makes the call.
    assert_eq!(work(&scheduler, 1, &[&generate]), [vec![]], "its thread panicked");
    assert!(work(&scheduler, 1, &[&|_| Request::Languages])[0][0].is_ok());
}

#[test]
fn a_job_whose_time_is_up_withdraws_its_request() {
    let ((begun, begins), (open, opened)) = (mpsc::channel(), mpsc::channel());
    let backend = CountingBackend {
        gate: Some((Mutex::new(begun), Mutex::new(opened))),
        ..CountingBackend::default()
    };
    let scheduler = scheduler(backend, 8);
    thread::scope(|scope| {
        let first = scope.spawn(|| work(&scheduler, 1, &[&generate]));
        begins.recv().unwrap();
        let (cancel, client) = (Cancel::default(), scheduler.client());
        let window = EncodedWindow {
            encoded: 5.0,
            frames: 1,
        };
        let budget = Budget::new(&SystemClock, &cancel, Duration::from_millis(30));
        let late = client.decode(&window, generate(5), &budget);
        assert_eq!(
            late,
            Err(SubmitError::Stopped(Stop::Expired)),
            "while the backend is busy"
        );
        cancel.cancel();
        let cancelled = client.decode(&window, generate(5), &budget);
        assert_eq!(cancelled, Err(SubmitError::Stopped(Stop::Cancelled)));
        drop(client);
        open.send(()).unwrap();
        assert_eq!(first.join().unwrap(), [[text(&[0, 0])]]);
    });
    assert_eq!(
        log(&scheduler.backend.generated),
        [1],
        "what was withdrawn is not computed"
    );
}
