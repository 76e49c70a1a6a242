//! The samples are those of faster-whisper's decoder (goldens/decode.py made the goldens).
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod media;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use media::fixtures;
use serde_json::Value;
use stt_audio::{DecodeConfig, FfmpegDecode};
use stt_core::{Budget, Cancel, Decode, Fetched, SystemClock};

/// In 16-bit steps. The goldens' FFmpeg is 8; of all samples of all fixtures, the `ffmpeg` command of 5.1 gives none that
/// is further off.
const STEPS_MAX: f64 = 3.0;

/// What faster-whisper makes of media.
fn goldens(text: &str) -> BTreeMap<String, Value> {
    let goldens: Vec<Value> = serde_json::from_str(text).unwrap();
    let name = |golden: &Value| golden["file"].as_str().unwrap().to_owned();
    goldens.into_iter().map(|golden| (name(&golden), golden)).collect()
}

/// In 16-bit steps.
fn decoded(bytes: Vec<u8>) -> Vec<f64> {
    let (cancel, decoder) = (Cancel::default(), FfmpegDecode::new(DecodeConfig::default()));
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
    let pcm = decoder.decode(&Fetched::Memory(bytes), &budget).unwrap();
    pcm.samples.iter().map(|sample| f64::from(*sample) * 32_768.0).collect()
}

fn rms(samples: &[f64]) -> f64 {
    (samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len() as f64).sqrt()
}

/// Where samples are further off than `steps_max`; `part` is the length of which a golden has the root mean square.
fn differences(name: &str, samples: &[f64], golden: &Value, part: usize, steps_max: f64) -> Vec<String> {
    let count = golden["samples"].as_u64().unwrap() as usize;
    if samples.len() != count {
        return vec![format!("{name}: {} samples, not {count}", samples.len())];
    }
    let parts = samples.chunks(part).map(rms).zip(golden["rms"].as_array().unwrap());
    let parts = parts.enumerate().map(|(number, pair)| (format!("rms {number}"), pair));
    let spaced = (0..64)
        .map(|number| samples[number * count / 64])
        .zip(golden["spaced"].as_array().unwrap());
    let spaced = spaced
        .enumerate()
        .map(|(number, pair)| (format!("sample {}", number * count / 64), pair));
    let all = parts.chain(spaced);
    let far = all.filter(|(_, (found, expected))| (found - expected.as_f64().unwrap()).abs() > steps_max);
    far.map(|(what, (found, expected))| format!("{name}, {what}: {found}, not {expected}"))
        .collect()
}

#[test]
fn the_fixtures_sound_as_they_do_to_faster_whisper() {
    let goldens = goldens(include_str!("goldens/decode.json"));
    let mut far = vec![];
    let fixtures = fixtures();
    for (name, bytes) in &fixtures {
        let golden = goldens.get(name).unwrap_or_else(|| panic!("no golden of {name}"));
        far.extend(differences(name, &decoded(bytes.clone()), golden, 16_000, STEPS_MAX));
    }
    assert!(far.is_empty(), "{}", far.join("\n"));
    assert_eq!(fixtures.len(), goldens.len());
}

fn odd(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/odd");
    fs::read(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Files that faster-whisper makes less of, on purpose or not (docs/fidelity.md); the next test has them.
const BETTER: [&str; 3] = ["damaged.aac", "damaged.mp3", "form-changes.aac"];

#[test]
fn odd_forms_sound_as_they_do_to_faster_whisper() {
    let goldens = goldens(include_str!("goldens/odd.json"));
    let mut far = vec![];
    for (name, golden) in &goldens {
        if !BETTER.contains(&name.as_str()) {
            far.extend(differences(name, &decoded(odd(name)), golden, 1_600, STEPS_MAX));
        }
    }
    assert!(far.is_empty(), "{}", far.join("\n"));
    assert_eq!(goldens.len(), 15);
}

#[test]
fn damage_and_a_change_of_form_cost_no_more_than_themselves() {
    let goldens = goldens(include_str!("goldens/odd.json"));
    for name in ["damaged.aac", "damaged.mp3"] {
        let (samples, golden) = (decoded(odd(name)), goldens[name]["samples"].as_u64().unwrap() as usize);
        assert!(golden < 8_000, "faster-whisper ends at the damage: {golden}");
        // A second, of which a tenth is damaged, and frames beside that with it.
        assert!((13_000..17_500).contains(&samples.len()), "{name}: {}", samples.len());
        let end = rms(&samples[samples.len() - 3_200..samples.len() - 1_600]);
        assert!((6_000.0..8_000.0).contains(&end), "{name}: {end}, the tone goes on");
    }
    assert!(goldens["form-changes.aac"]["fails"].is_string());
    let samples = decoded(odd("form-changes.aac"));
    assert!(
        (15_000..18_000).contains(&samples.len()),
        "two halves of a second: {}",
        samples.len()
    );
    for part in samples[1_600..14_400].chunks(1_600) {
        assert!((3_500.0..8_000.0).contains(&rms(part)), "{}", rms(part));
    }
}
