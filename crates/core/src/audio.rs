//! Audio, encoded and decoded.

use std::path::{Path, PathBuf};
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

/// A file that is removed when this value goes, and its directory with it where that is the file's own.
#[derive(Debug)]
pub struct SpillFile {
    path: PathBuf,
    dir: Option<PathBuf>,
    len: u64,
}

impl SpillFile {
    /// Takes charge of a file of `len` bytes.
    #[must_use]
    pub fn adopt(path: PathBuf, len: u64) -> Self {
        Self { path, dir: None, len }
    }

    /// Takes charge of a directory that holds nothing but a file called `name`, of `len` bytes.
    #[must_use]
    pub fn adopt_dir(dir: PathBuf, name: &str, len: u64) -> Self {
        Self {
            path: dir.join(name),
            dir: Some(dir),
            len,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // Nothing better can be done here; what stays is swept at the next start.
        let _ = std::fs::remove_file(&self.path);
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir_all(dir);
        }
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
