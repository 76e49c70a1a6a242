//! What is encoded, and how like it what is heard is.

use std::f64::consts::TAU;

/// Length of the sound.
pub(crate) const SECONDS: f64 = 1.2;
/// Length of a syllable.
const SYLLABLE: f64 = 0.15;
/// What the decoder gives.
const HEARD_RATE: u32 = 16_000;

/// Two melodies that are not mistaken for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    One,
    Other,
}

impl Voice {
    /// The pitch of each syllable, in Hz: low enough for telephones.
    fn pitches(self) -> [f64; 8] {
        match self {
            Self::One => [310.0, 470.0, 390.0, 620.0, 350.0, 540.0, 430.0, 280.0],
            Self::Other => [690.0, 260.0, 580.0, 330.0, 740.0, 410.0, 290.0, 510.0],
        }
    }

    /// Syllables that swell and fade, each a pitch and two overtones, at half of full scale.
    pub(crate) fn samples(self, rate: u32) -> Vec<f32> {
        let count = (f64::from(rate) * SECONDS) as u32;
        let sample = |n: u32| {
            let time = f64::from(n) / f64::from(rate);
            let pitch = self.pitches()[(time / SYLLABLE) as usize % 8];
            let tone = |overtone: f64, level: f64| level * (time * pitch * overtone * TAU).sin();
            let swell = (time / SYLLABLE * TAU / 2.0).sin().abs();
            (swell * (tone(1.0, 0.3) + tone(2.0, 0.14) + tone(3.0, 0.06))) as f32
        };
        (0..count).map(sample).collect()
    }
}

/// How like the voice the heard samples are, from 0 to 1, when they may lie up to `late_max_ms` earlier or later: the
/// best normalised correlation.
pub(crate) fn likeness(voice: Voice, heard: &[f32], late_max_ms: u32) -> f64 {
    let said = voice.samples(HEARD_RATE);
    let late_max = (late_max_ms * HEARD_RATE / 1_000) as usize;
    let energy = |samples: &[f32]| samples.iter().map(|sample| f64::from(sample * sample)).sum::<f64>();
    let whole = (energy(&said) * energy(heard)).sqrt();
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let late = (0..=late_max.min(heard.len())).map(|late| product(&said, &heard[late..]));
    let early = (0..=late_max.min(said.len())).map(|early| product(&said[early..], heard));
    late.chain(early).fold(0.0, f64::max) / whole.max(f64::MIN_POSITIVE)
}
