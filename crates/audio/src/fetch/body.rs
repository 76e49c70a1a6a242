//! Where the bytes of a body go: to memory, and from some size on to a private file.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use stt_core::{Fetched, SpillFile};
use tempfile::{NamedTempFile, TempDir};

use super::{BadFetchConfig, FetchConfig};

/// Makes the places for bodies. The directory for files is this sink's own (0700, a random name), made when the first
/// file is, and removed with the sink.
#[derive(Debug)]
pub(super) struct Sink {
    memory_max: u64,
    tmp_dir: PathBuf,
    dir: Mutex<Option<TempDir>>,
}

impl Sink {
    pub(super) fn new(config: &FetchConfig) -> Result<Self, BadFetchConfig> {
        make(&config.tmp_dir).map_err(|source| BadFetchConfig::TmpDir {
            path: config.tmp_dir.clone(),
            source,
        })?;
        Ok(Self {
            memory_max: config.memory_max,
            tmp_dir: config.tmp_dir.clone(),
            dir: Mutex::default(),
        })
    }

    pub(super) fn pile(&self) -> Pile<'_> {
        Pile {
            sink: self,
            memory: vec![],
            spilled: None,
        }
    }

    /// A new file (0600, a random name).
    fn file(&self) -> io::Result<NamedTempFile> {
        let mut dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match dir.take().filter(|dir| dir.path().is_dir()) {
            Some(made) => made,
            // At the first file, or when a cleaner of old files took it.
            None => {
                make(&self.tmp_dir)?;
                tempfile::Builder::new()
                    .prefix("fetch-")
                    .permissions(Permissions::from_mode(0o700))
                    .tempdir_in(&self.tmp_dir)?
            }
        };
        let made = dir.insert(made);
        NamedTempFile::new_in(made.path())
    }
}

fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The bytes of one body. Its file goes with it, unless it is finished.
pub(super) struct Pile<'a> {
    sink: &'a Sink,
    memory: Vec<u8>,
    spilled: Option<(NamedTempFile, u64)>,
}

impl Pile<'_> {
    pub(super) fn len(&self) -> u64 {
        self.spilled.as_ref().map_or(self.memory.len() as u64, |(_, len)| *len)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.spilled.is_none() && self.len() + bytes.len() as u64 > self.sink.memory_max {
            let mut file = self.sink.file()?;
            file.write_all(&self.memory)?;
            self.spilled = Some((file, self.memory.len() as u64));
            self.memory = vec![];
        }
        match &mut self.spilled {
            Some((file, len)) => {
                file.write_all(bytes)?;
                *len += bytes.len() as u64;
            }
            None => self.memory.extend_from_slice(bytes),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Fetched> {
        match self.spilled {
            Some((file, len)) => {
                let (_, path) = file.into_parts();
                let path = path.keep().map_err(|error| error.error)?;
                Ok(Fetched::Spilled(SpillFile::adopt(path, len)))
            }
            None => Ok(Fetched::Memory(self.memory)),
        }
    }
}
