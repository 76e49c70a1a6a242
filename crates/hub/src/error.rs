//! Why a model could not be had.

use std::path::PathBuf;
use std::time::Duration;

use crate::MODELS;

/// Why a model could not be had, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The text names no model.
    #[error(
        "{model:?} is neither a directory that holds model.bin, nor org/repo, nor one of {}",
        MODELS.map(|(name, _)| name).join(", ")
    )]
    UnknownModel {
        /// The text.
        model: String,
    },
    /// The text is a directory, but not of a model.
    #[error("the directory {} holds no model.bin: it is no model in CTranslate2 form", directory.display())]
    NotAModel {
        /// The directory.
        directory: PathBuf,
    },
    /// The hub may not be asked, and the cache has not all of the model.
    #[error(
        "the hub is offline and {repository} is not whole in the cache {} (missing: {}): \
         fetch it once online, or name a model directory",
        cache.display(),
        missing.join(", ")
    )]
    Offline {
        /// The repository.
        repository: String,
        /// The cache.
        cache: PathBuf,
        /// The files that the cache lacks.
        missing: Vec<&'static str>,
    },
    /// The hub could not be reached, or did not answer in time.
    #[error(
        "cannot reach {endpoint} for {repository}: check the network and the hub's endpoint, or name a model directory"
    )]
    Unreachable {
        /// The hub.
        endpoint: String,
        /// The repository.
        repository: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub has no such repository.
    #[error("{endpoint} has no model repository {repository}: check its spelling; no such directory is here either")]
    NotFound {
        /// The hub.
        endpoint: String,
        /// The repository.
        repository: String,
    },
    /// The hub does not give the repository to us. It says so for repositories that do not exist, too.
    #[error(
        "{endpoint} refuses {repository} (status {status}): it does not exist, or is private or gated; {}",
        if *token { "the token given may not read it" } else { "give a token that may read it" }
    )]
    Refused {
        /// The hub.
        endpoint: String,
        /// The repository.
        repository: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        token: bool,
    },
    /// The hub answered with some other error.
    #[error("{endpoint} answered with status {status} for {repository}, {what}: try again later")]
    Status {
        /// The hub.
        endpoint: String,
        /// The repository.
        repository: String,
        /// A file, or the list of files.
        what: String,
        /// The status.
        status: u16,
    },
    /// The answer is not what a hub gives.
    #[error("{endpoint} does not answer as a hub for {repository}, {what}: {reason}")]
    Protocol {
        /// The hub.
        endpoint: String,
        /// The repository.
        repository: String,
        /// A file, or the list of files.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The repository holds something else.
    #[error("{repository} has no {}: it is no Whisper model in CTranslate2 form", missing.join(", "))]
    NotWhisper {
        /// The repository.
        repository: String,
        /// The files that it lacks.
        missing: Vec<&'static str>,
    },
    /// The transfer of a file broke. What has come is kept, and the next call goes on from there.
    #[error("the download of {file} of {repository} broke after {received} of {bytes} bytes")]
    Broken {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Bytes that came.
        received: u64,
        /// Bytes of the whole file.
        bytes: u64,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// A file came whole but is not what the hub announced. It was deleted.
    #[error("{file} of {repository} arrived damaged (hash {found}, announced {announced}) and was deleted: try again")]
    Damaged {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Its checksum.
        found: String,
        /// The hub's checksum.
        announced: String,
    },
    /// A file of a known model is not the one that is known. It was deleted.
    #[error(
        "{file} of {repository} has the SHA-256 {found}, known is {known}, and was deleted: if the model was changed on purpose, \
         name its revision (MODEL_REVISION)"
    )]
    Unknown {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Its SHA-256.
        found: String,
        /// The SHA-256 that is known.
        known: &'static str,
    },
    /// The revision is no name of one.
    #[error("{revision:?} is no branch, tag or commit: it has up to 96 letters, digits, '.', '-' and '_'")]
    BadRevision {
        /// The text.
        revision: String,
    },
    /// All of it took too long. What has come is kept, and the next call goes on from there.
    #[error("{repository} did not come within {} s: give it more time, or name a model directory", allowed.as_secs())]
    TimedOut {
        /// The repository.
        repository: String,
        /// The time that it had.
        allowed: Duration,
    },
    /// The bytes came too slowly. What has come is kept, and the next call goes on from there.
    #[error("{repository} came at less than {pace_min} bytes a second over {} s", window.as_secs())]
    TooSlow {
        /// The repository.
        repository: String,
        /// The least pace.
        pace_min: u64,
        /// The time that it was measured over.
        window: Duration,
    },
    /// Another process has the repository for too long.
    #[error(
        "another process has fetched {repository} for more than {} s and holds {}: end it (`fuser` names it), or wait",
        waited.as_secs(),
        path.display()
    )]
    Locked {
        /// The repository.
        repository: String,
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The cache could not be read or written.
    #[error("cannot use the model cache at {}", path.display())]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
