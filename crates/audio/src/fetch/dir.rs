//! The directory of long bodies, which nobody else may put anything into.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, StatVfs, fallocate, fstat, fstatvfs, open, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

const S_ISVTX: u32 = 0o1000;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Opens a directory for files that nobody else may touch; it is made, private to this user, when it is missing.
///
/// # Errors
/// When it cannot be made, is a symbolic link, belongs to another user (other than root), or others may write to it. They may
/// where it has the sticky bit, as `/tmp` has: there they cannot remove or replace what is ours.
pub fn open_private_dir(path: &Path) -> io::Result<OwnedFd> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR if path.is_symlink() => refused("it is a symbolic link".to_owned()),
        error => error.into(),
    })?;
    let found = fstat(&dir)?;
    let (owner, mode) = (found.st_uid, found.st_mode & 0o7777);
    if owner != geteuid().as_raw() && owner != 0 {
        return Err(refused(format!("it belongs to another user, {owner}")));
    }
    if mode & WRITABLE_BY_OTHERS != 0 && mode & S_ISVTX == 0 {
        return Err(refused(format!(
            "others may write to it (mode {mode:o}); name a directory inside it, which is made when it is missing"
        )));
    }
    Ok(dir)
}

fn refused(why: String) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why)
}

/// Bytes that this user may still write to the file system of `dir`; `None` where it does not say.
///
/// # Errors
/// When the system does not answer.
pub fn free_bytes(dir: impl AsFd) -> io::Result<Option<u64>> {
    let StatVfs {
        f_frsize,
        f_blocks,
        f_bavail,
        ..
    } = fstatvfs(dir)?;
    Ok((f_blocks > 0).then(|| f_bavail.saturating_mul(f_frsize)))
}

/// A directory by its descriptor, whatever its path leads to meanwhile.
#[derive(Debug)]
pub(super) struct PrivateDir {
    path: PathBuf,
    dir: Mutex<OwnedFd>,
}

impl PrivateDir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            dir: Mutex::new(open_private_dir(path)?),
        })
    }

    /// A file without a name (0600), for `bytes` of which there is room: as far as the file system can say so in advance.
    pub(super) fn file(&self, bytes: u64) -> io::Result<File> {
        let mut dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        // A cleaner of old files may have taken the directory.
        if fstat(&*dir)?.st_nlink == 0 {
            *dir = open_private_dir(&self.path)?;
        }
        let file = unnamed(&dir)?;
        reserve(&file, bytes)?;
        Ok(file)
    }
}

fn unnamed(dir: &OwnedFd) -> Result<File, Errno> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match openat(dir, ".", flags | OFlags::TMPFILE | OFlags::EXCL, mode) {
        // File systems without such files; the last is what kernels say that do not know the flag.
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::ISDIR) => {}
        file => return file.map(File::from),
    }
    let name = format!("fetch-{:016x}{:016x}", random()?, random()?);
    let file = openat(
        dir,
        &name,
        flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW,
        mode,
    )?;
    unlinkat(dir, &name, AtFlags::empty())?;
    Ok(file.into())
}

fn random() -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Takes the room for a file, so that others cannot take it while the file is written.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        // A file system that cannot: at least there is room now.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => match free_bytes(file)? {
            Some(free) if free < bytes => Err(Errno::NOSPC.into()),
            _ => Ok(()),
        },
        reserved => Ok(reserved?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_others_may_write_to_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str| root.path().join(name);
        let refusal = |path: &Path| open_private_dir(path).map(|_| ()).map_err(|error| error.to_string());

        assert_eq!(refusal(&place("made/deeply")), Ok(()));
        assert_eq!(fs::metadata(place("made/deeply")).unwrap().mode() & 0o777, 0o700);
        symlink(place("made"), place("link")).unwrap();
        assert_eq!(refusal(&place("link")), Err("it is a symbolic link".to_owned()));
        fs::write(place("file"), "").unwrap();
        assert!(refusal(&place("file")).is_err());
        for (mode, good) in [
            (0o700, true),
            (0o755, true),
            (0o1777, true),
            (0o777, false),
            (0o770, false),
        ] {
            fs::set_permissions(place("made"), Permissions::from_mode(mode)).unwrap();
            let found = refusal(&place("made"));
            assert_eq!(found.is_ok(), good, "{mode:o}: {found:?}");
            assert!(good || found.unwrap_err().contains("name a directory inside it"));
        }
        fs::set_permissions(place("made"), Permissions::from_mode(0o700)).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(place("made"), Some(12_345), None).unwrap();
            assert_eq!(
                refusal(&place("made")),
                Err("it belongs to another user, 12345".to_owned())
            );
        }
    }

    #[test]
    fn a_file_has_no_name_and_room_that_is_taken_at_once() {
        let root = tempfile::tempdir().unwrap();
        let dir = PrivateDir::open(&root.path().join("tmp")).unwrap();
        let file = dir.file(1 << 20).unwrap();
        let found = file.metadata().unwrap();
        assert_eq!((found.len(), found.nlink(), found.mode() & 0o777), (0, 0, 0o600));
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
        let too_much = dir.file(1 << 60).unwrap_err();
        assert!(
            [ErrorKind::StorageFull, ErrorKind::FileTooLarge].contains(&too_much.kind()),
            "{too_much}"
        );
        fs::remove_dir(root.path().join("tmp")).unwrap();
        dir.file(1).unwrap();
    }
}
