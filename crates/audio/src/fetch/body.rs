//! Where the bytes of a body go: to memory, and from some size on to a private file.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use stt_core::{Fetched, SpillFile};
use tempfile::TempDir;

use super::{BadFetchConfig, FetchConfig};

/// Makes the places for bodies.
#[derive(Debug)]
pub(super) struct Sink {
    memory_max: u64,
    tmp_dir: PathBuf,
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
        })
    }

    pub(super) fn pile(&self) -> Pile<'_> {
        Pile {
            sink: self,
            memory: vec![],
            spilled: None,
        }
    }
}

fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A file (0600) alone in a directory of its own (0700, a random name), so that nothing that is done with one body meets
/// another.
struct Spill {
    dir: TempDir,
    file: File,
    len: u64,
}

impl Spill {
    const NAME: &str = "audio";

    fn start(tmp_dir: &Path) -> io::Result<Self> {
        make(tmp_dir)?; // a cleaner of old files may have taken it
        let dir = tempfile::Builder::new()
            .prefix("fetch-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(tmp_dir)?;
        let path = dir.path().join(Self::NAME);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { dir, file, len: 0 })
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// The bytes of one body. Its directory goes with it, unless it is finished.
pub(super) struct Pile<'a> {
    sink: &'a Sink,
    memory: Vec<u8>,
    spilled: Option<Spill>,
}

impl Pile<'_> {
    pub(super) fn len(&self) -> u64 {
        self.spilled
            .as_ref()
            .map_or(self.memory.len() as u64, |spill| spill.len)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.spilled.is_none() && self.len() + bytes.len() as u64 > self.sink.memory_max {
            let mut spill = Spill::start(&self.sink.tmp_dir)?;
            spill.add(&self.memory)?;
            self.spilled = Some(spill);
            self.memory = vec![];
        }
        match &mut self.spilled {
            Some(spill) => spill.add(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Fetched {
        match self.spilled {
            Some(spill) => Fetched::Spilled(SpillFile::adopt_dir(spill.dir.keep(), Spill::NAME, spill.len)),
            None => Fetched::Memory(self.memory),
        }
    }
}
