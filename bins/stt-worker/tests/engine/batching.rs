//! Many jobs at once: the text of each is what it is alone.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use stt_core::{Budget, Cancel, Pcm, SystemClock, Transcript};
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
