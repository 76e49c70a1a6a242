//! Log-mel features, as faster-whisper's `FeatureExtractor` computes them.

use std::convert::Infallible;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::looks::try_each;
use crate::simd;

/// Samples of one Fourier transform.
const FFT: usize = 400;
/// Samples between two frames: 10 ms.
const HOP: usize = 160;
/// Frames that are computed at once.
const BLOCK: usize = 8;
/// Frames from one check of the budget to the next.
const LOOK: usize = 1000;
/// Frames a second.
pub const FRAMES_PER_SECOND: usize = 100;
/// Frames of the window that the encoder takes: 30 s.
pub const WINDOW_FRAMES: usize = 3000;

/// Log-mel features of a whole audio. They are normalised against the loudest value of the whole, so a window cut out of
/// them differs from the features of the window's samples alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Mel {
    mels: usize,
    frames: usize,
    /// Mel by mel.
    values: Vec<f32>,
}

/// Makes [`Mel`]s. Cheap to share between threads; takes about 0.1 ms for a second of audio on one core.
pub struct MelExtractor {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    filters: Vec<Filter>,
}

/// A triangle over neighbouring bins of the spectrum: nearly all weights of a mel filter are zero.
struct Filter {
    first_bin: usize,
    weights: Vec<f32>,
}

impl Mel {
    /// Number of mel bands.
    #[must_use]
    pub fn mels(&self) -> usize {
        self.mels
    }

    /// Number of frames, that of the padding included.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Number of frames that begin in the audio itself: a frame for each 160 samples.
    #[must_use]
    pub fn content_frames(&self) -> usize {
        self.frames - 1
    }

    /// The frames of one band.
    #[must_use]
    pub fn band(&self, mel: usize) -> &[f32] {
        &self.values[mel * self.frames..][..self.frames]
    }

    /// `len` frames from `start` on, band by band, filled up to `context` frames (at most [`WINDOW_FRAMES`]) with 0.0: not
    /// silence, which is lower, but what faster-whisper fills with.
    #[must_use]
    pub fn window(&self, start: usize, len: usize, context: usize) -> Vec<f32> {
        let context = context.clamp(1, WINDOW_FRAMES);
        let len = len.min(context).min(self.frames.saturating_sub(start));
        let mut window = vec![0.0; self.mels * context];
        for (mel, row) in window.chunks_exact_mut(context).enumerate() {
            row[..len].copy_from_slice(&self.band(mel)[start..start + len]);
        }
        window
    }
}

impl MelExtractor {
    /// An extractor of `mels` bands: 80, or 128 for large-v3 and its kin.
    #[must_use]
    pub fn new(mels: usize) -> Self {
        // Periodic Hann, rounded to f32 as faster-whisper has it.
        let hann = |n: usize| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * n as f64 / FFT as f64).cos();
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(FFT),
            window: (0..FFT).map(|n| hann(n) as f32).collect(),
            filters: filters(mels),
        }
    }

    /// Features of mono samples at 16 kHz.
    #[must_use]
    pub fn extract(&self, samples: &[f32]) -> Mel {
        let Ok(mel) = self.extract_while(samples, &mut || Ok::<_, Infallible>(()));
        mel
    }

    /// The same, asking for every 10 s of audio whether to go on; what that says instead ends it.
    ///
    /// faster-whisper transforms in f64 or f32, as NumPy's version has it; this does in f32. `tests/mel.rs` holds the features to
    /// within 1e-4 of faster-whisper's.
    pub(crate) fn extract_while<E>(&self, samples: &[f32], go_on: &mut dyn FnMut() -> Result<(), E>) -> Result<Mel, E> {
        let (mels, frames) = (self.filters.len(), (samples.len() + HOP) / HOP);
        let mut values = vec![0.0f32; mels * frames];
        let (mut input, mut spectrum) = (self.fft.make_input_vec(), self.fft.make_output_vec());
        let mut scratch = self.fft.make_scratch_vec();
        // Bin by bin, so that the filters run over the frames of a block at once.
        let mut power = vec![[0.0f32; BLOCK]; spectrum.len()];
        let mut loudest = f32::MIN;
        try_each((0..frames).step_by(BLOCK), LOOK / BLOCK, go_on, |first| {
            let len = BLOCK.min(frames - first);
            for lane in 0..len {
                self.fill(samples, first + lane, &mut input);
                self.fft
                    .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                    .expect("the buffers were made by this transform");
                for (power, bin) in power.iter_mut().zip(&spectrum) {
                    power[lane] = bin.norm_sqr();
                }
            }
            let mut energies = [0.0; BLOCK];
            for (mel, filter) in self.filters.iter().enumerate() {
                simd::weighted_sum(&filter.weights, &power[filter.first_bin..], &mut energies);
                simd::log10_at_least_1e_10(&mut energies);
                loudest = energies[..len].iter().copied().fold(loudest, f32::max);
                values[mel * frames + first..][..len].copy_from_slice(&energies[..len]);
            }
        })?;
        for value in &mut values {
            *value = (value.max(loudest - 8.0) + 4.0) / 4.0;
        }
        Ok(Mel { mels, frames, values })
    }

    /// The samples of a frame, under the window.
    fn fill(&self, samples: &[f32], frame: usize, input: &mut [f32]) {
        let inside = (frame * HOP)
            .checked_sub(FFT / 2)
            .and_then(|start| samples.get(start..start + FFT));
        match inside {
            Some(samples) => {
                for ((slot, sample), weight) in input.iter_mut().zip(samples).zip(&self.window) {
                    *slot = sample * weight;
                }
            }
            None => {
                let start = (frame * HOP) as isize - (FFT / 2) as isize;
                for (n, (slot, weight)) in input.iter_mut().zip(&self.window).enumerate() {
                    *slot = padded(samples, start + n as isize) * weight;
                }
            }
        }
    }
}

/// The sample at `index` of the audio with a hop of zeros behind it, mirrored at both ends.
fn padded(samples: &[f32], index: isize) -> f32 {
    let last = (samples.len() + HOP - 1) as isize;
    let folded = index.rem_euclid(2 * last);
    let mirrored = folded.min(2 * last - folded);
    samples.get(mirrored as usize).copied().unwrap_or(0.0)
}

/// Slaney's mel filters from 0 Hz to the Nyquist frequency, each of the same area.
fn filters(mels: usize) -> Vec<Filter> {
    const MEL_MAX: f64 = 45.245_640_471_924_965;
    let hertz: Vec<f64> = (0..mels + 2)
        .map(|n| mel_to_hertz(MEL_MAX * n as f64 / (mels + 1) as f64))
        .collect();
    let bin_hertz = 16_000.0 / FFT as f64;
    let triangle = |edges: &[f64]| {
        let &[low, middle, high] = edges else {
            unreachable!("windows of three")
        };
        let weight = |bin: usize| {
            let at = bin as f64 * bin_hertz;
            let height = ((at - low) / (middle - low))
                .min((high - at) / (high - middle))
                .max(0.0);
            (height * 2.0 / (high - low)) as f32
        };
        let first_bin = (0..=FFT / 2).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
        let weights = (first_bin..=FFT / 2)
            .map(weight)
            .take_while(|weight| *weight > 0.0)
            .collect();
        Filter { first_bin, weights }
    };
    hertz.windows(3).map(triangle).collect()
}

/// Linear up to 1 kHz, logarithmic above.
fn mel_to_hertz(mel: f64) -> f64 {
    let per_mel = 200.0 / 3.0;
    let (log_from_hertz, log_step) = (1000.0, 6.4f64.ln() / 27.0);
    let log_from = log_from_hertz / per_mel;
    if mel < log_from {
        per_mel * mel
    } else {
        log_from_hertz * (log_step * (mel - log_from)).exp()
    }
}

#[cfg(test)]
mod tests {
    use stt_core::Stop;

    use super::*;
    use crate::looks::Looks;

    #[test]
    fn they_are_given_up_at_any_look() {
        let (extractor, samples) = (MelExtractor::new(80), vec![0.1; 35 * 16_000]);
        for granted in 0..4 {
            let mut looks = Looks::granted(granted);
            let given_up = extractor.extract_while(&samples, &mut || looks.look());
            assert_eq!((given_up, looks.taken), (Err(Stop::Expired), granted + 1));
        }
        let mut looks = Looks::granted(4);
        let whole = extractor.extract_while(&samples, &mut || looks.look());
        assert_eq!((whole, looks.taken), (Ok(extractor.extract(&samples)), 4));
    }

    #[test]
    fn even_no_samples_at_all_give_a_frame() {
        let mel = MelExtractor::new(80).extract(&[]);
        assert_eq!((mel.mels(), mel.frames(), mel.content_frames()), (80, 1, 0));
        let silence = mel.band(0)[0];
        assert!((silence + 1.5).abs() < 1e-6, "silence is its own loudest: {silence}");
        assert!(mel.window(0, 0, WINDOW_FRAMES).iter().all(|value| *value == 0.0));
    }

    #[test]
    fn short_audio_is_mirrored_as_often_as_it_takes() {
        let samples = [1.0, 2.0, 3.0];
        assert_eq!(padded(&samples, -1), 2.0);
        assert_eq!(padded(&samples, -2), 3.0);
        assert_eq!(padded(&samples, -3), 0.0);
        assert_eq!(padded(&samples, 324), 1.0, "two lengths of 162 on, it begins again");
    }

    #[test]
    fn a_window_is_filled_up_with_zeros() {
        let mel = MelExtractor::new(80).extract(&vec![0.1; 1600]);
        let window = mel.window(4, 3000, 3000);
        assert_eq!(window.len(), 80 * WINDOW_FRAMES);
        assert_eq!(window[..7], mel.band(0)[4..]);
        assert!(window[7..WINDOW_FRAMES].iter().all(|value| *value == 0.0));
    }
}
