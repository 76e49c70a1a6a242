//! One file from the hub into the cache, whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Instant;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use crate::cache::Cached;
use crate::client::{Announced, Hash, Remote};
use crate::limits::Limits;
use crate::{HubError, known};

/// A transfer that breaks off is taken up again if it brought at least this much, in bytes; so it needs no waits, and
/// every round gets on.
const ROUND_MIN: u64 = 64 * 1024;

/// One file of a commit.
pub(crate) struct Download<'a> {
    pub(crate) repository: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) file: &'a str,
    pub(crate) announced: &'a Announced,
    /// Whether the revision is of the operator's choice, and so the known models are not what is wanted.
    pub(crate) is_pinned: bool,
}

impl Download<'_> {
    /// Brings the blob into the cache. Goes on where an earlier call, or process, was cut off. Tells after each read how
    /// many bytes of the file there are.
    pub(crate) fn run(
        &self,
        remote: &Remote<'_>,
        cached: &Cached,
        limits: &mut Limits<'_>,
        mut tell: impl FnMut(u64),
    ) -> Result<(), HubError> {
        let blob = cached.blob(&self.announced.etag);
        let part = blob.with_extension("stt-part");
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| HubError::Cache { path, source }
        };
        let bytes = self.announced.bytes;
        if std::fs::metadata(&blob).is_ok_and(|found| found.len() == bytes) {
            return Ok(());
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&part)
            .map_err(at(&part))?;
        let mut there = file.metadata().map_err(at(&part))?.len();
        if there > bytes {
            file.set_len(0).map_err(at(&part))?;
            there = 0;
        }
        let mut reached = there;
        while there < bytes {
            let (start, mut reader) = remote.open(self.commit, self.file, there, limits)?;
            if start != there {
                file.set_len(0).map_err(at(&part))?;
                there = 0;
            }
            limits.begin(Instant::now());
            let mut received = |more: u64, there: u64| {
                tell(there);
                limits.received(more, Instant::now())
            };
            let broke =
                copy(&mut reader, &mut file, bytes, &mut there, &mut received).map_err(|error| match error {
                    CopyError::Write(source) => at(&part)(source),
                    CopyError::Limit(error) => *error,
                })?;
            if there < bytes && there < reached + ROUND_MIN {
                return Err(HubError::Broken {
                    repository: self.repository.to_owned(),
                    file: self.file.to_owned(),
                    received: there,
                    bytes,
                    source: broke.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()),
                });
            }
            reached = reached.max(there);
        }
        self.check(&part)?;
        file.sync_all().map_err(at(&part))?;
        std::fs::rename(&part, &blob).map_err(at(&blob))
    }

    /// The hub names files by their hash. What does not fit is deleted, so that the next try begins anew.
    fn check(&self, part: &Path) -> Result<(), HubError> {
        let cache = |source| HubError::Cache {
            path: part.to_owned(),
            source,
        };
        let (sha256, sha1) = hashes(part, self.announced.bytes).map_err(cache)?;
        let found = match self.announced.hash {
            Hash::Sha256 => &sha256,
            Hash::GitSha1 => &sha1,
        };
        let outcome = if *found == self.announced.etag {
            let known = known::check(self.repository, self.file, &sha256);
            if self.is_pinned { Ok(()) } else { known }
        } else {
            Err(HubError::Damaged {
                repository: self.repository.to_owned(),
                file: self.file.to_owned(),
                found: found.clone(),
                announced: self.announced.etag.clone(),
            })
        };
        if outcome.is_err() {
            std::fs::remove_file(part).map_err(cache)?;
        }
        outcome
    }
}

/// Why a round ends with an error.
enum CopyError {
    Write(io::Error),
    Limit(Box<HubError>),
}

/// Copies up to `bytes`; a failure to write is the error, a failure to read only ends the round.
fn copy(
    reader: &mut impl Read,
    file: &mut File,
    bytes: u64,
    there: &mut u64,
    received: &mut impl FnMut(u64, u64) -> Result<(), HubError>,
) -> Result<Option<io::Error>, CopyError> {
    let mut buffer = vec![0; 256 * 1024];
    while *there < bytes {
        let room = usize::try_from(bytes - *there).unwrap_or(usize::MAX).min(buffer.len());
        match reader.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(read) => {
                file.write_all(&buffer[..read]).map_err(CopyError::Write)?;
                *there += read as u64;
                received(read as u64, *there).map_err(|error| CopyError::Limit(Box::new(error)))?;
            }
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

/// SHA-256 of a file, and the SHA-1 that it has as an object of git.
fn hashes(path: &Path, bytes: u64) -> io::Result<(String, String)> {
    let mut file = File::open(path)?;
    let (mut sha256, mut sha1) = (Context::new(&SHA256), Context::new(&SHA1_FOR_LEGACY_USE_ONLY));
    sha1.update(format!("blob {bytes}\0").as_bytes());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => [&mut sha256, &mut sha1].map(|context| context.update(&buffer[..read])),
        };
    }
    Ok((hex(sha256), hex(sha1)))
}

fn hex(context: Context) -> String {
    let digest = context.finish();
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
