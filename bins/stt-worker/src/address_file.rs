//! A file that tells others where the embedded broker is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file with an address, there while this value lives.
#[derive(Debug)]
pub(crate) struct AddressFile {
    path: PathBuf,
    address: String,
}

impl AddressFile {
    /// Writes it so that whoever sees the file sees the whole address.
    pub(crate) fn write(path: &Path, address: &str) -> Result<Self, Error> {
        let failed = |source| Error::AddressFile {
            path: path.to_owned(),
            source,
        };
        let mut draft = OsString::from(path);
        draft.push(format!(".{}.new", std::process::id()));
        std::fs::write(&draft, address).map_err(failed)?;
        std::fs::rename(&draft, path).map_err(|error| {
            let _ = std::fs::remove_file(&draft); // the rename's error is the one to tell
            failed(error)
        })?;
        Ok(Self {
            path: path.to_owned(),
            address: address.to_owned(),
        })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // It may be another worker's by now.
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.address) {
            let _ = std::fs::remove_file(&self.path); // whoever finds it finds nobody there
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_broker_but_not_with_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("address");
        let first = AddressFile::write(&path, "127.0.0.1:1").unwrap();
        let second = AddressFile::write(&path, "127.0.0.1:2").unwrap();
        drop(first);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "127.0.0.1:2");
        drop(second);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(AddressFile::write(&dir.path().join("nowhere/address"), "").is_err());
    }
}
