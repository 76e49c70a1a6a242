//! How a tool ends.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use stt_kafka::ClientError;
use stt_settings::Problems;

/// What a tool found when it did what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All of it. Code 0.
    Done,
    /// Not everything had come when the time was over. Code 3.
    TimedOut,
    /// A job FAILED. Code 4.
    JobFailed,
    /// The result has nothing that subtitles could be made of. Code 4.
    NoSubtitles,
    /// A message was not what its topic holds. Code 4.
    Unreadable,
    /// This signal asked to end before all was done. Code 128 and its number.
    Signalled(u8),
}

/// Why a tool could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is not acceptable. Code 2.
    #[error("{0}")]
    Arguments(String),
    /// What the command line names is not acceptable. Code 2.
    #[error("{0}")]
    Input(String),
    /// The environment is not acceptable. Code 2.
    #[error("bad settings\n{0}")]
    Settings(Problems),
    /// Kafka could not be reached, or refused. Code 1; 2 when it is the fault of a property.
    #[error(transparent)]
    Kafka(#[from] ClientError),
    /// The output could not be written. Code 1; 0 when nobody reads it any more, as in `stt-consume | head`.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Arguments(error.to_string())
    }
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::TimedOut => 3,
            Self::JobFailed | Self::NoSubtitles | Self::Unreadable => 4,
            Self::Signalled(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => 0,
            Self::Arguments(_) | Self::Input(_) | Self::Settings(_) | Self::Kafka(ClientError::Properties(_)) => 2,
            Self::Kafka(_) | Self::Output(_) => 1,
        }
    }
}

/// Says on stderr why it failed, if it did, and gives the exit code.
#[must_use]
pub fn report(tool: &str, ended: Result<Exit, Failure>) -> ExitCode {
    let code = match ended {
        Ok(exit) => exit.code(),
        Err(failure) => {
            let code = failure.code();
            if code != 0 {
                note(tool, &failure.to_string());
            }
            if matches!(failure, Failure::Arguments(_)) {
                note(tool, "--help tells the options");
            }
            code
        }
    };
    ExitCode::from(code)
}

/// Writes a line to stderr. When that is closed, nobody wants to know.
pub fn note(tool: &str, text: &str) {
    writeln!(io::stderr().lock(), "{tool}: {text}").ok();
}

/// Writes a text to stdout; the end of a tool that was asked for its help or version.
///
/// # Errors
/// [`Failure::Output`].
pub fn say(text: &str) -> Result<Exit, Failure> {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_code() {
        let properties = ClientError::Properties(vec![]);
        for (failure, code) in [
            (Failure::Arguments(String::new()), 2),
            (Failure::Input(String::new()), 2),
            (Failure::Kafka(properties), 2),
            (Failure::Kafka(ClientError::UnknownTopic("stt.jobs".into())), 1),
            (Failure::Output(ErrorKind::StorageFull.into()), 1),
            (Failure::Output(ErrorKind::BrokenPipe.into()), 0),
        ] {
            assert_eq!(failure.code(), code, "{failure}");
        }
        let exits = [
            Exit::Done,
            Exit::TimedOut,
            Exit::JobFailed,
            Exit::NoSubtitles,
            Exit::Unreadable,
            Exit::Signalled(2),
        ];
        assert_eq!(exits.map(Exit::code), [0, 3, 4, 4, 4, 130]);
    }
}
