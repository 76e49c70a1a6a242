//! Plays many seeds, or one, or a script: `simulate [--seeds N] [--seed SEED] [--script FILE] [--trace] [--shrink]`.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use stt_simulator::{Script, generate, run, shrink, trace};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        arguments
            .iter()
            .position(|word| word == name)
            .and_then(|place| arguments.get(place + 1))
    };
    let number = |name: &str| value(name).and_then(|text| text.parse::<u64>().ok());
    let tracing = arguments.iter().any(|word| word == "--trace");
    if let Some(file) = value("--script") {
        let script = std::fs::read_to_string(file)
            .map_err(|error| error.to_string())
            .and_then(|text| text.parse::<Script>());
        return match script {
            Ok(script) => one(&script, tracing),
            Err(error) => {
                println!("{file}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if let Some(seed) = number("--seed").filter(|_| number("--seeds").is_none()) {
        let script = generate(seed);
        let script = if arguments.iter().any(|word| word == "--shrink") {
            shrink(&script, None)
        } else {
            script
        };
        println!("{script}");
        return one(&script, tracing);
    }
    many(number("--seed").unwrap_or(0), number("--seeds").unwrap_or(10_000))
}

fn one(script: &Script, tracing: bool) -> ExitCode {
    let report = if tracing {
        trace(script, None)
    } else {
        run(script, None)
    };
    report.trace.iter().for_each(|line| println!("{line}"));
    println!(
        "{} records, {} processes, {} ms of virtual time, faults over at {} ms",
        report.records, report.processes, report.lasted_ms, report.healed_ms
    );
    println!("events {:?}, second outcomes {:?}", report.events, report.windows);
    match report.violation {
        Some(violation) => {
            println!("FAILED {violation}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn many(from: u64, count: u64) -> ExitCode {
    let started = std::time::Instant::now();
    let (mut records, mut virtual_ms, mut failed) = (0, 0, 0);
    let mut windows = std::collections::BTreeMap::<&str, u64>::new();
    for seed in from..from + count {
        let script = generate(seed);
        let report = run(&script, None);
        records += report.records;
        virtual_ms += report.lasted_ms;
        for (window, times) in report.windows {
            *windows.entry(window).or_default() += times;
        }
        if let Some(violation) = report.violation {
            failed += 1;
            println!("seed {seed} FAILED {violation}\n  again: make simulate SEEDS=1 SEED={seed}");
            if failed == 1 {
                let short = shrink(&script, None);
                let violation = run(&short, None).violation.unwrap_or_default();
                println!("  shrunk, to keep in crates/simulator/regressions:\n\n# {violation}\n{short}");
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{count} seeds from {from} in {seconds:.1} s: {records} records, {} hours of virtual time, {failed} failed",
        virtual_ms / 3_600_000
    );
    println!("second outcomes, all in named windows: {windows:?}");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
