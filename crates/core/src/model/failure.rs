//! What a failing step says: what failed, what to do about it, and what caused it.

use std::time::Duration;

use stt_schema::ErrorCode;

/// The reaction that a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The same job may succeed later; not before `after`, when the other side said so (Retry-After).
    Transient {
        /// Least wait that the other side asked for.
        after: Option<Duration>,
    },
    /// The same job will fail again.
    Permanent,
    /// Any job would fail here now (no file descriptors, model gone): not the job's fault, so it costs it no attempt.
    WorkerLocal,
    /// This worker has no room for this job now (a long download on a full disk), though it may have for others: it costs no
    /// attempt, and keeps no other job from being started.
    NoRoom,
    /// This process cannot go on; a restart may help.
    Fatal,
}

/// A step failed. The message is lowercase, states the facts, and holds no secret: no query, no password, no transcript.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The code on the wire and in metric labels.
    pub code: ErrorCode,
    /// What to do about it.
    pub fault: Fault,
    /// What failed.
    pub message: String,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// The same job will fail again.
    pub fn permanent(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            fault: Fault::Permanent,
            message: message.into(),
            source: None,
        }
    }

    /// The same job may succeed later.
    pub fn transient(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            fault: Fault::Transient { after: None },
            message: message.into(),
            source: None,
        }
    }

    /// Any job would fail here now.
    pub fn worker_local(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            fault: Fault::WorkerLocal,
            message: message.into(),
            source: None,
        }
    }

    /// This worker has no room for this job now.
    pub fn no_room(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            fault: Fault::NoRoom,
            message: message.into(),
            source: None,
        }
    }

    /// This process cannot go on.
    pub fn fatal(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            fault: Fault::Fatal,
            message: message.into(),
            source: None,
        }
    }

    /// With what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The message and its causes in one line.
    #[must_use]
    pub fn error_chain(&self) -> String {
        error_chain(self)
    }
}

/// An error and its causes in one line. A cause that the line ends with already, as with transparent errors, is left out.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_chain_names_every_cause_once() {
        let io = std::io::Error::other("connection reset");
        let failure = Failure::transient(ErrorCode::DownloadFailed, "could not download https://h/a").because(io);
        assert_eq!(
            failure.error_chain(),
            "could not download https://h/a: connection reset"
        );
    }
}
