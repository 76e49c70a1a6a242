//! One file from the hub into the cache, whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::HubError;
use crate::cache::Cached;
use crate::client::{Announced, Remote};

/// A transfer that breaks off is taken up again if it brought at least this much, in bytes; so it needs no waits, and
/// every round gets on.
const ROUND_MIN: u64 = 64 * 1024;

/// One file of a commit.
pub(crate) struct Download<'a> {
    pub(crate) repository: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) file: &'a str,
    pub(crate) announced: &'a Announced,
}

impl Download<'_> {
    /// Brings the blob into the cache. Goes on where an earlier call, or process, was cut off. Tells after each read how
    /// many bytes of the file there are.
    pub(crate) fn run(&self, remote: &Remote<'_>, cached: &Cached, mut tell: impl FnMut(u64)) -> Result<(), HubError> {
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
            let (start, mut reader) = remote.open(self.commit, self.file, there)?;
            if start != there {
                file.set_len(0).map_err(at(&part))?;
                there = 0;
            }
            let broke = copy(&mut reader, &mut file, bytes, &mut there, &mut tell).map_err(at(&part))?;
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

    /// The hub names large files by their SHA-256. What does not fit is deleted, so that the next try begins anew.
    fn check(&self, part: &Path) -> Result<(), HubError> {
        let announced = &self.announced.etag;
        if announced.len() != 64 || !announced.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(());
        }
        let cache = |source| HubError::Cache {
            path: part.to_owned(),
            source,
        };
        let found = sha256(part).map_err(cache)?;
        if found.eq_ignore_ascii_case(announced) {
            return Ok(());
        }
        std::fs::remove_file(part).map_err(cache)?;
        Err(HubError::Damaged {
            repository: self.repository.to_owned(),
            file: self.file.to_owned(),
            found,
            announced: announced.clone(),
        })
    }
}

/// Copies up to `bytes`; a failure to write is the error, a failure to read only ends the round.
fn copy(
    reader: &mut impl Read,
    file: &mut File,
    bytes: u64,
    there: &mut u64,
    tell: &mut impl FnMut(u64),
) -> io::Result<Option<io::Error>> {
    let mut buffer = vec![0; 256 * 1024];
    while *there < bytes {
        let room = usize::try_from(bytes - *there).unwrap_or(usize::MAX).min(buffer.len());
        match reader.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(read) => {
                file.write_all(&buffer[..read])?;
                *there += read as u64;
                tell(*there);
            }
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    let digest = context.finish();
    Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
