//! Audio, encoded and decoded.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

/// What a download brought: bounded bytes, in memory or in a private file.
#[derive(Debug)]
pub enum Fetched {
    /// The whole body.
    Memory(Vec<u8>),
    /// A body over the bound for memory.
    Spilled(SpillFile),
}

impl Fetched {
    /// Size of the body in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spilled(file) => file.len,
        }
    }

    /// Whether the body is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file without a name, which is gone when this value and whatever else holds it open are, however the process ends.
#[derive(Debug)]
pub struct SpillFile {
    file: File,
    len: u64,
}

impl SpillFile {
    /// Takes charge of a file of `len` bytes.
    #[must_use]
    pub fn adopt(file: File, len: u64) -> Self {
        Self { file, len }
    }

    /// The file once more: for reading only, from its beginning. No path leads to it, so nothing can be put in its place.
    ///
    /// # Errors
    /// When the system refuses, for want of descriptors say.
    pub fn open(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// Decoded audio: mono, 16,000 samples a second, f32 in [-1, 1].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pcm {
    /// The samples.
    pub samples: Vec<f32>,
}

impl Pcm {
    /// Samples a second.
    pub const RATE: u32 = 16_000;

    /// How long it lasts.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(Self::RATE))
    }
}
