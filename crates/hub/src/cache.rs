//! The hub's cache on disk, in the layout that all its clients share:
//! `models--ORG--REPO/{refs/main, blobs/ETAG, snapshots/COMMIT/FILE -> ../../blobs/ETAG}`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use rustix::fs::{FlockOperation, flock};

use crate::{HubError, files, names};

/// What the cache has of a repository.
pub(crate) struct Cached {
    root: PathBuf,
    repo: CacheRepo,
    /// The commit that is wanted, where the revision is one.
    commit: Option<String>,
}

/// The sole right, among processes, to add to a repository in the cache; ends with the value, or the process.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file ends the lock")] File);

impl Cached {
    pub(crate) fn new(cache_dir: &Path, repository: &str, revision: &str) -> Self {
        let repo = Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned());
        Self {
            commit: names::is_commit(revision).then(|| revision.to_owned()),
            root: cache_dir.join(repo.folder_name()),
            repo: Cache::new(cache_dir.to_owned()).repo(repo),
        }
    }

    /// The snapshot of the commit that is wanted, or that `refs/REVISION` names, if it is whole; else the files that it lacks.
    pub(crate) fn current(&self) -> Result<PathBuf, Vec<&'static str>> {
        let named = || self.repo.get("config.json")?.parent().map(Path::to_owned);
        let snapshot = self.commit.as_ref().map(|commit| self.snapshot(commit)).or_else(named);
        let Some(snapshot) = snapshot else {
            return Err(files::missing(std::iter::empty()));
        };
        let entries = std::fs::read_dir(&snapshot).into_iter().flatten().flatten();
        let present = entries.filter(|entry| entry.path().exists()); // not so for a link whose blob is gone
        let names: Vec<_> = present
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        match files::missing(names.iter().map(String::as_str)) {
            missing if missing.is_empty() => Ok(snapshot),
            missing => Err(missing),
        }
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Locks the repository; when another process has it, `wait` is called, and the lock is waited for no longer than `most`.
    pub(crate) fn lock(&self, repository: &str, most: Duration, wait: impl FnOnce()) -> Result<Lock, HubError> {
        let path = self.root.join("stt-hub.lock");
        let cache = |source| HubError::Cache {
            path: path.clone(),
            source,
        };
        let open = || {
            std::fs::create_dir_all(self.root.join("blobs"))?;
            File::create(&path)
        };
        let file = open().map_err(cache)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => wait(),
            Err(error) => return Err(cache(error.into())),
        }
        // flock has no time limit of its own. A lock that comes too late is let go at once, as nobody receives it.
        let (locked, lock) = mpsc::channel();
        let thread = std::thread::Builder::new().name("hub-lock".to_owned());
        let waiting = thread.spawn(move || {
            let outcome = rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive));
            let _ = locked.send(outcome.map(|()| Lock(file)));
        });
        waiting.map_err(cache)?;
        match lock.recv_timeout(most) {
            Ok(outcome) => outcome.map_err(|error| cache(error.into())),
            Err(_) => Err(HubError::Locked {
                repository: repository.to_owned(),
                path: path.clone(),
                waited: most,
            }),
        }
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
        if self.commit.is_some() {
            return Ok(()); // found without a name
        }
        self.repo.create_ref(commit).map_err(|source| HubError::Cache {
            path: self.root.join("refs"),
            source,
        })
    }
}
