//! Publishes jobs, and waits for their results when asked to. Puts the jobs of dead letters back.

mod address;
mod args;
mod job;
mod jsonl;
mod pending;
mod prepare;
mod publish;
mod replay;
mod replay_args;
mod resend;
mod serve;
mod signals;
mod site;
mod tally;
mod wait;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use args::{Command, Options};
use prepare::prepare;
use publish::publish;
use replay::replay;
use stt_consume::{Brokers, Exit, Failure, report, say};
use stt_kafka::{Connection, JobProducer, ProducerConfig, Tail, TailConfig};
use stt_settings::{Environment, KafkaSettings};
use wait::wait;

const TOOL: &str = "stt-produce";

fn main() -> ExitCode {
    report(TOOL, run())
}

fn run() -> Result<Exit, Failure> {
    match args::parse(lexopt::Parser::from_env())? {
        Command::Help => say(args::HELP),
        Command::Version => say(concat!("stt-produce ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Produce(options) => produce(&options),
        Command::Replay(options) => {
            let settings = options.brokers.settings(&Environment::of_process())?;
            replay(&options, &settings, &connection(&settings))
        }
    }
}

/// Opening a topic and writing a job take at most this long each, also when there is more time.
const KAFKA_WAIT_MAX: Duration = Duration::from_secs(30);

fn produce(options: &Options) -> Result<Exit, Failure> {
    let settings = options.brokers.settings(&Environment::of_process())?;
    let prepared = prepare(options)?;
    let deadline = Instant::now() + options.timeout;
    let connection = connection(&settings);
    let timeout = options.timeout.min(KAFKA_WAIT_MAX);
    // Opened before anything is sent, so that no result is missed.
    let results = if options.wait {
        let config = TailConfig {
            timeout,
            ..TailConfig::new(&settings.results_topic)
        };
        Some(Tail::open(&connection, &config)?)
    } else {
        None
    };
    let config = ProducerConfig {
        timeout,
        ..ProducerConfig::default()
    };
    publish(
        &JobProducer::new(&connection, &config)?,
        &settings.jobs_topic,
        &prepared.jobs,
        options.wait,
    )?;
    let exit = match results {
        Some(mut results) => wait(&mut results, &prepared.jobs, deadline, options.format)?,
        None => Exit::Done,
    };
    drop(prepared.serving);
    Ok(exit)
}

fn connection(settings: &KafkaSettings) -> Connection {
    let mut connection = Brokers::connection(settings);
    // Each job is waited for before the next is sent: to linger for company would be in vain.
    let linger = connection.properties.entry("linger.ms".to_owned());
    linger.or_insert_with(|| "0".to_owned());
    connection
}
