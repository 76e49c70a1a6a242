//! Reads results or dead letters and shows them.

mod args;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use args::{Command, Options};
use stt_consume::{Brokers, Exit, Failure, Followed, Kind, Message, Show, follow, note, report, say, trouble};
use stt_kafka::{Start, Tail, TailConfig};
use stt_settings::Environment;

const TOOL: &str = "stt-consume";

fn main() -> ExitCode {
    report(TOOL, run())
}

fn run() -> Result<Exit, Failure> {
    match args::parse(lexopt::Parser::from_env())? {
        Command::Help => say(args::HELP),
        Command::Version => say(concat!("stt-consume ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Consume(options) => consume(&options),
    }
}

/// Opening the topic takes at most this long, also when there is more time.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(30);

fn consume(options: &Options) -> Result<Exit, Failure> {
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let settings = options.brokers.settings(&Environment::of_process())?;
    let (topic, start) = (
        match options.kind {
            Kind::Results => &settings.results_topic,
            Kind::DeadLetters => &settings.dlq_topic,
        },
        if options.from_beginning {
            Start::Beginning
        } else {
            Start::End
        },
    );
    let config = TailConfig {
        start,
        timeout: options
            .timeout
            .map_or(OPEN_WAIT_MAX, |timeout| timeout.min(OPEN_WAIT_MAX)),
        ..TailConfig::new(topic)
    };
    let mut tail = Tail::open(&Brokers::connection(&settings), &config)?;
    let mut show = Show::new(options.format, options.kind);
    let (mut seen, mut exit) = (0, Exit::Done);
    let followed = follow(&mut tail, deadline, |tailed| {
        let message = Message::of(options.kind, tailed);
        if options
            .job_id
            .as_ref()
            .is_some_and(|wanted| !message.job_ids().any(|id| id == *wanted))
        {
            return Ok(false);
        }
        let mut out = io::stdout().lock();
        match options.subtitles.map(|format| format.of(&message)) {
            None => {
                if let Err(why) = &message.report {
                    note(TOOL, why);
                }
                show.write(&mut out, &message, None)?;
            }
            Some(Ok(file)) => {
                out.write_all(&file)?;
                out.flush()?;
            }
            Some(Err(why)) => {
                note(TOOL, &why);
                exit = Exit::NoSubtitles;
            }
        }
        seen += 1;
        Ok(options.max_messages == Some(seen))
    })?;
    match (followed, options.max_messages) {
        (Followed::TimedOut, Some(wanted)) => {
            let trouble = trouble(&tail);
            note(
                TOOL,
                &format!("the time is over after {seen} of {wanted} messages{trouble}"),
            );
            Ok(Exit::TimedOut)
        }
        _ => Ok(exit),
    }
}
