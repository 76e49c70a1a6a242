//! The hub's cache on disk, in the layout that all its clients share:
//! `models--ORG--REPO/{refs/main, blobs/ETAG, snapshots/COMMIT/FILE -> ../../blobs/ETAG}`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo};
use rustix::fs::{FlockOperation, flock};

use crate::{HubError, files};

/// What the cache has of a repository.
pub(crate) struct Cached {
    root: PathBuf,
    repo: CacheRepo,
}

/// The sole right, among processes, to add to a repository in the cache; ends with the value, or the process.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file ends the lock")] File);

impl Cached {
    pub(crate) fn new(cache_dir: &Path, repository: &str) -> Self {
        let repo = Repo::model(repository.to_owned());
        Self {
            root: cache_dir.join(repo.folder_name()),
            repo: Cache::new(cache_dir.to_owned()).repo(repo),
        }
    }

    /// The snapshot that `refs/main` names, if it is whole; else the files that it lacks.
    pub(crate) fn current(&self) -> Result<PathBuf, Vec<&'static str>> {
        let config = self.repo.get("config.json");
        let Some(snapshot) = config.as_deref().and_then(Path::parent) else {
            return Err(files::missing(std::iter::empty()));
        };
        let entries = std::fs::read_dir(snapshot).into_iter().flatten().flatten();
        let present = entries.filter(|entry| entry.path().exists()); // not so for a link whose blob is gone
        let names: Vec<_> = present
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        match files::missing(names.iter().map(String::as_str)) {
            missing if missing.is_empty() => Ok(snapshot.to_owned()),
            missing => Err(missing),
        }
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Locks the repository, after `wait` when another process has it.
    pub(crate) fn lock(&self, wait: impl FnOnce()) -> Result<Lock, HubError> {
        let path = self.root.join("stt-hub.lock");
        let lock = || {
            std::fs::create_dir_all(self.root.join("blobs"))?;
            let file = File::create(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    wait();
                    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
                }
                outcome => outcome?,
            }
            Ok(Lock(file))
        };
        lock().map_err(|source| HubError::Cache {
            path: path.clone(),
            source,
        })
    }

    /// Lets a file of a commit be the blob of that etag.
    pub(crate) fn place(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(file);
        let place = || {
            std::fs::create_dir_all(self.snapshot(commit))?;
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let linked = std::os::unix::fs::symlink(Path::new("../../blobs").join(etag), &path);
            // Some file systems know no links.
            linked.or_else(|_| std::fs::rename(self.blob(etag), &path))
        };
        place().map_err(|source| HubError::Cache {
            path: path.clone(),
            source,
        })
    }

    /// Makes a commit the current one: to be called when all its files are placed.
    pub(crate) fn publish(&self, commit: &str) -> Result<(), HubError> {
        self.repo.create_ref(commit).map_err(|source| HubError::Cache {
            path: self.root.join("refs"),
            source,
        })
    }
}
