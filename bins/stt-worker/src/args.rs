//! The command line.

use std::path::PathBuf;

use lexopt::{Arg, Parser};
use stt_settings::{VARIABLES, help_table};

const USAGE: &str = "\
stt-worker takes speech-to-text jobs from Kafka and publishes transcripts.

Usage: stt-worker [OPTION]...

Options:
  --check              check the settings, print them with secrets hidden, and end
  --embedded-broker    run a Kafka broker inside this process, in memory: for demos and tests
  --embedded-broker-address-file PATH
                       write its address to PATH while it runs
  --help, --version

Exit codes: 0 stopped as asked, 1 it ran and failed, 2 bad settings or arguments.

Settings are environment variables. An empty one counts as not set; [defaults] are in brackets.
";

const KAFKA_CONF: &str = "  \
  KAFKA_CONF_<KEY>  (a property of librdkafka: KAFKA_CONF_SECURITY_PROTOCOL is security.protocol)
      Any property but those that the worker sets itself.
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    Check,
    Run(Options),
}

/// How to run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether a broker runs inside this process.
    pub(crate) embedded_broker: bool,
    /// Where its address is written.
    pub(crate) address_file: Option<PathBuf>,
}

pub(crate) fn parse(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let mut options = Options::default();
    let mut check = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Long("check") => check = true,
            Arg::Long("embedded-broker") => options.embedded_broker = true,
            Arg::Long("embedded-broker-address-file") => options.address_file = Some(parser.value()?.into()),
            unknown => return Err(unknown.unexpected()),
        }
    }
    if options.address_file.is_some() && !options.embedded_broker {
        return Err("--embedded-broker-address-file goes with --embedded-broker only".into());
    }
    Ok(if check { Command::Check } else { Command::Run(options) })
}

/// Options and settings.
pub(crate) fn help() -> String {
    format!("{USAGE}{}{KAFKA_CONF}", help_table(VARIABLES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<Command, String> {
        parse(Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (arguments, why) in [
            (&["--embeded-broker"][..], "invalid option '--embeded-broker'"),
            (&["run"], "unexpected argument \"run\""),
            (&["--check=yes"], "unexpected argument for option '--check': \"yes\""),
            (
                &["--embedded-broker", "--embedded-broker-address-file"],
                "missing argument for option",
            ),
            (
                &["--embedded-broker-address-file", "a"],
                "goes with --embedded-broker only",
            ),
        ] {
            let error = check(arguments).unwrap_err();
            assert!(error.contains(why), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn options_are_taken_in_any_order() {
        let options = Options {
            embedded_broker: true,
            address_file: Some("a b".into()),
        };
        let arguments = ["--embedded-broker-address-file", "a b", "--embedded-broker"];
        assert_eq!(check(&arguments), Ok(Command::Run(options)));
        assert_eq!(check(&[]), Ok(Command::Run(Options::default())));
        assert_eq!(check(&["--embedded-broker", "--check"]), Ok(Command::Check));
    }
}
