//! How sure Silero's network (version 6) is, for each 32 ms of an audio, that somebody speaks.
//!
//! The weights are those of the file that faster-whisper ships, `assets/silero_vad_v6.onnx` (MIT, snakers4/silero-vad). The
//! network is small and fixed (a short-time spectrum, four convolutions, one LSTM), so it is computed here: a runtime for
//! any ONNX graph would bring a hundred crates, or a second native library, for 0.7 million multiplications a score.

use std::sync::OnceLock;

use stt_core::Stop;

use crate::looks::try_each;

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
const SPECTRA: usize = (INPUT + MIRROR - SPECTRUM) / HOP + 1;
const BINS: usize = SPECTRUM / 2 + 1;
/// Width of the LSTM.
const HIDDEN: usize = 128;

static MODEL: &[u8] = include_bytes!("../assets/silero_vad_v6.onnx");

/// A probability of speech for each frame of mono samples at 16 kHz; the last frame, of 1 to 512 samples of silence or
/// filled up with it, as faster-whisper has it. The same samples give the same scores. Takes about 5 ms for a second of
/// audio on one core, and asks now and then whether to go on.
///
/// Source: `SileroVADModel.__call__` and `get_speech_timestamps` of faster-whisper.
pub(crate) fn scores(samples: &[f32], go_on: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Vec<f32>, Stop> {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    let network = NETWORK.get_or_init(|| Network::read(MODEL).expect("the file that this crate was built with"));
    let frames = samples.len() / FRAME + 1;
    let mut state = State::default();
    let mut scores = Vec::with_capacity(frames);
    let mut input = [0.0; INPUT];
    try_each(0..frames, go_on, |frame| {
        input.copy_within(FRAME.., 0);
        let part = samples.get(frame * FRAME..).unwrap_or_default();
        let part = &part[..part.len().min(FRAME)];
        let finite = |sample: &f32| if sample.is_finite() { *sample } else { 0.0 };
        for (at, place) in input[CONTEXT..].iter_mut().enumerate() {
            *place = part.get(at).map_or(0.0, finite);
        }
        // faster-whisper silences the context of the first frame, and with it, by aliasing, the end of the last.
        if frame + 1 == frames {
            input[FRAME..].fill(0.0);
        }
        scores.push(network.score(&input, &mut state));
    })?;
    Ok(scores)
}

/// Weights by input, so that the inner loops run over outputs.
struct Layer {
    /// `[input][output]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    fn add(&self, inputs: &[f32], outputs: &mut [f32]) {
        let width = outputs.len();
        for (input, weights) in inputs.iter().zip(self.weights.chunks_exact(width)) {
            if *input != 0.0 {
                for (output, weight) in outputs.iter_mut().zip(weights) {
                    *output += input * weight;
                }
            }
        }
    }
}

/// A convolution of width 3 over time, with a padding of 1, and what is below 0 set to 0.
struct Convolution {
    taps: [Layer; 3],
    stride: usize,
}

impl Convolution {
    fn run(&self, steps: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let step = |at: usize| {
            let mut output = self.taps[0].bias.clone();
            for (tap, layer) in self.taps.iter().enumerate() {
                if let Some(input) = (at + tap).checked_sub(1).and_then(|at| steps.get(at)) {
                    layer.add(input, &mut output);
                }
            }
            output.iter_mut().for_each(|value| *value = value.max(0.0));
            output
        };
        (0..steps.len()).step_by(self.stride).map(step).collect()
    }
}

struct Network {
    /// From samples to the real and the imaginary parts of a spectrum.
    spectrum: Layer,
    convolutions: [Convolution; 4],
    /// To the four gates of the LSTM, from its input and from what it put out before.
    gates: [Layer; 2],
    /// From the LSTM to the score.
    out: Layer,
}

/// What the LSTM keeps from frame to frame.
struct State {
    hidden: [f32; HIDDEN],
    cell: [f32; HIDDEN],
}

impl Default for State {
    fn default() -> Self {
        Self {
            hidden: [0.0; HIDDEN],
            cell: [0.0; HIDDEN],
        }
    }
}

impl Network {
    /// `None` when a tensor is missing or of another shape.
    fn read(model: &[u8]) -> Option<Self> {
        let tensor = |name: &str, shape: &[usize]| onnx::tensor(model, name).filter(|found| found.shape == shape);
        let layer = |name: &str, outputs: usize, inputs: usize, width: usize, tap: usize, bias: Vec<f32>| {
            let weights = tensor(name, &[outputs, inputs, width])?.values;
            let weight = |input: usize, output: usize| weights[(output * inputs + input) * width + tap];
            let by_input = (0..inputs).flat_map(|input| (0..outputs).map(move |output| (input, output)));
            Some(Layer {
                weights: by_input.map(|(input, output)| weight(input, output)).collect(),
                bias,
            })
        };
        let convolution = |number: usize, outputs: usize, inputs: usize, stride: usize| {
            let name = |part: &str| format!("encoder.conv_layers.{number}.{part}");
            let bias = tensor(&name("bias"), &[outputs])?.values;
            let tap = |tap: usize| layer(&name("weight"), outputs, inputs, 3, tap, bias.clone());
            let taps = [tap(0)?, tap(1)?, tap(2)?];
            Some(Convolution { taps, stride })
        };
        let spectrum = tensor(
            "encoder.feature_extractor.forward_basis_buffer",
            &[2 * BINS, 1, SPECTRUM],
        )?;
        let gates = 4 * HIDDEN;
        let bias = tensor("onnx::LSTM_211", &[1, 2 * gates])?.values;
        let gate = |name: &str, bias: &[f32]| {
            let weights = tensor(name, &[1, gates, HIDDEN])?.values;
            Some(Layer {
                weights: transposed(&weights, HIDDEN),
                bias: bias.to_vec(),
            })
        };
        Some(Self {
            spectrum: Layer {
                weights: transposed(&spectrum.values, SPECTRUM),
                bias: vec![],
            },
            convolutions: [
                convolution(0, 128, BINS, 1)?,
                convolution(1, 64, 128, 2)?,
                convolution(2, 64, 64, 2)?,
                convolution(3, HIDDEN, 64, 1)?,
            ],
            gates: [
                gate("onnx::LSTM_209", &bias[..gates])?,
                gate("onnx::LSTM_210", &bias[gates..])?,
            ],
            out: layer(
                "decoder.conv1d.weight",
                1,
                HIDDEN,
                1,
                0,
                tensor("decoder.conv1d.bias", &[1])?.values,
            )?,
        })
    }

    fn score(&self, input: &[f32; INPUT], state: &mut State) -> f32 {
        let mirrored = input[INPUT - 1 - MIRROR..INPUT - 1].iter().rev();
        let samples: Vec<f32> = input.iter().chain(mirrored).copied().collect();
        let mut steps: Vec<Vec<f32>> = (0..SPECTRA)
            .map(|at| self.magnitudes(&samples[at * HOP..at * HOP + SPECTRUM]))
            .collect();
        for convolution in &self.convolutions {
            steps = convolution.run(&steps);
        }
        self.step(&steps[0], state);
        let mut score = [self.out.bias[0]];
        self.out.add(&state.hidden.map(|value| value.max(0.0)), &mut score);
        sigmoid(score[0])
    }

    fn magnitudes(&self, samples: &[f32]) -> Vec<f32> {
        let mut parts = [0.0; 2 * BINS];
        self.spectrum.add(samples, &mut parts);
        let (real, imaginary) = parts.split_at(BINS);
        let magnitude = |(real, imaginary): (&f32, &f32)| (real * real + imaginary * imaginary).sqrt();
        real.iter().zip(imaginary).map(magnitude).collect()
    }

    /// One step of the LSTM; its gates are input, output, forget and cell, as ONNX orders them.
    fn step(&self, input: &[f32], state: &mut State) {
        let mut gates: Vec<f32> = self.gates[0]
            .bias
            .iter()
            .zip(&self.gates[1].bias)
            .map(|(a, b)| a + b)
            .collect();
        self.gates[0].add(input, &mut gates);
        self.gates[1].add(&state.hidden, &mut gates);
        for at in 0..HIDDEN {
            let gate = |number: usize| gates[number * HIDDEN + at];
            state.cell[at] = sigmoid(gate(2)) * state.cell[at] + sigmoid(gate(0)) * gate(3).tanh();
            state.hidden[at] = sigmoid(gate(1)) * state.cell[at].tanh();
        }
    }
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// Rows of so many values, column by column.
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let column = |at: usize| values.iter().skip(at).step_by(width);
    (0..width).flat_map(column).copied().collect()
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
