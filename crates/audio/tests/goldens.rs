//! The samples are those of faster-whisper's decoder (goldens/decode.py made the goldens).
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod media;

use std::collections::BTreeMap;
use std::time::Duration;

use media::fixtures;
use serde_json::Value;
use stt_audio::{DecodeConfig, FfmpegDecode};
use stt_core::{Budget, Cancel, Decode, Fetched, SystemClock};

/// In 16-bit steps. The goldens' FFmpeg is 8; of all samples of all fixtures, the `ffmpeg` command of 5.1 gives none that
/// is further off.
const STEPS_MAX: f64 = 3.0;

#[test]
fn the_fixtures_sound_as_they_do_to_faster_whisper() {
    let goldens: Value = serde_json::from_str(include_str!("goldens/decode.json")).unwrap();
    let goldens: BTreeMap<&str, &Value> = goldens
        .as_array()
        .unwrap()
        .iter()
        .map(|golden| (golden["file"].as_str().unwrap(), golden))
        .collect();
    let (cancel, decoder) = (Cancel::default(), FfmpegDecode::new(DecodeConfig::default()));
    let mut checked = 0;
    let mut far = vec![];
    for (name, bytes) in fixtures() {
        let golden = goldens
            .get(name.as_str())
            .unwrap_or_else(|| panic!("no golden of {name}"));
        let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
        let pcm = decoder.decode(&Fetched::Memory(bytes), &budget).unwrap();
        let samples: Vec<f64> = pcm.samples.iter().map(|sample| f64::from(*sample) * 32_768.0).collect();
        let count = golden["samples"].as_u64().unwrap() as usize;
        if samples.len() != count {
            far.push(format!("{name}: {} samples, not {count}", samples.len()));
            continue;
        }
        for (second, expected) in samples.chunks(16_000).zip(golden["rms"].as_array().unwrap()) {
            let square = second.iter().map(|sample| sample * sample).sum::<f64>() / second.len() as f64;
            if (square.sqrt() - expected.as_f64().unwrap()).abs() > STEPS_MAX {
                far.push(format!("{name}: rms {}, not {expected}", square.sqrt()));
            }
        }
        for (number, expected) in golden["spaced"].as_array().unwrap().iter().enumerate() {
            let found = samples[number * count / 64];
            if (found - expected.as_f64().unwrap()).abs() > STEPS_MAX {
                far.push(format!(
                    "{name}, sample {}: {found}, not {expected}",
                    number * count / 64
                ));
            }
        }
        checked += 1;
    }
    assert!(far.is_empty(), "{}", far.join("\n"));
    assert_eq!(checked, goldens.len());
}
