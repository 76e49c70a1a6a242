//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::guarantee::Guarantee;
use crate::worker::{Pace, Role};

pub(crate) const HELP: &str = "\
Runs workers under load on a real Apache Kafka while workers and the broker die, and counts what became of the jobs.

Usage: stt-chaos [--jobs N] [--kills N] [--seed N] [--guarantee G] [--brokers N] [--keep-logs]

  --jobs N        how many jobs [1000]
  --kills N       how often something is killed, stopped or frozen [30]
  --seed N        of the plan: which jobs misbehave and how, and what is killed when; the same seed plans the same.
                  How the processes interleave is the machine's, and no seed brings it back [any]
  --guarantee G   what the workers promise, and what the count is held to: at-least-once or exactly-once
                  [at-least-once]
  --brokers N     1, or 3 that die in turn, with every partition on all of them and two that must be in sync [1]
  --keep-logs     keeps the workers' logs, which are kept anyway when the run fails
  --help          this text

Exit codes: 0 all is accounted for, 1 something was lost, wrong, twice or stuck, 2 bad arguments
";

pub(crate) enum Request {
    Conduct(Options),
    Work(Role),
    Help,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) jobs: usize,
    pub(crate) kills: usize,
    pub(crate) seed: u64,
    pub(crate) guarantee: Guarantee,
    pub(crate) brokers: usize,
    pub(crate) keep_logs: bool,
}

pub(crate) fn read(mut arguments: lexopt::Parser) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options {
        jobs: 1000,
        kills: 30,
        seed: fastrand::u32(..).into(), // short enough to be typed again
        guarantee: Guarantee::AtLeastOnce,
        brokers: 1,
        keep_logs: false,
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(role) if role == "worker" => return work(arguments),
            Long("jobs") => options.jobs = arguments.value()?.parse()?,
            Long("kills") => options.kills = arguments.value()?.parse()?,
            Long("seed") => options.seed = arguments.value()?.parse()?,
            Long("guarantee") => options.guarantee = arguments.value()?.parse()?,
            Long("brokers") => options.brokers = arguments.value()?.parse()?,
            Long("keep-logs") => options.keep_logs = true,
            Long("help") | Short('h') => return Ok(Request::Help),
            other => return Err(other.unexpected()),
        }
    }
    if options.jobs == 0 {
        return Err("--jobs must be at least 1".into());
    }
    if ![1, 3].contains(&options.brokers) {
        return Err("--brokers must be 1 or 3".into());
    }
    Ok(Request::Conduct(options))
}

fn work(mut arguments: lexopt::Parser) -> Result<Request, lexopt::Error> {
    use lexopt::prelude::*;
    let mut role = Role {
        servers: String::new(),
        slot: 0,
        name: String::new(),
        tried: PathBuf::new(),
        guarantee: Guarantee::AtLeastOnce,
        parent: 0,
        pace: Pace::default(),
    };
    let ms = |parser: &mut lexopt::Parser| parser.value()?.parse().map(Duration::from_millis);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("servers") => role.servers = arguments.value()?.string()?,
            Long("slot") => role.slot = arguments.value()?.parse()?,
            Long("name") => role.name = arguments.value()?.string()?,
            Long("tried") => role.tried = arguments.value()?.into(),
            Long("guarantee") => role.guarantee = arguments.value()?.parse()?,
            Long("session-ms") => role.pace.session = ms(&mut arguments)?,
            Long("poll-interval-max-ms") => role.pace.poll_interval_max = Some(ms(&mut arguments)?),
            Long("concurrency") => role.pace.concurrency = arguments.value()?.parse()?,
            Long("queue-max") => role.pace.queue_max = arguments.value()?.parse()?,
            Long("grace-ms") => role.pace.grace = ms(&mut arguments)?,
            Long("leave-wait-ms") => role.pace.leave_wait = ms(&mut arguments)?,
            Long("parent") => role.parent = arguments.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Request::Work(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Request, lexopt::Error> {
        read(lexopt::Parser::from_args(words))
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for words in [
            &["--jobs", "0"][..],
            &["--kills", "-1"],
            &["--brokers", "2"],
            &["--guarantee", "maybe"],
            &["loose"],
            &["--servers", "x"],
        ] {
            assert!(of(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_run_and_its_workers_are_told_apart() {
        let Ok(Request::Conduct(options)) = of(&["--jobs", "7", "--seed", "9", "--guarantee", "exactly-once"]) else {
            panic!("a run was asked for");
        };
        assert_eq!((options.jobs, options.kills, options.seed), (7, 30, 9));
        assert_eq!(options.guarantee, Guarantee::ExactlyOnce);
        let words = ["worker", "--servers", "127.0.0.1:9", "--slot", "2", "--name", "2.5"];
        let Ok(Request::Work(role)) = of(&words) else {
            panic!("a worker was asked for");
        };
        assert_eq!(
            (role.servers.as_str(), role.slot, role.name.as_str()),
            ("127.0.0.1:9", 2, "2.5")
        );
    }
}
