//! `stt-demo`: the main job once, for real, on one machine. `make demo` runs it.
//!
//! It starts `stt-worker` with its embedded broker, serves a folder of audio over HTTP on loopback, publishes one job
//! for each file with `stt-produce`, reads the results with `stt-consume`, shows them as they come, compares each with
//! the transcript that is expected, and stops everything it started.

mod args;
mod clips;
mod compare;
mod demo;
mod error;
mod events;
mod jobs;
mod parts;
mod processes;
mod server;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use args::Request;

/// It ran, and a transcript differs or a part failed.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = match args::read(lexopt::Parser::from_env()) {
        Ok(Request::Run(options)) => options,
        Ok(Request::Help) => return told(&mut io::stdout(), args::HELP, ExitCode::SUCCESS),
        Err(error) => {
            return told(
                &mut io::stderr(),
                &format!("stt-demo: {error}\n"),
                ExitCode::from(USAGE),
            );
        }
    };
    match demo::run(&options, &mut io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => told(
            &mut io::stderr(),
            &format!("stt-demo: {}\n", with_causes(&error)),
            ExitCode::from(FAILED),
        ),
    }
}

/// Says `text`, whether or not anyone still listens.
fn told(to: &mut dyn Write, text: &str, code: ExitCode) -> ExitCode {
    let _ = to.write_all(text.as_bytes());
    code
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
