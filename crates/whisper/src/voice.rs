//! How much each 16 ms of an audio sounds like a voice: the scores of `earshot`, without those of steady tones.
//!
//! Earshot alone hears voices in chords, hum and dial tones, up to 0.95. What they lack is change: the spectrum of speech
//! is another one 32 ms later, that of a note is not until the next note.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};
use stt_core::Stop;

use crate::looks::try_each;

/// Samples that a score stands for: 16 ms at 16 kHz.
pub(crate) const FRAME: usize = 256;
/// Samples of a second.
const SECOND: usize = 16_000;
/// The loudest sample near is brought to this: scores fall with the level, and rise for noise at full scale.
const PEAK: f32 = 0.3;
/// Amplification at most, 40 dB: dither stays as quiet as silence.
const GAIN_MAX: f32 = 100.0;
/// Frames heard before the first: the detector takes whatever begins at once for a voice, noise too (0.67 for 0.2 s).
const LEAD_IN: usize = 16;
/// Samples of a spectrum, and from one to the next: 32 ms.
const SPECTRUM: usize = 2 * FRAME;
/// From this similarity on a spectrum is that of the one before. Measured over the frames scored as speech, the median is
/// at most 0.93 for speech (0.97 in a chord 5 dB louder), 0.93 for noise, at least 0.97 for chords, notes and hum.
const STEADY: f64 = 0.965;
/// Frames scored as speech of which two thirds change at least, or they are none: 0.5 s. Measured: at least 81 % in
/// speech, at most 56 % in the fastest of the melodies.
const STRETCH: usize = 32;

/// Frames scored as speech from which on an audio may be music: 3 s.
const MUSIC_LONG: usize = 188;
/// Frames scored as speech that are judged together: 10 s.
const MUSIC_PART: usize = 625;
/// Score of a voice that is sure. Music with drums reaches it in less than 1 % of the frames scored as speech, 0.7 at most;
/// speech in 16 % at least, or (0 dB of white noise, a whisper) in 0 to 3 % of frames that nearly all change.
const SURE: f32 = 0.9;
/// Share of frames that change below which it may be music. Measured: 0.53 and 0.60 with drums; below it in speech only
/// beside tones.
const MUSIC_CHANGES: f32 = 0.65;

/// Frames around speech in which steady tones keep their scores, 5 s: there they may be louder than a word.
const SPARED: usize = 312;

/// A score from 0.0 to 1.0 for each frame of mono samples at 16 kHz, the last frame filled up with silence: silence has
/// about 0.28, noise less than 0.5, speech 0.7 to 0.99. Scores from `threshold` on become 0.0 in a steady tone that is
/// far from any speech.
///
/// The same samples give the same scores. Takes about 2 ms for a second of audio on one core, and asks now and then whether
/// to go on.
pub(crate) fn scores(
    samples: &[f32],
    threshold: f32,
    go_on: &mut dyn FnMut() -> Result<(), Stop>,
) -> Result<Vec<f32>, Stop> {
    let samples = levelled(samples, go_on)?;
    let mut scores = heard(&samples, go_on)?;
    let voiced: Vec<usize> = (0..scores.len()).filter(|frame| scores[*frame] >= threshold).collect();
    let spectra = Spectra::new();
    let mut changing = Vec::with_capacity(voiced.len());
    try_each(&voiced, go_on, |frame| {
        changing.push(spectra.similarity(&samples, *frame) < STEADY);
    })?;
    let music = music(&scores, &voiced, &changing);
    let alive: Vec<bool> = lively(&changing)
        .iter()
        .zip(&music)
        .map(|(lively, music)| *lively && !music)
        .collect();
    for frame in steady(&voiced, &alive) {
        scores[frame] = 0.0;
    }
    Ok(scores)
}

/// The voiced frames that are a beat under steady notes, whatever part of 10 s they are seen in.
fn music(scores: &[f32], voiced: &[usize], changing: &[bool]) -> Vec<bool> {
    let (all, part) = (voiced.len(), MUSIC_PART.min(voiced.len()));
    let mut music = vec![all > 0; all];
    let starts = (0..all.saturating_sub(part))
        .step_by(MUSIC_PART / 2)
        .chain([all - part]);
    for range in starts.map(|start| start..start + part) {
        if !is_music(scores, &voiced[range.clone()], &changing[range.clone()]) {
            music[range].fill(false);
        }
    }
    music
}

/// Whether all that is scored as speech is so for a beat under steady notes: long, with hardly a frame that is surely a
/// voice, and mostly without change. Only all three together: each is also true of some speech.
fn is_music(scores: &[f32], voiced: &[usize], changing: &[bool]) -> bool {
    let sure = voiced.iter().filter(|frame| scores[**frame] >= SURE).count();
    let changes = changing.iter().filter(|changes| **changes).count();
    voiced.len() >= MUSIC_LONG && 100 * sure < voiced.len() && (changes as f32) < MUSIC_CHANGES * voiced.len() as f32
}

/// The samples at the level that the thresholds were measured at, each by the loudest of its own second and the two
/// beside: a whisper after a shout is heard, and speech after a click. What is no number becomes silence.
fn levelled(samples: &[f32], go_on: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Vec<f32>, Stop> {
    let sane = |sample: &f32| if sample.is_finite() { *sample } else { 0.0 };
    let loudest = |second: &[f32]| second.iter().map(|sample| sane(sample).abs()).fold(0.0, f32::max);
    let mut peaks = Vec::with_capacity(samples.len().div_ceil(SECOND));
    try_each(samples.chunks(SECOND), go_on, |second| peaks.push(loudest(second)))?;
    let gain = |second: usize| {
        let near = &peaks[second.saturating_sub(1)..(second + 2).min(peaks.len())];
        (PEAK / near.iter().copied().fold(f32::MIN_POSITIVE, f32::max)).min(GAIN_MAX)
    };
    let gains: Vec<f32> = (0..peaks.len()).map(gain).collect();
    // The gain slides from the middle of a second to that of the next, as a step would sound like an onset.
    let slide = |sample: usize| {
        let past_middle = sample.saturating_sub(SECOND / 2);
        let part = (past_middle % SECOND) as f32 / SECOND as f32;
        let here = gains[past_middle / SECOND];
        let next = gains.get(past_middle / SECOND + 1).copied().unwrap_or(here);
        here + (next - here) * part
    };
    let mut levelled = Vec::with_capacity(samples.len());
    try_each(samples.chunks(FRAME), go_on, |frame| {
        let start = levelled.len();
        levelled.extend(
            frame
                .iter()
                .enumerate()
                .map(|(n, sample)| sane(sample) * slide(start + n)),
        );
    })?;
    Ok(levelled)
}

/// What earshot says to each frame.
fn heard(samples: &[f32], go_on: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Vec<f32>, Stop> {
    let mut detector = earshot::Detector::default();
    let mut hear = |chunk: &[f32]| {
        let mut frame = [0.0; FRAME];
        frame[..chunk.len()].copy_from_slice(chunk);
        detector.predict_f32(&frame)
    };
    // Backwards, so that it leads into the first sample without a step.
    let lead_in: Vec<f32> = samples.iter().take(LEAD_IN * FRAME).rev().copied().collect();
    for frame in lead_in.rchunks(FRAME).rev() {
        hear(frame);
    }
    let mut scores = Vec::with_capacity(samples.len().div_ceil(FRAME));
    try_each(samples.chunks(FRAME), go_on, |frame| scores.push(hear(frame)))?;
    Ok(scores)
}

/// Whether each frame is in any stretch of which two thirds change. Any, not the one around it: so a tone takes nothing
/// from the word that follows it.
fn lively(changing: &[bool]) -> Vec<bool> {
    let mut lively = vec![false; changing.len()];
    let stretch = STRETCH.min(changing.len()).max(1);
    for (start, frames) in changing.windows(stretch).enumerate() {
        if 3 * frames.iter().filter(|changes| **changes).count() >= 2 * stretch {
            lively[start..start + stretch].fill(true);
        }
    }
    lively
}

/// The voiced frames that are far from all lively ones.
fn steady(voiced: &[usize], lively: &[bool]) -> Vec<usize> {
    let (spoken, tones): (Vec<_>, Vec<_>) = voiced.iter().zip(lively).partition(|(_, lively)| **lively);
    let near = |tone: usize| {
        let next = spoken.partition_point(|(frame, _)| **frame + SPARED < tone);
        spoken.get(next).is_some_and(|(frame, _)| **frame <= tone + SPARED)
    };
    tones
        .into_iter()
        .map(|(tone, _)| *tone)
        .filter(|tone| !near(*tone))
        .collect()
}

/// Short-time spectra of an audio.
struct Spectra {
    /// In f64 as for the features: each type of number brings all of the transforms' code once more.
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
}

impl Spectra {
    fn new() -> Self {
        let hann = |n: usize| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * n as f64 / SPECTRUM as f64).cos();
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(SPECTRUM),
            window: (0..SPECTRUM).map(hann).collect(),
        }
    }

    /// Cosine between the spectrum that ends with the frame and the one before, 1.0 if they differ in level only.
    fn similarity(&self, samples: &[f32], frame: usize) -> f64 {
        let start = ((frame + 1) * FRAME).saturating_sub(2 * SPECTRUM);
        let (before, now) = (self.roots(samples, start), self.roots(samples, start + SPECTRUM));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(&before, &now) / (dot(&before, &before) * dot(&now, &now)).sqrt()
    }

    /// Roots of the magnitudes above 60 Hz: roots, so that weak harmonics count too.
    fn roots(&self, samples: &[f32], start: usize) -> Vec<f64> {
        let sample = |n: usize| samples.get(start + n).map_or(0.0, |sample| f64::from(*sample));
        let mut input: Vec<f64> = self.window.iter().enumerate().map(|(n, w)| w * sample(n)).collect();
        let mut spectrum = self.fft.make_output_vec();
        self.fft
            .process(&mut input, &mut spectrum)
            .expect("the buffers were made for this transform");
        // With a floor, as digital silence has no direction.
        spectrum[2..].iter().map(|bin| (bin.norm() + 1e-4).sqrt()).collect()
    }
}

/// Noise from a congruential generator.
#[cfg(test)]
pub(crate) fn noise(seed: u32) -> impl Iterator<Item = f32> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(seed), next).map(|state| (state >> 8) as f32 / (1 << 23) as f32 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(samples: &[f32], threshold: f32) -> Vec<f32> {
        super::scores(samples, threshold, &mut || Ok(())).expect("nothing ends it")
    }

    /// The scores of earshot alone.
    fn alone(samples: &[f32]) -> Vec<f32> {
        heard(&levelled(samples), &mut || Ok(())).expect("nothing ends it")
    }

    fn levelled(samples: &[f32]) -> Vec<f32> {
        super::levelled(samples, &mut || Ok(())).expect("nothing ends it")
    }

    /// Two seconds of a wave, by the seconds that have passed.
    fn two_seconds(wave: impl Fn(f32) -> f32) -> Vec<f32> {
        (0..2 * SECOND).map(|n| wave(n as f32 / SECOND as f32)).collect()
    }

    fn best(samples: &[f32]) -> f32 {
        scores(samples, 0.6).into_iter().fold(0.0, f32::max)
    }

    fn sine(hertz: f32, seconds: f32) -> f32 {
        (2.0 * std::f32::consts::PI * hertz * seconds).sin()
    }

    #[test]
    fn nothing_scores_nothing() {
        assert!(scores(&[], 0.6).is_empty());
        assert_eq!(scores(&[0.5], 0.6).len(), 1);
        assert!(best(&[0.0; 4000]) < 0.3, "silence");
        assert!(best(&two_seconds(|_| f32::NAN)) < 0.3, "what is no number is silence");
        assert!(best(&two_seconds(|_| 0.3)) < 0.6, "a constant");
    }

    #[test]
    fn noise_is_no_voice_at_any_level() {
        for gain in [0.0005, 0.01, 0.3, 1.0, 10.0] {
            let samples: Vec<f32> = noise(7).take(2 * SECOND).map(|sample| sample * gain).collect();
            assert!(best(&samples) < 0.5, "{gain}: {}", best(&samples));
        }
    }

    #[test]
    fn a_chord_that_earshot_takes_for_a_voice_is_none() {
        let chord = two_seconds(|at| 0.1 * (sine(220.0, at) + sine(261.6, at) + sine(329.6, at)));
        assert!(alone(&chord).into_iter().fold(0.0, f32::max) > 0.7);
        assert!(best(&chord) < 0.6, "{}", best(&chord));
    }

    /// A second of it: a chord of saw teeth, a drum twice and a noise between.
    fn beat(at: f32) -> f32 {
        let part = at % 0.25;
        let drum = if at % 0.5 < 0.25 {
            2.0 * sine(50.0 + 80.0 * (-20.0 * part).exp(), part) * (-15.0 * part).exp()
        } else {
            let hiss = ((at * 16_000.0) as u32).wrapping_mul(2_654_435_761) >> 8;
            (hiss as f32 / (1 << 23) as f32 - 1.0) * 0.6 * (-30.0 * part).exp()
        };
        let saw = |hertz: f32| (1..12).map(|n| sine(hertz * n as f32, at) / n as f32).sum::<f32>();
        0.15 * (drum + 0.3 * (saw(261.6) + saw(329.6) + saw(392.0)))
    }

    #[test]
    fn chords_with_drums_are_no_voice_however_long() {
        let samples: Vec<f32> = (0..20 * SECOND).map(|n| beat(n as f32 / SECOND as f32)).collect();
        let heard = alone(&samples);
        let voiced = heard.iter().filter(|score| **score >= 0.6).count();
        assert!(voiced > MUSIC_LONG, "earshot takes it for a voice: {voiced} frames");
        assert!(best(&samples) < 0.6, "{}", best(&samples));
    }

    #[test]
    fn a_voice_after_any_amount_of_music_is_kept() {
        let (minutes, talk) = (30_000, 600);
        let voiced: Vec<usize> = (0..minutes + talk).collect();
        let changing: Vec<bool> = voiced.iter().map(|frame| *frame >= minutes || frame % 2 == 0).collect();
        let score = |frame: &usize| {
            if *frame >= minutes && frame.is_multiple_of(6) {
                0.95
            } else {
                0.7
            }
        };
        let scores: Vec<f32> = voiced.iter().map(score).collect();
        let music = music(&scores, &voiced, &changing);
        assert!(music[..minutes - MUSIC_PART].iter().all(|music| *music));
        assert!(!music[minutes..].contains(&true));
        assert!(super::music(&[], &[], &[]).is_empty());
    }

    #[test]
    fn only_all_three_signs_together_are_music() {
        let voiced: Vec<usize> = (0..400).collect();
        let changing = |share: usize| (0..400).map(|frame| frame % 100 < share).collect::<Vec<_>>();
        let mut scores = vec![0.7; 400];
        assert!(is_music(&scores, &voiced, &changing(60)));
        assert!(!is_music(&scores, &voiced, &changing(70)), "it changes: noisy speech");
        assert!(
            !is_music(&scores, &voiced[..180], &changing(60)[..180]),
            "it is short: one sentence"
        );
        scores[..5].fill(0.95);
        assert!(!is_music(&scores, &voiced, &changing(60)), "a voice is in it");
    }

    #[test]
    fn a_steady_tone_takes_nothing_from_the_word_after_it() {
        let mut changing = vec![false; 100];
        changing.extend([true; 25]);
        changing.extend([false; 5]);
        let lively = lively(&changing);
        assert!(lively[100..].iter().all(|lively| *lively));
        assert!(!lively[..80].contains(&true));
    }

    #[test]
    fn a_tone_is_dropped_only_far_from_speech() {
        let voiced = [0, 688, 1000, 1100, 1312, 2000];
        let lively = [false, false, true, false, false, false];
        assert_eq!(steady(&voiced, &lively), [0, 2000]);
        assert_eq!(steady(&voiced, &[false; 6]), voiced);
        assert!(steady(&[], &[]).is_empty());
    }

    #[test]
    fn few_frames_are_judged_among_themselves() {
        assert!(lively(&[]).is_empty());
        assert_eq!(lively(&[true]), [true]);
        assert_eq!(lively(&[true, true, false]), [true; 3]);
        assert_eq!(lively(&[true, false, false]), [false; 3]);
    }

    #[test]
    fn what_is_quiet_is_brought_up_and_a_click_does_not_hide_it() {
        let mut samples = vec![0.003; 6 * SECOND];
        samples[0] = -1.0;
        let levelled = levelled(&samples);
        assert_eq!(levelled[0], -0.3);
        assert!((levelled[5 * SECOND] - 0.3).abs() < 1e-6, "{}", levelled[5 * SECOND]);
        assert!(levelled.iter().all(|sample| sample.abs() <= 0.3 + 1e-6));
    }
}
