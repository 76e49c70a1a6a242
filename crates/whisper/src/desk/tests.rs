//! Jobs at the desk, with a network that counts.

use std::sync::mpsc;
use std::thread;

use stt_core::{Cancel, SystemClock};

use super::serve::unlike;
use super::*;
use crate::net::{Alignment, Generated, Search, Shape};
use crate::options::Options;

/// Long enough that a test that waits for it fails by its own time limit.
const LONG: Duration = Duration::from_secs(600);

/// A window is known by its first value.
type Seen = Vec<f32>;

/// Says what it is told to, and remembers how many windows each call was for.
#[derive(Default)]
struct CountingNet {
    encoded: Mutex<Vec<usize>>,
    generated: Mutex<Vec<usize>>,
    aligned: Mutex<Vec<usize>>,
    /// Fails for batches that hold this window.
    poison: Option<f32>,
    panics: bool,
    /// Windows that fit into its memory, from the beginning or from now on.
    memory: Option<usize>,
    memory_now: Mutex<Option<usize>>,
    /// Tells that a call has begun, and holds it until told to go on.
    gate: Option<Gate>,
}

type Gate = (Mutex<mpsc::Sender<()>>, Mutex<mpsc::Receiver<()>>);

impl Net for CountingNet {
    type Encoded = Seen;

    fn encode(&self, windows: &[&[f32]]) -> Result<Seen, NetError> {
        if let Some((begun, go_on)) = &self.gate {
            begun.lock().expect("gate").send(()).expect("the test listens");
            go_on.lock().expect("gate").recv().expect("the test opens");
        }
        self.encoded.lock().expect("log").push(windows.len());
        if self.memory.is_some_and(|most| windows.len() > most) {
            return Err(NetError("CUDA failed with error out of memory".into()));
        }
        Ok(windows.iter().map(|window| window[0]).collect())
    }

    fn languages(&self, encoded: &Seen) -> Result<Vec<Vec<(u32, f32)>>, NetError> {
        Ok(encoded.iter().map(|window| vec![(*window as u32, 1.0)]).collect())
    }

    fn generate(&self, encoded: &Seen, prompts: &[&[u32]], _: &Search) -> Result<Vec<Generated>, NetError> {
        assert_eq!(encoded.len(), prompts.len(), "a prompt for each window");
        self.generated.lock().expect("log").push(prompts.len());
        if encoded.iter().any(|window| Some(*window) == self.poison) {
            assert!(!self.panics, "told to");
            return Err(NetError("no".into()));
        }
        let text = |(window, prompt): (&f32, &&[u32])| Generated {
            tokens: vec![*window as u32, prompt[0]],
            ..Generated::default()
        };
        Ok(encoded.iter().zip(prompts).map(text).collect())
    }

    fn align(&self, encoded: &Seen, _: &[u32], texts: &[&[u32]], frames: &[usize]) -> Result<Vec<Alignment>, NetError> {
        assert_eq!((encoded.len(), encoded.len()), (texts.len(), frames.len()));
        if self
            .memory_now
            .lock()
            .expect("limit")
            .is_some_and(|most| encoded.len() > most)
        {
            return Err(NetError("CUDA failed with error out of memory".into()));
        }
        self.aligned.lock().expect("log").push(texts.len());
        let alignment = |(window, text): (&f32, &&[u32])| Alignment {
            path: vec![(*window as usize, text.len())],
            probabilities: vec![],
        };
        Ok(encoded.iter().zip(texts).map(alignment).collect())
    }
}

fn generate(prompt: u32) -> Call {
    Call::Generate {
        prompt: vec![prompt],
        shape: Shape {
            len: 1,
            start: 0,
            without_timestamps: false,
        },
        search: Search::at(0.0, 448, &Options::default(), &Arc::from([])),
    }
}

fn align(text: &[u32]) -> Call {
    let (start, text) = (vec![1], text.to_vec());
    Call::Align {
        start,
        text,
        frames: 10,
    }
}

fn desk(net: CountingNet, most: usize) -> Desk<CountingNet> {
    Desk::new(net, most, LONG)
}

fn log(log: &Mutex<Vec<usize>>) -> Vec<usize> {
    log.lock().expect("log").clone()
}

/// So many jobs at once, each with its window and the calls it makes one after another.
fn work(
    desk: &Desk<CountingNet>,
    jobs: u32,
    calls: &[&(dyn Fn(u32) -> Call + Sync)],
) -> Vec<Vec<Result<Answer, NoAnswer>>> {
    let seats: Vec<_> = (0..jobs).map(|_| desk.sit()).collect();
    thread::scope(|scope| {
        let job = |(number, seat): (u32, Seat<'_, CountingNet>)| {
            let cancel = Cancel::default();
            let budget = Budget::new(&SystemClock, &cancel, LONG);
            let mut held = Held::new(vec![number as f32]);
            calls
                .iter()
                .map(|call| seat.ask(&mut held, call(number), &budget))
                .collect()
        };
        let threads: Vec<_> = (0..).zip(seats).map(|pair| scope.spawn(move || job(pair))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .collect()
    })
}

fn text(tokens: &[u32]) -> Result<Answer, NoAnswer> {
    Ok(Answer::Generated(Generated {
        tokens: tokens.to_vec(),
        ..Generated::default()
    }))
}

#[test]
fn a_job_alone_waits_for_nobody() {
    let desk = desk(CountingNet::default(), 8);
    let answers = work(&desk, 1, &[&|_| generate(7), &|_| generate(8)]);
    assert_eq!(answers, [[text(&[0, 7]), text(&[0, 8])]]);
    assert_eq!(log(&desk.net.encoded), [1], "its view serves again");
    assert_eq!(log(&desk.net.generated), [1, 1]);
}

#[test]
fn jobs_at_the_same_time_go_in_one_batch_and_each_has_its_own_answer() {
    let desk = desk(CountingNet::default(), 8);
    let answers = work(
        &desk,
        4,
        &[&|_| Call::Languages, &generate, &|number| {
            align(&vec![0; number as usize])
        }],
    );
    for (number, answers) in (0u32..).zip(answers) {
        let path = vec![(number as usize, number as usize)];
        let heard = Answer::Languages(vec![(number, 1.0)]);
        let alignment = Alignment {
            path,
            probabilities: vec![],
        };
        assert_eq!(
            answers,
            [Ok(heard), text(&[number, number]), Ok(Answer::Alignment(alignment))]
        );
    }
    assert_eq!(
        log(&desk.net.encoded),
        [4],
        "one encode a window, for detection, text and alignment"
    );
    assert_eq!((log(&desk.net.generated), log(&desk.net.aligned)), (vec![4], vec![4]));
}

#[test]
fn a_batch_is_never_larger_than_it_may_be() {
    let desk = desk(CountingNet::default(), 3);
    let answers = work(&desk, 7, &[&generate]);
    assert!(answers.iter().flatten().all(Result::is_ok));
    let batches = log(&desk.net.generated);
    assert!(batches.iter().all(|rows| *rows <= 3), "{batches:?}");
    assert_eq!(batches.iter().sum::<usize>(), 7);
}

#[test]
fn one_of_a_view_that_is_too_large_is_tried_alone() {
    let desk = desk(CountingNet::default(), 8);
    let seats = [desk.sit(), desk.sit()];
    let [mut first, mut second] = [0.0, 1.0].map(|window| Held::new(vec![window]));
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, LONG);
    thread::scope(|scope| {
        for (seat, held) in [(&seats[0], &mut first), (&seats[1], &mut second)] {
            let budget = &budget;
            scope.spawn(move || seat.ask(held, Call::Languages, budget));
        }
    });
    drop(seats);
    *desk.net.memory_now.lock().unwrap() = Some(1);
    let found = desk.sit().ask(&mut first, align(&[1]), &budget);
    assert!(found.is_ok(), "{found:?}");
    assert_eq!(log(&desk.net.encoded), [2, 1], "encoded again, without its mate");
}

#[test]
fn windows_of_one_length_with_texts_of_several_are_told_apart() {
    let mut frames = [3000, 3000, 3000];
    unlike(&[&[1], &[1], &[1]], &mut frames);
    assert_eq!(frames, [3000; 3], "the texts are alike");
    unlike(&[&[1], &[], &[1, 2]], &mut frames);
    assert_eq!(frames, [3000, 2998, 3000]);
    unlike(&[&[1], &[], &[1, 2]], &mut frames);
    assert_eq!(frames, [3000, 2998, 3000], "they are told apart already");
    let mut frames = [2999, 2998];
    unlike(&[&[1], &[1, 2]], &mut frames);
    assert_eq!(frames, [2997, 2998], "to the encoder they were alike");
    let mut frames = [3, 2];
    unlike(&[&[1], &[1, 2]], &mut frames);
    assert_eq!(frames, [3, 2], "too short");
    let mut frames = [3000, 3000];
    unlike(&[&[1], &[1, 2]], &mut frames);
    assert_eq!(frames, [2998, 3000]);
}

#[test]
fn a_window_that_fails_fails_alone() {
    let desk = desk(
        CountingNet {
            poison: Some(1.0),
            ..CountingNet::default()
        },
        8,
    );
    let answers = work(&desk, 3, &[&generate]);
    assert_eq!(answers[0], [text(&[0, 0])]);
    assert_eq!(answers[1], [Err(NoAnswer::Failed(NetError("no".into())))]);
    assert_eq!(answers[2], [text(&[2, 2])]);
    assert_eq!(log(&desk.net.generated), [3, 1, 1, 1]);
    assert_eq!(desk.counts.stats().batches_failed, 1);
}

#[test]
fn too_little_memory_halves_the_batch_for_good() {
    let desk = desk(
        CountingNet {
            memory: Some(2),
            ..CountingNet::default()
        },
        8,
    );
    assert!(work(&desk, 8, &[&generate]).iter().flatten().all(Result::is_ok));
    assert_eq!(log(&desk.net.encoded), [8, 4, 2, 2, 4, 2, 2]);
    work(&desk, 4, &[&generate]);
    assert_eq!(log(&desk.net.encoded)[7..], [2, 2], "what was learnt is kept");

    let desk = self::desk(
        CountingNet {
            memory: Some(0),
            ..CountingNet::default()
        },
        8,
    );
    let [answers] = &work(&desk, 1, &[&generate])[..] else {
        panic!("one job")
    };
    assert!(matches!(&answers[0], Err(NoAnswer::Failed(error)) if error.is_out_of_memory()));
}

#[test]
fn a_backend_that_panics_fails_its_caller_and_serves_the_next() {
    let net = CountingNet {
        poison: Some(0.0),
        panics: true,
        ..CountingNet::default()
    };
    let desk = desk(net, 1);
    // Alone: of two jobs, either thread may be the one that makes the call.
    assert_eq!(work(&desk, 1, &[&generate]), [vec![]], "its thread panicked");
    assert!(work(&desk, 1, &[&|_| Call::Languages])[0][0].is_ok());
}

#[test]
fn a_job_whose_time_is_up_leaves_the_others_alone() {
    let ((begun, begins), (open, opened)) = (mpsc::channel(), mpsc::channel());
    let gate = Some((Mutex::new(begun), Mutex::new(opened)));
    let desk = desk(
        CountingNet {
            gate,
            ..CountingNet::default()
        },
        8,
    );
    thread::scope(|scope| {
        let first = scope.spawn(|| work(&desk, 1, &[&generate]));
        begins.recv().unwrap();
        let (cancel, seat) = (Cancel::default(), desk.sit());
        let budget = Budget::new(&SystemClock, &cancel, Duration::from_millis(30));
        let mut held = Held::new(vec![5.0]);
        let late = seat.ask(&mut held, generate(5), &budget);
        assert_eq!(late, Err(NoAnswer::Stopped(Stop::Expired)), "while the network is busy");
        cancel.cancel();
        let cancelled = seat.ask(&mut held, generate(5), &budget);
        assert_eq!(cancelled, Err(NoAnswer::Stopped(Stop::Cancelled)));
        drop(seat);
        open.send(()).unwrap();
        assert_eq!(first.join().unwrap(), [[text(&[0, 0])]]);
    });
    assert_eq!(log(&desk.net.generated), [1], "what was taken back is not computed");
}
