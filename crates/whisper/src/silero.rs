//! How sure Silero's network (version 6) is, for each 32 ms of an audio, that somebody speaks.
//!
//! The weights are those of the file that faster-whisper ships, `assets/silero_vad_v6.onnx` (MIT, snakers4/silero-vad). The
//! network is small and fixed (a short-time spectrum, four convolutions, one LSTM), so it is computed here: a runtime for
//! any ONNX graph would bring a hundred crates, or a second native library, for 0.7 million multiplications a score.

use std::sync::{Arc, OnceLock};

use realfft::{RealFftPlanner, RealToComplex};
use stt_core::Stop;

use crate::looks::try_each;
use crate::simd::{Matrix, Rows};

/// Samples that a score stands for: 32 ms at 16 kHz.
pub(crate) const FRAME: usize = 512;
/// Samples of the frame before that are seen, too.
const CONTEXT: usize = 64;
const INPUT: usize = CONTEXT + FRAME;
/// Samples behind the input that mirror its end.
const MIRROR: usize = 64;
/// Samples of a spectrum, and from one to the next.
const SPECTRUM: usize = 256;
const HOP: usize = 128;
/// Spectra of a frame, and the steps that each convolution leaves of them.
const STEPS: [usize; 5] = [(INPUT + MIRROR - SPECTRUM) / HOP + 1, 4, 2, 1, 1];
/// Channels before and after each convolution.
const CHANNELS: [usize; 5] = [SPECTRUM / 2 + 1, 128, 64, 64, HIDDEN];
const STRIDES: [usize; 4] = [1, 2, 2, 1];
/// Width of the LSTM.
const HIDDEN: usize = 128;
const GATES: usize = 4 * HIDDEN;

/// Frames that are computed at once, all but the LSTM. More would not fit into the cache of a core.
const BLOCK: usize = 40;
/// Blocks from one check of the budget to the next: 32 s of audio.
const LOOK: usize = 25;

static MODEL: &[u8] = include_bytes!("../assets/silero_vad_v6.onnx");

/// A probability of speech for each frame of mono samples at 16 kHz; the last frame, of 1 to 512 samples of silence or
/// filled up with it, as faster-whisper has it. The same samples give the same scores. Takes about 1.2 ms for a second of
/// audio on one core, and asks now and then whether to go on.
///
/// Source: `SileroVADModel.__call__` and `get_speech_timestamps` of faster-whisper.
pub(crate) fn scores(samples: &[f32], go_on: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Vec<f32>, Stop> {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    let network = NETWORK.get_or_init(|| Network::read(MODEL).expect("the file that this crate was built with"));
    let frames = samples.len() / FRAME + 1;
    let mut scores = Vec::with_capacity(frames);
    let mut buffers = Buffers::new(network);
    try_each((0..frames).step_by(BLOCK), LOOK, go_on, |first| {
        let count = BLOCK.min(frames - first);
        for (frame, input) in (first..first + count).zip(buffers.input.chunks_exact_mut(INPUT)) {
            fill(samples, frame, frame + 1 == frames, input);
        }
        network.score(count, &mut buffers, &mut scores);
    })?;
    Ok(scores)
}

/// The samples that the score of a frame is computed from.
fn fill(samples: &[f32], frame: usize, is_last: bool, input: &mut [f32]) {
    let finite = |sample: &f32| if sample.is_finite() { *sample } else { 0.0 };
    // faster-whisper silences the context of the first frame, and with it, by aliasing, the end of the last.
    let from = if frame == 0 { CONTEXT } else { 0 };
    let to = if is_last { FRAME } else { INPUT };
    input.fill(0.0);
    let part = samples.get(frame * FRAME + from - CONTEXT..).unwrap_or_default();
    for (place, sample) in input[from..to].iter_mut().zip(part) {
        *place = finite(sample);
    }
}

struct Network {
    fft: Arc<dyn RealToComplex<f32>>,
    /// By which samples are multiplied before they are transformed.
    window: Vec<f32>,
    /// Of width 3 over time, with a padding of 1; what is below 0 is set to 0.
    convolutions: [Matrix; 4],
    /// To the four gates of the LSTM, from its input and from its last output; the first has the bias of both.
    gates: [Matrix; 2],
    /// From the LSTM to the score.
    out: Vec<f32>,
    out_bias: f32,
}

/// What is computed of a block, and what the LSTM keeps from frame to frame.
struct Buffers {
    input: Vec<f32>,
    samples: Vec<f32>,
    spectrum: Vec<realfft::num_complex::Complex32>,
    scratch: Vec<realfft::num_complex::Complex32>,
    /// Before and after each convolution: frame by frame, step by step, channel by channel.
    layers: [Vec<f32>; 5],
    gates: Vec<f32>,
    hidden: [f32; HIDDEN],
    cell: [f32; HIDDEN],
}

impl Buffers {
    fn new(network: &Network) -> Self {
        Self {
            input: vec![0.0; BLOCK * INPUT],
            samples: network.fft.make_input_vec(),
            spectrum: network.fft.make_output_vec(),
            scratch: network.fft.make_scratch_vec(),
            layers: std::array::from_fn(|layer| vec![0.0; BLOCK * STEPS[layer] * CHANNELS[layer]]),
            gates: vec![0.0; BLOCK * GATES],
            hidden: [0.0; HIDDEN],
            cell: [0.0; HIDDEN],
        }
    }
}

impl Network {
    /// `None` when a tensor is missing or of another shape.
    fn read(model: &[u8]) -> Option<Self> {
        let tensor = |name: &str, shape: &[usize]| {
            let found = onnx::tensor(model, name).filter(|found| found.shape == shape);
            Some(found?.values)
        };
        let convolution = |number: usize| {
            let (inputs, outputs) = (CHANNELS[number], CHANNELS[number + 1]);
            let name = |part: &str| format!("encoder.conv_layers.{number}.{part}");
            let weights = tensor(&name("weight"), &[outputs, inputs, 3])?;
            // Of the inputs those of the step before come first, as they lie in memory.
            let weight = |input: usize, output: usize| weights[(output * inputs + input % inputs) * 3 + input / inputs];
            Some(Matrix::new(3 * inputs, tensor(&name("bias"), &[outputs])?, weight))
        };
        let bins = CHANNELS[0];
        let basis = tensor(
            "encoder.feature_extractor.forward_basis_buffer",
            &[2 * bins, 1, SPECTRUM],
        )?;
        let bias = tensor("onnx::LSTM_211", &[1, 2 * GATES])?;
        let (first, second) = bias.split_at(GATES);
        let gate = |name: &str, bias: Vec<f32>| {
            let weights = tensor(name, &[1, GATES, HIDDEN])?;
            let weight = |input: usize, output: usize| weights[output * HIDDEN + input];
            Some(Matrix::new(HIDDEN, bias, weight))
        };
        let both = first.iter().zip(second).map(|(a, b)| a + b).collect();
        Some(Self {
            fft: RealFftPlanner::new().plan_fft_forward(SPECTRUM),
            // The row of the frequency 0 is the window alone.
            window: basis[..SPECTRUM].to_vec(),
            convolutions: [convolution(0)?, convolution(1)?, convolution(2)?, convolution(3)?],
            gates: [gate("onnx::LSTM_209", both)?, gate("onnx::LSTM_210", vec![0.0; GATES])?],
            out: tensor("decoder.conv1d.weight", &[1, HIDDEN, 1])?,
            out_bias: tensor("decoder.conv1d.bias", &[1])?[0],
        })
    }

    /// The scores of so many frames, that of `buffers.input`.
    fn score(&self, count: usize, buffers: &mut Buffers, scores: &mut Vec<f32>) {
        self.magnitudes(count, buffers);
        for (number, convolution) in self.convolutions.iter().enumerate() {
            let (before, after) = buffers.layers.split_at_mut(number + 1);
            convolve(convolution, number, count, &before[number], &mut after[0]);
        }
        let rows = |stride| Rows {
            start: 0,
            stride,
            count,
        };
        let [input_gates, hidden_gates] = &self.gates;
        input_gates.multiply(
            0..HIDDEN,
            &buffers.layers[4],
            rows(HIDDEN),
            &mut buffers.gates,
            rows(GATES),
        );
        for gates in buffers.gates.chunks_exact_mut(GATES).take(count) {
            let one = Rows {
                start: 0,
                stride: 0,
                count: 1,
            };
            hidden_gates.multiply_add(0..HIDDEN, &buffers.hidden, one, gates, one);
            // As ONNX orders them: input, output, forget, cell.
            let gate = |number: usize, at: usize| gates[number * HIDDEN + at];
            let mut score = self.out_bias;
            for at in 0..HIDDEN {
                let cell = &mut buffers.cell[at];
                *cell = sigmoid(gate(2, at)) * *cell + sigmoid(gate(0, at)) * gate(3, at).tanh();
                let hidden = sigmoid(gate(1, at)) * cell.tanh();
                buffers.hidden[at] = hidden;
                score += hidden.max(0.0) * self.out[at];
            }
            scores.push(sigmoid(score));
        }
    }

    fn magnitudes(&self, count: usize, buffers: &mut Buffers) {
        let frames = buffers.input.chunks_exact(INPUT);
        let layers = buffers.layers[0].chunks_exact_mut(STEPS[0] * CHANNELS[0]);
        for (input, steps) in frames.zip(layers).take(count) {
            let mut samples = [0.0; INPUT + MIRROR];
            samples[..INPUT].copy_from_slice(input);
            for (place, sample) in samples[INPUT..].iter_mut().zip(input[..INPUT - 1].iter().rev()) {
                *place = *sample;
            }
            for (step, magnitudes) in steps.chunks_exact_mut(CHANNELS[0]).enumerate() {
                let samples = &samples[step * HOP..][..SPECTRUM];
                for ((place, sample), weight) in buffers.samples.iter_mut().zip(samples).zip(&self.window) {
                    *place = sample * weight;
                }
                self.fft
                    .process_with_scratch(&mut buffers.samples, &mut buffers.spectrum, &mut buffers.scratch)
                    .expect("the buffers were made by this transform");
                for (magnitude, bin) in magnitudes.iter_mut().zip(&buffers.spectrum) {
                    *magnitude = bin.norm_sqr().sqrt();
                }
            }
        }
    }
}

/// One convolution of a block. The inputs of a step lie side by side, those of the padding nowhere: the first and the last step have
/// fewer.
fn convolve(convolution: &Matrix, number: usize, count: usize, input: &[f32], output: &mut [f32]) {
    let (channels, steps) = (CHANNELS[number], STEPS[number]);
    let (width, steps_after) = (CHANNELS[number + 1], STEPS[number + 1]);
    for step in 0..steps_after {
        let middle = step * STRIDES[number];
        let first = middle.saturating_sub(1);
        let last = (middle + 1).min(steps - 1);
        let taps = (first + 1 - middle) * channels..(last + 2 - middle) * channels;
        let from = Rows {
            start: first * channels,
            stride: steps * channels,
            count,
        };
        let to = Rows {
            start: step * width,
            stride: steps_after * width,
            count,
        };
        convolution.multiply(taps, input, from, output, to);
    }
    for value in &mut output[..count * steps_after * width] {
        *value = value.max(0.0);
    }
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// As much of the ONNX format as it takes to find a tensor of floats by its name.
mod onnx {
    pub(super) struct Tensor {
        pub(super) shape: Vec<usize>,
        pub(super) values: Vec<f32>,
    }

    /// Numbers of fields, from onnx.proto.
    const MODEL_GRAPH: u64 = 7;
    const GRAPH_INITIALIZER: u64 = 5;
    const TENSOR_DIMS: u64 = 1;
    const TENSOR_NAME: u64 = 8;
    const TENSOR_RAW_DATA: u64 = 9;

    pub(super) fn tensor(model: &[u8], name: &str) -> Option<Tensor> {
        let graph = fields(model).find(|(number, _)| *number == MODEL_GRAPH)?.1;
        let tensors = fields(graph).filter(|(number, _)| *number == GRAPH_INITIALIZER);
        let named =
            |tensor: &&[u8]| fields(tensor).any(|(number, value)| number == TENSOR_NAME && value == name.as_bytes());
        let tensor = tensors.map(|(_, tensor)| tensor).find(named)?;
        let mut found = Tensor {
            shape: vec![],
            values: vec![],
        };
        for (number, value) in fields(tensor) {
            match number {
                TENSOR_DIMS => found.shape.push(usize::try_from(varint(value)?.0).ok()?),
                TENSOR_RAW_DATA => {
                    let values = value
                        .chunks_exact(4)
                        .map(|bytes| bytes.try_into().map(f32::from_le_bytes));
                    found.values = values.collect::<Result<_, _>>().ok()?;
                }
                _ => {}
            }
        }
        (found.shape.iter().product::<usize>() == found.values.len()).then_some(found)
    }

    /// The fields of a message: number, and content or encoded number.
    fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
        std::iter::from_fn(move || {
            let (tag, rest) = varint(message)?;
            let (value, rest) = match tag & 7 {
                0 => {
                    let end = rest.len() - varint(rest)?.1.len();
                    rest.split_at_checked(end)?
                }
                1 => rest.split_at_checked(8)?,
                2 => {
                    let (len, rest) = varint(rest)?;
                    rest.split_at_checked(usize::try_from(len).ok()?)?
                }
                5 => rest.split_at_checked(4)?,
                _ => return None,
            };
            message = rest;
            Some((tag >> 3, value))
        })
    }

    /// The number that the bytes begin with, and the rest of them.
    fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
        let mut number = 0;
        for (at, byte) in bytes.iter().enumerate().take(10) {
            number |= u64::from(byte & 127) << (7 * at);
            if byte & 128 == 0 {
                return Some((number, &bytes[at + 1..]));
            }
        }
        None
    }
}
