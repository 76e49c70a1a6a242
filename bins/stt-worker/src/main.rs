//! The speech-to-text worker: jobs from Kafka, transcripts to Kafka.

mod address_file;
mod args;
mod brokers;
mod decode;
mod egress;
mod engine;
mod error;
mod health;
mod hosts;
mod http;
mod logger;
mod native;
mod plan;
mod run;
mod signals;
mod telemetry;
mod tmp_dir;

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use args::Command;
use plan::Plan;
use stt_settings::Environment;

/// Serves C++ as well, by the names of malloc.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// It ran and failed.
const FAILED: u8 = 1;
/// Its settings or arguments are bad.
const BAD_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    if decode::is_child() {
        return match stt_audio::decode_child() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(format_args!("stt-worker: {}", stt_core::error_chain(&error))),
        };
    }
    let command = match args::parse(lexopt::Parser::from_env()) {
        Ok(command) => command,
        Err(error) => return refuse(format_args!("stt-worker: {error}; --help tells the options")),
    };
    let environment = Environment::of_process();
    match command {
        Command::Help => say(&args::help()),
        Command::Version => say(concat!("stt-worker ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Check => match Plan::read(&environment) {
            Ok(plan) => say(&plan.show(&environment)),
            Err(problems) => refuse(problems),
        },
        Command::Run(options) => match Plan::read(&environment) {
            Ok(plan) => {
                let missing = native::missing(&plan.engine(Path::new("")).native_environment(), &environment);
                if !missing.is_empty() {
                    let error = native::restart_with(&missing);
                    return refuse(format_args!(
                        "stt-worker: cannot begin anew with {missing:?} in the environment: {error}; set them before the start"
                    ));
                }
                logger::start(&plan.settings.log_filter);
                let code = report(run::run(plan, &environment, &options));
                // By now every file is removed and every commit made. Threads of native code may still be at work, and
                // must not have the ground pulled away beneath them as an ordinary exit would do.
                signals::exit_now(code)
            }
            Err(problems) => refuse(problems),
        },
    }
}

/// Tells how it ended; gives the exit code.
fn report(ended: Result<stt_pipeline::Report, error::Error>) -> u8 {
    match ended {
        Ok(report) => {
            let (published, abandoned) = (report.published, report.abandoned);
            log::info!("stopped: {published} outcomes published, {abandoned} jobs left for other workers");
            if !report.committed {
                log::warn!("some offsets could not be committed: their jobs will be done again");
            }
            0
        }
        Err(error::Error::Stopped) => {
            log::info!("stopped before any job was taken");
            0
        }
        Err(error) => {
            log::error!("{}", stt_core::error_chain(&error));
            FAILED
        }
    }
}

fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILED), // nobody reads, so there is nobody to tell
    }
}

fn refuse(problems: impl Display) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "{problems}");
    ExitCode::from(BAD_SETTINGS)
}
