//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};
use stt_consume::{Brokers, Failure, Format, seconds, text};

use crate::address::Address;
use crate::job::Given;
use crate::replay_args::{ReplayFlags, ReplayOptions};

pub(crate) const HELP: &str = include_str!("help.txt");

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    Produce(Box<Options>),
    Replay(ReplayOptions),
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
    replay: ReplayFlags,
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
                if !raw.brokers.take(&name, &mut parser)? && !raw.replay.take(&name, &mut parser)? {
                    return Err(Arg::Long(&name).unexpected().into());
                }
            }
            other => return Err(other.unexpected().into()),
        }
    }
    raw.into_command().map_err(Failure::Arguments)
}

impl Raw {
    fn into_command(self) -> Result<Command, String> {
        if self.replay.replay {
            return match self.of_jobs() {
                Some(option) => Err(format!(
                    "--replay-dlq sends jobs as they were: {option} does not go with it"
                )),
                None => Ok(Command::Replay(self.replay.into_options(self.timeout, self.brokers))),
            };
        }
        if self.replay.choose() {
            return Err("--error-code, --since, --limit and --dry-run go with --replay-dlq".to_owned());
        }
        let options = self.into_options()?;
        Ok(Command::Produce(Box::new(options)))
    }

    /// An option that was given and is about new jobs.
    fn of_jobs(&self) -> Option<&'static str> {
        let given = [
            ("--audio-url", self.url.is_some()),
            ("--audio-file", !self.files.is_empty()),
            ("--jsonl", self.jsonl.is_some()),
            ("--language-hint", self.given.language_hint.is_some()),
            ("--job-id", self.given.job_id.is_some()),
            ("--task-id", self.given.task_id.is_some()),
            ("--correlation-id", self.given.correlation_id.is_some()),
            ("--no-validate", self.no_validate),
            ("--wait", self.wait),
            ("--format", self.format.is_some()),
            ("--serve-address", self.address.is_some()),
            ("--advertised-host", self.advertised_host.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(option, _)| *option)
    }

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
            _ => return Err("needs one of --audio-url, --audio-file, --jsonl and --replay-dlq"),
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
    use crate::replay_args::Since;

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
            ("", "needs one of --audio-url, --audio-file, --jsonl and --replay-dlq"),
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
            ("--audio-url https://h/a --limit 1", "go with --replay-dlq"),
            ("--dry-run", "go with --replay-dlq"),
            ("--replay-dlq --limit 0", "must be a whole number above 0"),
            ("--replay-dlq --since soon", "must be a time, as"),
            (
                "--replay-dlq --error-code NEW",
                "\"NEW\" is no error code; those are INVALID_JSON,",
            ),
            ("https://h/a", "unexpected argument"),
            ("--url https://h/a", "invalid option '--url'"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(told), "{args}: {error}");
        }
    }

    #[test]
    fn what_is_about_new_jobs_does_not_go_with_old_ones() {
        for option in [
            "--audio-url https://h/a",
            "--audio-file a",
            "--jsonl -",
            "--language-hint hi",
            "--job-id j",
            "--task-id t",
            "--correlation-id c",
            "--no-validate",
            "--wait",
            "--format json",
            "--serve-address h",
            "--advertised-host h",
        ] {
            let error = parse(&format!("{option} --replay-dlq")).unwrap_err();
            let name = option.split(' ').next().unwrap();
            assert!(error.ends_with(&format!(": {name} does not go with it")), "{error}");
        }
    }

    #[test]
    fn a_replay_is_of_all_letters_or_of_some() {
        let replay = |args: &str| match parse(args) {
            Ok(Command::Replay(options)) => options,
            other => panic!("{args}: {other:?}"),
        };
        let all = replay("--replay-dlq");
        assert_eq!((all.codes.len(), all.since, all.limit), (0, None, None));
        assert_eq!((all.dry_run, all.timeout), (false, None));
        let some = replay(
            "--replay-dlq --error-code AUDIO_EMPTY,SSRF_BLOCKED --error-code AUDIO_TOO_LONG --since 2h --limit 3 --dry-run --timeout 9",
        );
        let codes: Vec<_> = some.codes.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes, ["AUDIO_EMPTY", "SSRF_BLOCKED", "AUDIO_TOO_LONG"]);
        assert_eq!(some.since, Some(Since::Ago(Duration::from_secs(7200))));
        assert_eq!(
            (some.limit, some.dry_run, some.timeout),
            (Some(3), true, Some(Duration::from_secs(9)))
        );
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
