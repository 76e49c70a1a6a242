//! How the engine is made.

use std::path::PathBuf;
use std::time::Duration;

use crate::Options;
use crate::batch::BatchMax;
use crate::scheduler::Limits;

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA GPU; needs the feature `cuda`.
    Cuda,
}

/// The names that [`Config::compute_type`] takes, as CTranslate2 spells them.
pub const COMPUTE_TYPES: &[&str] = &[
    "default",
    "auto",
    "float32",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
];

/// Which model to load, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Directory of a Whisper model in CTranslate2 form: `model.bin`, `config.json`, `tokenizer.json`, `vocabulary.json`
    /// (or `.txt`), and `preprocessor_config.json` when it has other than 80 mels.
    pub model_dir: PathBuf,
    /// Where it runs. Default the processor.
    pub device: Device,
    /// One of [`COMPUTE_TYPES`]; `default` is that of the saved model. Default `None`: `int8` on the processor, `float16` on a GPU.
    pub compute_type: Option<String>,
    /// Calls of the network at the same time. They share the weights, and each needs memory for its own activations. Each has at
    /// least one thread, so more replicas than threads compete for the cores. Default 0: as many as threads on the processor, where
    /// a second thread makes decoding no faster; 2 on a GPU, so that it has the next call when one ends.
    pub replicas: usize,
    /// Threads of all calls together: one call alone has them all. Default 0: the number of cores, by the process's affinity and
    /// its control group's quota.
    pub cpu_threads: usize,
    /// Most windows, of different audios, that are decoded in one call. Default 8. Memory: an encoded window takes 1,500 times
    /// the model's width in floats, 3 to 8 MB; decoding takes several times that.
    pub batch_size: usize,
    /// How long a batch that is not full waits for audios that are between two windows; an audio that is transcribed alone waits
    /// for nothing. Default 10 ms.
    pub batch_wait: Duration,
    /// Seed of what is sampled at temperatures above 0. Default `None`: another at each start. One for the process: the
    /// model that is loaded last has the say. Texts then are the same from run to run as long as jobs come one by one, in
    /// the same order. With a seed there is one replica, whatever [`Config::replicas`] says.
    pub seed: Option<u32>,
    /// What [`stt_core::Transcribe::transcribe`] does. Default [`Options::recommended`].
    pub options: Options,
}

impl Config {
    /// The model in `model_dir`, with the defaults.
    #[must_use]
    pub fn new(model_dir: impl Into<PathBuf>) -> Self {
        Self {
            model_dir: model_dir.into(),
            device: Device::Cpu,
            compute_type: None,
            replicas: 0,
            cpu_threads: 0,
            batch_size: 8,
            batch_wait: Duration::from_millis(10),
            seed: None,
            options: Options::recommended(),
        }
    }

    /// [`Config::compute_type`], or that which suits the device.
    #[must_use]
    pub fn compute_type(&self) -> &str {
        match (&self.compute_type, self.device) {
            (Some(given), _) => given,
            (None, Device::Cpu) => "int8",
            (None, Device::Cuda) => "float16",
        }
    }

    /// [`Config::cpu_threads`], or the number of cores.
    #[must_use]
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self.cpu_threads {
            0 => cores,
            asked => asked.min(cores),
        }
    }

    /// [`Config::replicas`], or as many as suit the device.
    #[must_use]
    pub fn replicas(&self) -> usize {
        // Each replica samples from a sequence of its own, and any of them may take the next call.
        if self.seed.is_some() {
            return 1;
        }
        match (self.replicas, self.device) {
            (0, Device::Cpu) => self.threads(),
            (0, Device::Cuda) => 2,
            (asked, _) => asked,
        }
    }

    /// Environment variables that a process should have from its start on, as native libraries read them once:
    ///
    /// * `OMP_WAIT_POLICY=PASSIVE`: by default idle threads spin, which takes twice the processor time, and on cores that others use
    ///   several times the wall time (docs/benchmarks.md).
    /// * `CT2_FORCE_CPU_ISA=AVX512` for `int8` on processors that have the loops of docs/decisions/007-kernels.md. CTranslate2 stops at
    ///   AVX2 unless it is told.
    #[must_use]
    pub fn native_environment(&self) -> Vec<(&'static str, &'static str)> {
        let mut variables = vec![("OMP_WAIT_POLICY", "PASSIVE")];
        if self.device == Device::Cpu && self.compute_type() == "int8" && has_avx512_bf16() {
            variables.push(("CT2_FORCE_CPU_ISA", "AVX512"));
        }
        variables
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            replicas: self.replicas(),
            threads: self.threads(),
            batch: BatchMax {
                // On the processor one window keeps a core busy, and a batch of them uses the caches worse.
                encode: match self.device {
                    Device::Cpu => 1,
                    Device::Cuda => self.batch_size,
                },
                decode: self.batch_size,
            },
            batch_wait: self.batch_wait,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16") && std::arch::is_x86_feature_detected!("avx512vnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512_bf16() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_int8_on_the_processor_takes_other_instructions() {
        let of = |device, compute_type: Option<&str>| {
            let config = Config {
                device,
                compute_type: compute_type.map(str::to_owned),
                ..Config::new("model")
            };
            config.native_environment().len() - 1
        };
        assert_eq!(of(Device::Cpu, None), usize::from(has_avx512_bf16()));
        for compute_type in ["float32", "int8_float32", "default"] {
            assert_eq!(of(Device::Cpu, Some(compute_type)), 0, "{compute_type}");
        }
        assert_eq!(of(Device::Cuda, Some("int8")), 0);
    }
}
