//! Media as a descriptor that can be handed on.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use stt_core::{ErrorCode, Failure, Fetched};

use crate::decode::open;

/// The bytes, to be read from the beginning and not to be changed.
pub(super) fn descriptor(media: &Fetched) -> Result<OwnedFd, Failure> {
    match media {
        Fetched::Memory(bytes) => sealed(bytes).map(Into::into).map_err(|error| {
            let message = "no memory for media that is to be decoded";
            Failure::worker_local(ErrorCode::AudioDecodeFailed, message).because(error)
        }),
        Fetched::Spilled(file) => open(file).map(Into::into),
    }
}

/// A file without a name, in memory.
fn sealed(bytes: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Not executable; vm.memfd_noexec=2 demands it. Linux before 6.3 does not know the flag.
    let file = match memfd_create("stt-media", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create("stt-media", flags)?,
        file => file?,
    };
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.rewind()?;
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn what_is_handed_on_cannot_be_changed() {
        let mut file = File::from(descriptor(&Fetched::Memory(b"audio".to_vec())).unwrap());
        assert!(file.set_len(0).is_err() && file.set_len(9).is_err());
        assert!(file.write_all(b"other").is_err());
        let mut read = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "audio");
    }
}
