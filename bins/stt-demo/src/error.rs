//! Why a demo did not come to its end.

use std::io;
use std::path::PathBuf;

use crate::clips::ClipsError;
use crate::processes::ProcessError;

/// The demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("the clips cannot be used")]
    Clips(#[from] ClipsError),
    #[error("no model at {}", .0.display())]
    NoModel(PathBuf),
    #[error("cannot {what}")]
    Io { what: &'static str, source: io::Error },
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("{name} {what}; it said last:\n{log}")]
    Part {
        name: &'static str,
        what: String,
        log: String,
    },
    #[error("no result: {line}")]
    NoResult { line: String, source: serde_json::Error },
    #[error("nothing happened for {seconds} s")]
    Silence { seconds: u64 },
    #[error("interrupted; everything is stopped")]
    Interrupted,
}

/// An [`io::Error`] of `what` was tried.
pub(crate) fn cannot(what: &'static str) -> impl FnOnce(io::Error) -> DemoError {
    move |source| DemoError::Io { what, source }
}
