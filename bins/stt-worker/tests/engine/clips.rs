//! The audio of the fixtures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use stt_audio::{DecodeConfig, FfmpegDecode};
use stt_core::{Budget, Cancel, Decode, Fetched, SystemClock};

/// A piece of a case's audio.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Part {
    File {
        file: String,
        from: Option<f64>,
        to: Option<f64>,
    },
    Silence {
        silence: f64,
    },
    Noise {
        noise: f64,
        gain: f64,
    },
}

/// The folder of all fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The clips of `fixtures/audio`, each decoded once.
#[derive(Default)]
pub(crate) struct Clips(BTreeMap<String, Vec<f32>>);

impl Clips {
    /// One of them, mono, at 16 kHz.
    pub(crate) fn clip(&mut self, name: &str) -> &[f32] {
        self.0.entry(name.to_owned()).or_insert_with(|| {
            let media = std::fs::read(fixtures().join("audio").join(name)).expect("a clip of the fixtures");
            let cancel = Cancel::default();
            let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(60));
            let pcm = FfmpegDecode::new(DecodeConfig::default()).decode(&Fetched::Memory(media), &budget);
            pcm.expect("a clip that can be decoded").samples
        })
    }

    /// One after another.
    pub(crate) fn samples(&mut self, parts: &[Part]) -> Vec<f32> {
        let at = |seconds: f64| (seconds * 16_000.0).round() as usize;
        let mut samples = vec![];
        for part in parts {
            match part {
                Part::File { file, from, to } => {
                    let clip = self.clip(file);
                    let to = to.map_or(clip.len(), at).min(clip.len());
                    samples.extend(&clip[from.map_or(0, at)..to]);
                }
                Part::Silence { silence } => samples.extend(vec![0.0; at(*silence)]),
                Part::Noise { noise, gain } => samples.extend(self::noise(at(*noise), *gain)),
            }
        }
        samples
    }
}

/// The noise of `fixtures/recipe/goldens.py`.
fn noise(len: usize, gain: f64) -> impl Iterator<Item = f32> {
    let mut state = 1u64;
    (0..len).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (((state >> 40) as f64 / 8_388_608.0 - 1.0) * gain) as f32
    })
}
