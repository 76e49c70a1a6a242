//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};
use stt_consume::{Brokers, Failure, Format, seconds, text};

use crate::address::Address;
use crate::job::Given;

pub(crate) const HELP: &str = include_str!("help.txt");

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    Produce(Box<Options>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) audio: Audio,
    pub(crate) given: Given,
    pub(crate) validate: bool,
    pub(crate) wait: bool,
    pub(crate) timeout: Duration,
    pub(crate) format: Format,
    pub(crate) brokers: Brokers,
}

/// Where the jobs come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Audio {
    Url(String),
    Files {
        paths: Vec<PathBuf>,
        address: Address,
        advertised_host: String,
    },
    /// `None` is stdin.
    Jsonl(Option<PathBuf>),
}

const TIMEOUT: Duration = Duration::from_secs(300);

/// What was given, before it is seen whether it goes together.
#[derive(Default)]
struct Raw {
    url: Option<String>,
    files: Vec<PathBuf>,
    jsonl: Option<PathBuf>,
    given: Given,
    no_validate: bool,
    wait: bool,
    timeout: Option<Duration>,
    format: Option<Format>,
    address: Option<Address>,
    advertised_host: Option<String>,
    brokers: Brokers,
}

pub(crate) fn parse(mut parser: Parser) -> Result<Command, Failure> {
    let mut raw = Raw::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long("audio-url") => raw.url = Some(text(&mut parser)?),
            Arg::Long("audio-file") => raw.files.push(parser.value()?.into()),
            Arg::Long("jsonl") => raw.jsonl = Some(parser.value()?.into()),
            Arg::Long("language-hint") => raw.given.language_hint = Some(text(&mut parser)?),
            Arg::Long("job-id") => raw.given.job_id = Some(text(&mut parser)?),
            Arg::Long("task-id") => raw.given.task_id = Some(text(&mut parser)?),
            Arg::Long("correlation-id") => raw.given.correlation_id = Some(text(&mut parser)?),
            Arg::Long("no-validate") => raw.no_validate = true,
            Arg::Long("wait") => raw.wait = true,
            Arg::Long("timeout") => raw.timeout = Some(parser.value()?.parse_with(seconds)?),
            Arg::Long("format") => raw.format = Some(parser.value()?.parse()?),
            Arg::Long("serve-address") => raw.address = Some(parser.value()?.parse()?),
            Arg::Long("advertised-host") => raw.advertised_host = Some(text(&mut parser)?),
            Arg::Long(name) => {
                let name = name.to_owned();
                if !raw.brokers.take(&name, &mut parser)? {
                    return Err(Arg::Long(&name).unexpected().into());
                }
            }
            other => return Err(other.unexpected().into()),
        }
    }
    raw.into_options()
        .map(|options| Command::Produce(Box::new(options)))
        .map_err(|rule| Failure::Arguments(rule.to_owned()))
}

impl Raw {
    fn into_options(self) -> Result<Options, &'static str> {
        let serves = !self.files.is_empty();
        if !serves && (self.address.is_some() || self.advertised_host.is_some()) {
            return Err("--serve-address and --advertised-host go with --audio-file");
        }
        let wait = self.wait || serves;
        if self.format.is_some() && !wait {
            return Err("--format goes with --wait");
        }
        if self.given.job_id.is_some() && (self.jsonl.is_some() || self.files.len() > 1) {
            return Err("--job-id is for one job: not with --jsonl, nor with several --audio-file");
        }
        let audio = match (self.url, self.files, self.jsonl) {
            (Some(url), files, None) if files.is_empty() => Audio::Url(url),
            (None, files, Some(path)) if files.is_empty() => Audio::Jsonl((path.as_os_str() != "-").then_some(path)),
            (None, paths, None) if serves => {
                let address = self.address.unwrap_or_default();
                let advertised_host = match self.advertised_host {
                    Some(host) => host,
                    None if address.is_unspecified() => {
                        return Err("--serve-address is every address: name one with --advertised-host");
                    }
                    None => address.host.clone(),
                };
                Audio::Files {
                    paths,
                    address,
                    advertised_host,
                }
            }
            _ => return Err("needs one of --audio-url, --audio-file and --jsonl"),
        };
        Ok(Options {
            audio,
            given: self.given,
            validate: !self.no_validate,
            wait,
            timeout: self.timeout.unwrap_or(TIMEOUT),
            format: self.format.unwrap_or_default(),
            brokers: self.brokers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Command, String> {
        super::parse(Parser::from_args(args.split_whitespace())).map_err(|failure| failure.to_string())
    }

    fn options(args: &str) -> Options {
        match parse(args) {
            Ok(Command::Produce(options)) => *options,
            other => panic!("{args}: {other:?}"),
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        for (args, told) in [
            ("", "needs one of --audio-url, --audio-file and --jsonl"),
            ("--audio-url https://h/a --jsonl -", "needs one of"),
            ("--audio-url https://h/a --audio-file a", "needs one of"),
            ("--audio-file a --jsonl -", "needs one of"),
            ("--audio-url https://h/a --format text", "--format goes with --wait"),
            ("--audio-url https://h/a --serve-address h", "go with --audio-file"),
            (
                "--audio-file a --serve-address [::]:80",
                "name one with --advertised-host",
            ),
            ("--audio-file a --audio-file b --job-id x", "--job-id is for one job"),
            ("--jsonl - --job-id x", "--job-id is for one job"),
            ("--jsonl - --timeout soon", "must be a number of seconds above 0"),
            ("--jsonl", "missing argument for option '--jsonl'"),
            ("--audio-file a --serve-address h:x", "must be HOST or HOST:PORT"),
            ("https://h/a", "unexpected argument"),
            ("--url https://h/a", "invalid option '--url'"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(told), "{args}: {error}");
        }
    }

    #[test]
    fn a_url_is_published_and_not_waited_for() {
        let args =
            "--audio-url https://h/a --language-hint hi-IN --job-id j --task-id t --correlation-id c --no-validate";
        let options = options(args);
        assert_eq!(options.audio, Audio::Url("https://h/a".into()));
        let given = Given {
            job_id: Some("j".into()),
            task_id: Some("t".into()),
            correlation_id: Some("c".into()),
            language_hint: Some("hi-IN".into()),
        };
        assert_eq!(options.given, given);
        assert_eq!(
            (options.validate, options.wait, options.timeout),
            (false, false, TIMEOUT)
        );
    }

    #[test]
    fn files_are_served_and_waited_for() {
        let options = options("--audio-file a --audio-file b --serve-address 0.0.0.0:80 --advertised-host me");
        let files = Audio::Files {
            paths: vec!["a".into(), "b".into()],
            address: "0.0.0.0:80".parse().unwrap(),
            advertised_host: "me".into(),
        };
        assert_eq!((options.audio, options.wait, options.validate), (files, true, true));
    }

    #[test]
    fn lines_come_from_a_file_or_from_stdin() {
        assert_eq!(options("--jsonl -").audio, Audio::Jsonl(None));
        let options = options("--jsonl jobs.jsonl --wait --timeout 2 --format text");
        assert_eq!(options.audio, Audio::Jsonl(Some("jobs.jsonl".into())));
        assert_eq!(
            (options.timeout, options.format),
            (Duration::from_secs(2), Format::Text)
        );
        assert_eq!(parse("--jsonl - --help"), Ok(Command::Help));
    }
}
