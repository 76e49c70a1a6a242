//! The command line.

use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};
use stt_consume::{Brokers, Failure, Format, JobId, Kind, Subtitles, seconds, text};

pub(crate) const HELP: &str = include_str!("help.txt");

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Version,
    Consume(Options),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) max_messages: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) job_id: Option<JobId>,
    pub(crate) from_beginning: bool,
    pub(crate) kind: Kind,
    pub(crate) format: Format,
    /// Makes subtitles of one result, instead of showing messages.
    pub(crate) subtitles: Option<Subtitles>,
    pub(crate) brokers: Brokers,
}

pub(crate) fn parse(mut parser: Parser) -> Result<Command, Failure> {
    let mut options = Options {
        max_messages: None,
        timeout: None,
        job_id: None,
        from_beginning: false,
        kind: Kind::Results,
        format: Format::default(),
        subtitles: None,
        brokers: Brokers::default(),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long("max-messages") => options.max_messages = Some(parser.value()?.parse_with(count)?),
            Arg::Long("timeout") => options.timeout = Some(parser.value()?.parse_with(seconds)?),
            Arg::Long("job-id") => options.job_id = Some(JobId::of(&text(&mut parser)?)),
            Arg::Long("from-beginning") => options.from_beginning = true,
            Arg::Long("dlq") => options.kind = Kind::DeadLetters,
            Arg::Long("format") => {
                (options.format, options.subtitles) = parser.value()?.parse_with(format)?;
            }
            Arg::Long(name) => {
                let name = name.to_owned();
                if !options.brokers.take(&name, &mut parser)? {
                    return Err(Arg::Long(&name).unexpected().into());
                }
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if options.subtitles.is_some() {
        one_result(&mut options)?;
    }
    Ok(Command::Consume(options))
}

fn format(text: &str) -> Result<(Format, Option<Subtitles>), &'static str> {
    let subtitles = text.parse().map(|subtitles| (Format::default(), Some(subtitles)));
    subtitles
        .or_else(|_| text.parse().map(|format| (format, None)))
        .map_err(|_| "must be json, table, text, srt or vtt")
}

/// Two results in a row are no file that a player reads, so one is enough and no more may be asked for.
fn one_result(options: &mut Options) -> Result<(), Failure> {
    let refused = |why: &str| {
        Err(Failure::Arguments(format!(
            "--format srt and vtt are for one result: {why}"
        )))
    };
    match (options.kind, options.max_messages) {
        (Kind::DeadLetters, _) => refused("--dlq does not go with them"),
        (Kind::Results, Some(2..)) => refused("--max-messages is 1"),
        _ => {
            options.max_messages = Some(1);
            Ok(())
        }
    }
}

fn count(text: &str) -> Result<u64, &'static str> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or("must be a whole number from 1 on")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Command, String> {
        super::parse(Parser::from_args(args)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, told) in [
            (&["--max-messages", "0"][..], "must be a whole number from 1 on"),
            (&["--max-messages"], "missing argument for option '--max-messages'"),
            (&["--timeout", "0"], "must be a number of seconds above 0"),
            (&["--format", "xml"], "must be json, table, text, srt or vtt"),
            (&["--format", "srt", "--dlq"], "--dlq does not go with them"),
            (&["--max-messages", "2", "--format", "vtt"], "--max-messages is 1"),
            (&["--follow"], "invalid option '--follow'"),
            (&["stt.results"], "unexpected argument \"stt.results\""),
            (&["--dlq=yes"], "unexpected argument for option '--dlq'"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(told), "{args:?}: {error}");
        }
    }

    #[test]
    fn every_option_is_taken() {
        let args = "--max-messages 2 --timeout 0.5 --job-id job-1 --from-beginning --dlq --format table";
        let Ok(Command::Consume(options)) = parse(&args.split(' ').collect::<Vec<_>>()) else {
            panic!("{args} is refused");
        };
        assert_eq!(
            options,
            Options {
                max_messages: Some(2),
                timeout: Some(Duration::from_millis(500)),
                job_id: Some(JobId::of("job-1")),
                from_beginning: true,
                kind: Kind::DeadLetters,
                format: Format::Table,
                subtitles: None,
                brokers: Brokers::default(),
            }
        );
        let Ok(Command::Consume(options)) = parse(&["--format", "vtt"]) else {
            panic!("vtt is refused");
        };
        assert_eq!(
            (options.subtitles, options.max_messages),
            (Some(Subtitles::Vtt), Some(1))
        );
        assert_eq!(parse(&["--bootstrap-servers", "kafka:1", "-h"]), Ok(Command::Help));
    }
}
