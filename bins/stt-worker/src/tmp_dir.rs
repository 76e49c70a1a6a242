//! A directory for downloads that is gone when the process is, however it ends.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use stt_core::{Clock as _, SystemClock};

use crate::error::Error;

/// A private directory inside `TMP_DIR`, locked while its process lives. A lock tells the living from the dead where a
/// process id cannot: containers that share the directory have ids of their own, and ids come again.
#[derive(Debug)]
pub(crate) struct TmpDir {
    path: PathBuf,
    #[expect(dead_code, reason = "closing it gives the lock up")]
    lock: File,
}

const PREFIX: &str = "worker-";
/// Others hold the lock of `TMP_DIR` for as long as they sweep.
const ROOT_LOCK_WAIT: Duration = Duration::from_secs(10);

impl TmpDir {
    /// Makes `root` if need be, sweeps out what dead processes left there, and makes a directory of our own. There must be
    /// room for `bytes`.
    pub(crate) fn make(root: &Path, bytes: u64) -> Result<Self, Error> {
        Self::make_in(root, bytes).map_err(|source| Error::TmpDir {
            path: root.to_owned(),
            source,
        })
    }

    fn make_in(root: &Path, bytes: u64) -> io::Result<Self> {
        let dir = stt_audio::open_private_dir(root)?;
        // Held to the end of this function, so that nobody sweeps a directory that is made but not locked yet.
        let _root_lock = lock_within(root, ROOT_LOCK_WAIT)?;
        sweep(root)?;
        if let Some(free) = stt_audio::free_bytes(&dir)?.filter(|free| *free < bytes) {
            let message = format!(
                "{free} bytes are free, and MAX_AUDIO_BYTES for each of WORKER_CONCURRENCY + WORKER_QUEUE_MAX jobs may take {bytes}"
            );
            return Err(io::Error::new(ErrorKind::StorageFull, message));
        }
        let path = root.join(format!("{PREFIX}{:016x}", fastrand::u64(..)));
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = lock(&path)?;
        Ok(Self { path, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TmpDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            log::warn!("cannot remove {}, the next worker will: {error}", self.path.display());
        }
    }
}

fn sweep(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        match lock(&path).and_then(|_lock| fs::remove_dir_all(&path)) {
            Ok(()) => log::info!("removed {}, left by a worker that was killed", path.display()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {} // it lives
            Err(error) => log::warn!("cannot remove {}: {error}", path.display()),
        }
    }
    Ok(())
}

/// The lock of a directory, if nobody has it.
fn lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    Ok(directory)
}

fn lock_within(path: &Path, wait: Duration) -> io::Result<File> {
    let deadline = Instant::now() + wait;
    loop {
        match lock(path) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                SystemClock.sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_dead_are_swept_the_living_and_strangers_stay() {
        let root = tempfile::tempdir().unwrap();
        let there = |path: &Path| path.exists();
        let (dead, stranger) = (root.path().join("worker-dead"), root.path().join("other"));
        for path in [&dead, &stranger] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("audio"), "x").unwrap();
        }
        let living = TmpDir::make(root.path(), 0).unwrap();
        fs::write(living.path().join("audio"), "x").unwrap();
        let next = TmpDir::make(root.path(), 0).unwrap();
        assert!(!there(&dead) && there(&stranger) && there(living.path()));
        assert_eq!(fs::metadata(next.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = living.path().to_owned();
        drop(living);
        assert!(!there(&path) && there(next.path()));
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let root = tempfile::NamedTempFile::new().unwrap();
        let error = TmpDir::make(root.path(), 0).unwrap_err();
        assert!(stt_core::error_chain(&error).contains(&root.path().display().to_string()));
    }

    #[test]
    fn a_directory_that_is_too_small_or_anybodys_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let refusal = |bytes| stt_core::error_chain(&TmpDir::make(root.path(), bytes).unwrap_err());
        assert!(refusal(u64::MAX).contains(" bytes are free, and MAX_AUDIO_BYTES for each of"));
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refusal(0).contains("others may write to it (mode 777)"));
    }
}
