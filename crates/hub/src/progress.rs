//! What a caller is told while it waits.

use crate::HubError;

/// What is going on; `Display` gives a line for a log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Another process fetches the same model; its work is waited for.
    Waiting {
        /// The repository.
        repository: &'a str,
    },
    /// The download begins.
    Fetching {
        /// The repository.
        repository: &'a str,
        /// The commit.
        commit: &'a str,
        /// Bytes of all files that are not in the cache.
        bytes: u64,
    },
    /// Another twentieth of the bytes is there.
    Received {
        /// The repository.
        repository: &'a str,
        /// Bytes that are there.
        received: u64,
        /// Bytes of all files that were not in the cache.
        bytes: u64,
    },
    /// The model is whole in the cache and the hub has nothing newer, or may not be asked.
    Cached {
        /// The repository.
        repository: &'a str,
    },
    /// The model in the cache is used as the hub could not be asked whether it has a newer one, or did not give it.
    Fallback {
        /// The repository.
        repository: &'a str,
        /// Why.
        because: &'a HubError,
    },
}

impl std::fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waiting { repository } => write!(f, "waiting for another process that fetches {repository}"),
            Self::Fetching {
                repository,
                commit,
                bytes,
            } => write!(f, "fetching {repository} at {commit}, {} MB", megabytes(*bytes)),
            Self::Received {
                repository,
                received,
                bytes,
            } => {
                let percent = received.saturating_mul(100) / (*bytes).max(1);
                let (received, bytes) = (megabytes(*received), megabytes(*bytes));
                write!(f, "{repository}: {received} of {bytes} MB ({percent} %)")
            }
            Self::Cached { repository } => write!(f, "{repository} is in the cache"),
            Self::Fallback { repository, because } => {
                write!(f, "using {repository} from the cache, as it is: {because}")?;
                let mut cause = std::error::Error::source(because);
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
