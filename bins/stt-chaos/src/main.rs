//! `stt-chaos`: workers under load on a real Apache Kafka while processes and brokers die, and a ledger at the end.
//! `make chaos` runs it.
//!
//! Two roles of one program. The conductor starts Kafka and the workers, publishes the jobs of a seeded plan, kills what
//! the plan says when it says so, and counts. A worker is the real pipeline over real Kafka clients, with an engine that
//! does what each job's URL asks for.

mod args;
mod conductor;
mod engine;
mod feed;
mod fleet;
mod guarantee;
mod history;
mod job;
mod offsets;
mod plan;
mod report;
mod tally;
mod trouble;
mod verdict;
mod watch;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use args::Request;

/// It ran, and something was lost, wrong or stuck; or it could not run.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let (result, program) = match args::read(lexopt::Parser::from_env()) {
        Ok(Request::Conduct(options)) => (conductor::run(&options, &mut io::stdout()), "stt-chaos"),
        Ok(Request::Work(role)) => (worker::run(&role).map(|()| true), "worker"),
        Ok(Request::Help) => return told(&mut io::stdout(), args::HELP, ExitCode::SUCCESS),
        Err(error) => {
            let text = format!("stt-chaos: {error}\n");
            return told(&mut io::stderr(), &text, ExitCode::from(USAGE));
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => told(
            &mut io::stderr(),
            &format!("{program}: {error}\n"),
            ExitCode::from(FAILED),
        ),
    }
}

/// Says `text`, whether or not anyone still listens.
fn told(to: &mut dyn Write, text: &str, code: ExitCode) -> ExitCode {
    let _ = to.write_all(text.as_bytes());
    code
}
