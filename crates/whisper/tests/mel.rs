//! The features against those of faster-whisper, made by `fixtures/recipe/mel.py`.

use std::path::Path;

use serde::Deserialize;
use stt_whisper::MelExtractor;

#[derive(Deserialize)]
struct Golden {
    samples: usize,
    frames: usize,
    sampled: Vec<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    frame: usize,
    values: Vec<f32>,
}

/// As in the script.
fn signal(samples: usize) -> Vec<f32> {
    let mut state: u64 = 1;
    let sample = |n: usize| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        let noise = state as f64 / f64::from(1u32 << 31) - 0.5;
        let t = n as f64 / 16_000.0;
        let tone = (2.0 * std::f64::consts::PI * (200.0 + 900.0 * t) * t).sin();
        if n < 8000 {
            0.0
        } else {
            (0.9 * tone + 0.01 * noise) as f32
        }
    };
    (0..samples).map(sample).collect()
}

#[test]
fn features_are_those_of_faster_whisper() {
    for mels in [80, 128] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/mel/{mels}.json"));
        let goldens: Vec<Golden> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(goldens.len(), 4);
        let extractor = MelExtractor::new(mels);
        for golden in goldens {
            let mel = extractor.extract(&signal(golden.samples));
            assert_eq!(
                (mel.mels(), mel.frames()),
                (mels, golden.frames),
                "{} samples",
                golden.samples
            );
            for Frame { frame, values } in golden.sampled {
                for (band, value) in values.into_iter().enumerate() {
                    let found = mel.band(band)[frame];
                    let place = format!("{mels} mels, {} samples, band {band}, frame {frame}", golden.samples);
                    assert!((found - value).abs() < 1e-4, "{place}: {found} for {value}");
                }
            }
        }
    }
}
