//! The programs that the demo runs, each as its user would run it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{DemoError, cannot};
use crate::events::{Event, Events};
use crate::jobs::Job;
use crate::processes::Program;

pub(crate) const WORKER: &str = "stt-worker";
pub(crate) const PRODUCE: &str = "stt-produce";
pub(crate) const CONSUME: &str = "stt-consume";

/// Longest wait for the next thing to happen: the broker's address, a result.
pub(crate) const NEXT_WAIT: Duration = Duration::from_secs(300);
/// Longest wait for a tool to end that has nothing more to do.
const TOOL_WAIT: Duration = Duration::from_secs(60);

/// What the worker says before the address of its broker.
const BROKER_LINE: &str = "embedded broker: ";

/// What the programs keep of the demo's environment: a KAFKA_CONF_… meant for another Kafka is not theirs.
const KEPT_VARIABLES: [&str; 2] = ["HOME", "LD_LIBRARY_PATH"];

/// Where the programs are, and their broker once it is there.
pub(crate) struct Parts {
    folder: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

impl Parts {
    /// The programs beside this one.
    pub(crate) fn find() -> Result<Self, DemoError> {
        let own = std::env::current_exe().map_err(cannot("find the programs beside stt-demo"))?;
        #[allow(clippy::disallowed_methods)] // handed on as they are; no setting is read from them
        let kept = KEPT_VARIABLES.map(|name| std::env::var_os(name).map(|value| (name, value)));
        Ok(Self {
            folder: own.parent().map(Path::to_owned).unwrap_or_default(),
            environment: kept.into_iter().flatten().collect(),
        })
    }

    /// Starts the worker with this model, and waits for its broker. Its address.
    pub(crate) fn worker(&mut self, model: &Path, events: &Events) -> Result<(Program, String), DemoError> {
        let model = std::path::absolute(model).map_err(cannot("find the model"))?;
        // Beside the programs, not among strangers' files: the worker clears away what dead workers left in its TMP_DIR.
        let temporary = self.folder.join("stt-demo-tmp");
        let settings = [
            ("MODEL_SIZE", model.as_os_str()),
            ("AUDIO_URL_ALLOW", OsStr::new("127.0.0.1/32")),
            // Four jobs at once, whose windows share batches.
            // The transcripts to compare with are those of the model as it was saved.
            ("COMPUTE_TYPE", OsStr::new("default")),
            ("WORKER_CONCURRENCY", OsStr::new("4")),
            ("METRICS_PORT", OsStr::new("0")),
            ("HEALTH_PORT", OsStr::new("0")),
            ("TMP_DIR", temporary.as_os_str()),
        ];
        let said = events.of(Event::Worker);
        let worker = self.start(WORKER, &["--embedded-broker"], &settings, said)?;
        loop {
            match events.next(NEXT_WAIT)? {
                Event::Worker(Some(line)) => {
                    if let Some(address) = line.strip_prefix(BROKER_LINE) {
                        self.environment.push(("KAFKA_BOOTSTRAP_SERVERS", address.into()));
                        return Ok((worker, address.to_owned()));
                    }
                }
                _ => return Err(failed(&worker, "ended before its broker was there")),
            }
        }
    }

    /// Starts to read this many results.
    pub(crate) fn consumer(&self, count: usize, events: &Events) -> Result<Program, DemoError> {
        let count = count.to_string();
        let arguments = ["--from-beginning", "--max-messages", &count, "--format", "json"];
        self.start(CONSUME, &arguments, &[], events.of(Event::Result))
    }

    /// Publishes the jobs.
    pub(crate) fn publish(&self, jobs: &[Job<'_>], base_url: &str) -> Result<(), DemoError> {
        let mut producer = self.start(PRODUCE, &["--jsonl", "-"], &[], |_| ())?;
        producer.feed(&jobs.iter().map(|job| job.line(base_url) + "\n").collect::<String>());
        match producer.ended(TOOL_WAIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(failed(&producer, format!("ended with {status}"))),
            None => Err(failed(
                &producer,
                format!("did not end within {} s", TOOL_WAIT.as_secs()),
            )),
        }
    }

    fn start(
        &self,
        name: &'static str,
        arguments: &[&str],
        settings: &[(&str, &OsStr)],
        said: impl FnMut(Option<String>) + Send + 'static,
    ) -> Result<Program, DemoError> {
        let kept = self.environment.iter().map(|(name, value)| (*name, value.as_os_str()));
        let environment = kept.chain(settings.iter().copied());
        Ok(Program::start(&self.folder, name, arguments, environment, said)?)
    }
}

/// The error that `program` did `what` it should not, with the last of its log.
pub(crate) fn failed(program: &Program, what: impl Into<String>) -> DemoError {
    DemoError::Part {
        name: program.name(),
        what: what.into(),
        log: program.log(),
    }
}
