//! From the name of a Whisper model to its directory, through the Hugging Face hub and the cache that all its clients
//! share.
//!
//! The way in is [`resolve`]. The hub is asked once what it has; only what the cache lacks is downloaded, checked, and
//! becomes the current snapshot when all of it is there. Without the hub, a snapshot that is whole is used as it is.
//!
//! The cache is read and written by the rules of the `hf-hub` crate. Its own client is not used: that one waits without
//! limit for a hub that falls silent, takes files unchecked, and shows the token to the host that a redirect leads to
//! (version 0.5.0). This crate reads no environment but the proxy variables that ureq reads, writes no log, and loads
//! no model.
//!
//! ```
//! let config = stt_hub::HubConfig {
//!     offline: true,
//!     ..stt_hub::HubConfig::new("/var/cache/huggingface/hub".into())
//! };
//! let error = stt_hub::resolve("smal", &config, &mut |progress| println!("{progress}")).unwrap_err();
//! assert!(error.to_string().starts_with(r#""smal" is neither a directory that holds model.bin, nor org/repo, nor one of tiny"#));
//! ```

mod cache;
mod client;
mod download;
mod error;
mod files;
mod known;
mod limits;
mod names;
mod progress;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cache::Cached;
use crate::client::Remote;
use crate::download::Download;
use crate::limits::Limits;

pub use error::HubError;
pub use names::MODELS;
pub use progress::Progress;

/// Where models come from, and where they are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// The cache; by convention `$HF_HOME/hub`, with `HF_HOME` being `~/.cache/huggingface` by default.
    pub cache_dir: PathBuf,
    /// The hub, an http or https URL; by convention [`HubConfig::ENDPOINT`].
    pub endpoint: String,
    /// For private and gated repositories. Sent to the endpoint only, never to where it redirects.
    pub token: Option<String>,
    /// Whether the hub must not be asked: only the cache is used then.
    pub offline: bool,
    /// The branch, tag or commit that is taken of a repository: letters, digits, `.`, `-` and `_`. Of a commit (40 hexadecimal
    /// digits) the cache is used without asking the hub. Default `None`: the branch `main`, with the known models checked by
    /// the SHA-256 that this crate has of them.
    pub revision: Option<String>,
    /// Most time for all of it, waiting for another process included. Default 1 h.
    pub time_max: Duration,
    /// Fewest bytes in a second, on average over each `pace_window`. Default 16,384.
    pub pace_min: u64,
    /// How long a transfer may be slower before it is given up. Default 60 s.
    pub pace_window: Duration,
}

impl HubConfig {
    /// Models of the Hugging Face hub, kept in this cache.
    #[must_use]
    pub fn new(cache_dir: PathBuf) -> Self {
        Self {
            cache_dir,
            endpoint: Self::ENDPOINT.to_owned(),
            token: None,
            offline: false,
            revision: None,
            time_max: Duration::from_secs(3_600),
            pace_min: 16 * 1024,
            pace_window: Duration::from_secs(60),
        }
    }

    /// The branch, tag or commit.
    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The commit that is pinned, if one is.
    fn pinned_commit(&self) -> Option<&str> {
        self.revision.as_deref().filter(|revision| names::is_commit(revision))
    }

    /// The Hugging Face hub.
    pub const ENDPOINT: &'static str = "https://huggingface.co";
}

impl std::fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubConfig")
            .field("cache_dir", &self.cache_dir)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "hidden"))
            .field("offline", &self.offline)
            .field("revision", &self.revision)
            .field("time_max", &self.time_max)
            .finish_non_exhaustive()
    }
}

/// The directory of a model in CTranslate2 form. `model` is such a directory, taken as it is; or a name of [`MODELS`];
/// or `org/repo` on the hub.
///
/// Blocks for as long as the download takes, up to [`HubConfig::time_max`]; a hub that is silent for 30 s, or slower than
/// [`HubConfig::pace_min`], is given up. One process at a time downloads a repository, others that share the cache wait for it
/// within the same time. Each file is checked by the hash that the hub announces: SHA-256, or git's SHA-1.
///
/// # Errors
/// When `model` names no model, or the model cannot be had from the hub and is not whole in the cache.
pub fn resolve(model: &str, config: &HubConfig, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf, HubError> {
    let directory = Path::new(model);
    if directory.join(files::WEIGHTS).is_file() {
        return Ok(directory.to_owned());
    }
    let repository = match names::repository(model) {
        // Only a name of the table may also be that of some directory here, as `small` and `base` easily are.
        Ok(repository) if repository != model || !directory.is_dir() => repository,
        Err(error) if !directory.is_dir() => return Err(error),
        _ => {
            let directory = directory.to_owned();
            return Err(HubError::NotAModel { directory });
        }
    };
    if !names::is_revision(config.revision()) {
        let revision = config.revision().to_owned();
        return Err(HubError::BadRevision { revision });
    }
    let cached = Cached::new(&config.cache_dir, repository, config.revision());
    if let (Some(_), Ok(snapshot)) = (config.pinned_commit(), cached.current()) {
        progress(Progress::Cached { repository });
        return Ok(snapshot);
    }
    if config.offline {
        let snapshot = cached.current().map_err(|missing| HubError::Offline {
            repository: repository.to_owned(),
            cache: config.cache_dir.clone(),
            missing,
        })?;
        progress(Progress::Cached { repository });
        return Ok(snapshot);
    }
    fetch(repository, &cached, config, progress).or_else(|error| match cached.current() {
        Ok(snapshot) => {
            let because = &error;
            progress(Progress::Fallback { repository, because });
            Ok(snapshot)
        }
        Err(_) => Err(error),
    })
}

/// Brings the cache up to what the hub has.
fn fetch(
    repository: &str,
    cached: &Cached,
    config: &HubConfig,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    let mut limits = Limits::start(config, repository, Instant::now());
    let remote = Remote::new(config, repository)?;
    let revision = remote.revision(&limits)?;
    let commit = revision.commit.as_str();
    let snapshot = cached.snapshot(commit);
    let lacks = |file: &&String| !snapshot.join(file).exists();
    if !revision.files.iter().any(|file| lacks(&file)) && cached.current().as_ref() == Ok(&snapshot) {
        progress(Progress::Cached { repository });
        return Ok(snapshot);
    }
    let left = limits.left(Instant::now())?;
    let _lock = cached.lock(repository, left, || progress(Progress::Waiting { repository }))?;
    let mut wanted = Vec::new();
    for file in revision.files.iter().filter(lacks) {
        wanted.push((file, remote.announced(commit, file, &limits)?));
    }
    let sizes = wanted.iter().map(|(_, announced)| announced.bytes);
    let bytes = sizes.fold(0, u64::saturating_add);
    progress(match bytes {
        0 => Progress::Cached { repository },
        _ => Progress::Fetching {
            repository,
            commit,
            bytes,
        },
    });
    let (mut before, mut told) = (0_u64, 0);
    for (file, announced) in &wanted {
        let download = Download {
            repository,
            commit,
            file,
            announced,
            is_pinned: config.revision.is_some(),
        };
        download.run(&remote, cached, &mut limits, |there| {
            let received = there.saturating_add(before);
            let twentieths = received.saturating_mul(20) / bytes.max(1);
            if twentieths > told {
                told = twentieths;
                progress(Progress::Received {
                    repository,
                    received,
                    bytes,
                });
            }
        })?;
        cached.place(commit, file, &announced.etag)?;
        before = announced.bytes.saturating_add(before);
    }
    cached.publish(commit)?;
    Ok(snapshot)
}
