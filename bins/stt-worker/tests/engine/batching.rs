//! Many jobs at once: the text of each is what it is alone.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use stt_core::{Budget, Cancel, Pcm, SystemClock, Transcript, Word};
use stt_whisper::{Config, Options, Whisper};

use crate::clips::{Clips, fixtures};

const JOBS: usize = 8;

fn transcribe(whisper: &Whisper, samples: &[f32]) -> Transcript {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(300));
    let options = Options {
        temperatures: vec![0.0],
        word_timestamps: true,
        ..Options::recommended()
    };
    let pcm = Pcm {
        samples: samples.to_vec(),
    };
    whisper.transcribe_with(&pcm, &options, &budget).expect("a transcript")
}

#[test]
fn words_of_full_windows_in_one_batch_are_where_they_are_alone() {
    let config = Config {
        batch_wait: Duration::from_secs(600),
        ..Config::new(fixtures().join("model"))
    };
    let whisper = Whisper::load(&config).unwrap();
    let mut clips = Clips::default();
    let names = ["en-long-00.wav", "hi-long-01.flac", "mr-long-02.mp3", "hi-long-01.flac"];
    let audio = names.map(|name| clips.clip(name)[..30 * 16_000].to_vec());
    let words = |samples: &Vec<f32>| -> Vec<Word> {
        let segments = transcribe(&whisper, samples).segments;
        segments.into_iter().flat_map(|segment| segment.words).collect()
    };
    let alone: Vec<_> = audio.iter().map(words).collect();
    let together: Vec<_> = thread::scope(|scope| {
        let jobs: Vec<_> = audio.iter().map(|samples| scope.spawn(|| words(samples))).collect();
        jobs.into_iter().map(|job| job.join().unwrap()).collect()
    });
    let stats = whisper.stats();
    assert!(stats.batches < stats.generated, "{stats:?}");
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!(alone.len(), together.len());
        for (alone, together) in alone.iter().zip(together) {
            let near = |a: f64, b: f64| (a - b).abs() < 0.021;
            let times = near(alone.start_sec, together.start_sec) && near(alone.end_sec, together.end_sec);
            assert!(times && alone.text == together.text, "{together:?} for {alone:?}");
        }
    }
}

#[test]
fn the_text_of_a_job_among_others_is_its_text_alone() {
    let config = Config {
        batch_size: JOBS,
        ..Config::new(fixtures().join("model"))
    };
    let whisper = Whisper::load(&config).unwrap();
    let mut clips = Clips::default();
    let mut audio: Vec<(String, Vec<f32>)> = vec![];
    for entry in std::fs::read_dir(fixtures().join("audio")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".json") {
            audio.push((name.clone(), clips.clip(&name).to_vec()));
        }
    }
    assert!(audio.len() > 30);
    let alone: BTreeMap<_, _> = audio
        .iter()
        .map(|(name, samples)| (name, transcribe(&whisper, samples)))
        .collect();
    let before = whisper.stats();
    assert_eq!(before.batches, before.generated, "a job alone is a batch of its own");
    assert_eq!(before.encoded, before.windows, "each window is encoded once");

    let queue = Mutex::new(audio.iter());
    let differences = Mutex::new(vec![]);
    let job = || {
        loop {
            let Some((name, samples)) = queue.lock().unwrap().next() else {
                break;
            };
            let (found, alone) = (transcribe(&whisper, samples), &alone[name]);
            let times = |transcript: &Transcript| -> Vec<_> {
                let words = transcript.segments.iter().flat_map(|segment| &segment.words);
                words
                    .map(|word| (word.text.clone(), word.start_sec, word.end_sec))
                    .collect()
            };
            if (&found.text, found.language, times(&found)) != (&alone.text, alone.language, times(alone)) {
                differences
                    .lock()
                    .unwrap()
                    .push(format!("{name}: {:?} for {:?}", found.text, alone.text));
            }
        }
    };
    thread::scope(|scope| (0..JOBS).for_each(|_| drop(scope.spawn(job))));
    let after = whisper.stats();
    assert_eq!(differences.into_inner().unwrap(), [""; 0], "no exceptions are known");
    let (batches, windows) = (after.batches - before.batches, after.generated - before.generated);
    assert!(windows > 2 * batches, "{windows} windows in {batches} calls");
    assert_eq!(after.batches_failed, 0);
}
