//! Where the bytes of a body go: to memory, and from some size on to a private file.

use std::fs::File;
use std::io::{self, Write};

use stt_core::{Fetched, SpillFile};

use super::dir::PrivateDir;
use super::{BadFetchConfig, FetchConfig};

/// Makes the places for bodies.
#[derive(Debug)]
pub(super) struct Sink {
    memory_max: u64,
    bytes_max: u64,
    dir: PrivateDir,
}

impl Sink {
    pub(super) fn new(config: &FetchConfig) -> Result<Self, BadFetchConfig> {
        let dir = PrivateDir::open(&config.tmp_dir).map_err(|source| BadFetchConfig::TmpDir {
            path: config.tmp_dir.clone(),
            source,
        })?;
        Ok(Self {
            memory_max: config.memory_max,
            bytes_max: config.bytes_max,
            dir,
        })
    }

    /// A place for a body, of that length where it is known. A file for it takes its room before the first byte comes.
    pub(super) fn pile(&self, length: Option<u64>) -> io::Result<Pile<'_>> {
        let mut pile = Pile {
            sink: self,
            bytes_max: length.unwrap_or(self.bytes_max),
            memory: vec![],
            spilled: None,
        };
        if length.is_some_and(|length| length > self.memory_max) {
            pile.spill()?;
        }
        Ok(pile)
    }

    /// Whether there is room for the longest body.
    pub(super) fn has_room(&self) -> io::Result<()> {
        if self.bytes_max > self.memory_max {
            self.dir.file(self.bytes_max)?;
        }
        Ok(())
    }
}

/// The bytes of one body. Its file goes with it, unless it is finished.
pub(super) struct Pile<'a> {
    sink: &'a Sink,
    bytes_max: u64,
    memory: Vec<u8>,
    spilled: Option<(File, u64)>,
}

impl Pile<'_> {
    pub(super) fn len(&self) -> u64 {
        self.spilled
            .as_ref()
            .map_or(self.memory.len() as u64, |(_, length)| *length)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.spilled.is_none() && self.len() + bytes.len() as u64 > self.sink.memory_max {
            self.spill()?;
        }
        match &mut self.spilled {
            Some((file, length)) => {
                file.write_all(bytes)?;
                *length += bytes.len() as u64;
            }
            None => self.memory.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut file = self.sink.dir.file(self.bytes_max)?;
        file.write_all(&self.memory)?;
        self.spilled = Some((file, self.memory.len() as u64));
        self.memory = vec![];
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Fetched> {
        Ok(match self.spilled {
            Some((file, length)) => {
                file.set_len(length)?; // gives back what was reserved beyond it
                Fetched::Spilled(SpillFile::adopt(file, length))
            }
            None => Fetched::Memory(self.memory),
        })
    }
}
