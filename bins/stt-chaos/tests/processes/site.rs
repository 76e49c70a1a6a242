//! A broker with the worker's topics, and all that a story does with it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use stt_core::{Clock as _, SystemClock};
use stt_kafka::{Connection, EmbeddedBroker, JobProducer, ProducerConfig};
use tempfile::TempDir;

use crate::account::Account;
use crate::offsets::Observer;
use crate::worker::Worker;

/// Longest wait for anything; a story that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
pub(crate) const TICK: Duration = Duration::from_millis(20);

pub(crate) const TOPIC: &str = "stt.jobs";
pub(crate) const RESULTS: &str = "stt.results";
pub(crate) const DEAD_LETTERS: &str = "stt.jobs.dlq";

/// The embedded broker lets a group wait for its silent members for almost a session whenever it rebalances.
const SESSION: [&str; 2] = ["--session-ms", "6000"];

pub(crate) struct Site {
    pub(crate) broker: EmbeddedBroker,
    connection: Connection,
    producer: JobProducer,
    observer: Observer,
    /// The offset after the last job published in each partition.
    ends: Mutex<BTreeMap<i32, i64>>,
    directory: TempDir,
}

impl Site {
    /// A broker where the jobs' topic has so many partitions.
    pub(crate) fn start(partitions: i32) -> Self {
        let topics = [(TOPIC, partitions), (RESULTS, 2), (DEAD_LETTERS, 2)];
        let broker = EmbeddedBroker::start(&topics).expect("loopback has free ports");
        let connection = Connection::new(broker.bootstrap_servers());
        let config = ProducerConfig {
            timeout: PATIENCE,
            ..ProducerConfig::default()
        };
        Self {
            producer: JobProducer::new(&connection, &config).expect("the configuration is a good one"),
            observer: Observer::start(&connection),
            connection,
            broker,
            ends: Mutex::default(),
            directory: tempfile::tempdir().expect("a temporary directory can be made"),
        }
    }

    /// Starts a worker; later options win over the usual ones.
    pub(crate) fn worker(&self, name: &str, options: &[&str]) -> Worker {
        let servers = &self.connection.bootstrap_servers;
        Worker::start(self.path(), name, servers, &[&SESSION, options].concat())
    }

    /// Publishes a job of this fate (good, held, poison, junk), which takes the engine so long. Its partition.
    pub(crate) fn publish(&self, number: usize, fate: &str, work_ms: u64) -> i32 {
        let id = id(number);
        let payload = match fate {
            "junk" => "{\"jobId\": \"and then".to_owned(),
            _ => serde_json::json!({
                "jobId": id, "taskId": id, "correlationId": id,
                "audioUrl": url(number, fate, work_ms),
                "languageHint": "mr",
                "createdAt": "2026-01-01T00:00:00Z",
            })
            .to_string(),
        };
        let placed = self.producer.produce(TOPIC, id.as_bytes(), payload.as_bytes(), &[]);
        let placed = placed.expect("the broker takes it");
        let mut ends = self.ends.lock().expect("nobody panics while holding it");
        let end = ends.entry(placed.partition).or_default();
        *end = (*end).max(placed.offset + 1);
        placed.partition
    }

    /// Publishes jobs of this fate, from number 0 on, until the first two partitions have one each. Their partitions.
    pub(crate) fn publish_to_both(&self, fate: &str) -> Vec<i32> {
        let mut jobs = vec![];
        while !(jobs.contains(&0) && jobs.contains(&1)) {
            jobs.push(self.publish(jobs.len(), fate, 1));
        }
        jobs
    }

    /// Lets a held job go on to its end.
    pub(crate) fn let_go(&self, number: usize) {
        let file = self.path().join(number.to_string());
        std::fs::write(file, "").expect("the directory can be written");
    }

    /// How often a job was begun, in all workers.
    pub(crate) fn runs(&self, number: usize) -> usize {
        let begun = format!("begun job {number}");
        let logs = self.logs();
        logs.lines().filter(|line| line.ends_with(&begun)).count()
    }

    /// Waits until jobs are in the hands of workers.
    pub(crate) fn until_running(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            self.until(&format!("job {number} runs"), || self.runs(number) > 0);
        }
    }

    /// Waits until jobs have their results.
    pub(crate) fn until_completed(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            let completed = format!("job {} (", id(number));
            let is_completed = |line: &str| line.contains(&completed) && line.contains(" completed: ");
            self.until(&format!("job {number} is completed"), || {
                self.logs().lines().any(is_completed)
            });
        }
    }

    /// Waits until the broker has this note beside the offset of the first partition.
    pub(crate) fn until_noted(&self, note: &str) {
        let noted = || {
            self.observer
                .last(0)
                .is_some_and(|committed| committed.metadata == note)
        };
        self.until(&format!("{note} is committed"), noted);
    }

    /// Waits until all that was published is passed.
    pub(crate) fn until_passed(&self) {
        self.until("every record is passed", || {
            let ends = self.ends.lock().expect("nobody panics while holding it");
            let passed = |partition| self.observer.last(partition).map_or(0, |last| last.next_offset);
            ends.iter().all(|(partition, end)| passed(*partition) == *end)
        });
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            let last = || {
                (0..4)
                    .map(|partition| self.observer.last(partition))
                    .collect::<Vec<_>>()
            };
            assert!(
                Instant::now() < deadline,
                "waited in vain: {what}; committed {:?}\n{}",
                last(),
                self.logs()
            );
            SystemClock.sleep(TICK);
        }
    }

    /// Waits until every record is passed, lets the workers leave, and reads everything that they have published.
    pub(crate) fn account(self, workers: impl IntoIterator<Item = Worker>) -> Account {
        self.until_passed();
        workers.into_iter().for_each(Worker::leave);
        self.read()
    }

    /// Reads everything that was published. No offset ever moved back.
    pub(crate) fn read(mut self) -> Account {
        let account = Account::read(&self.connection);
        assert_eq!(self.observer.end(), [""; 0]);
        account
    }

    /// What all workers have logged.
    pub(crate) fn logs(&self) -> String {
        let files = std::fs::read_dir(self.path()).expect("it is ours");
        let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        paths.sort();
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        paths.iter().map(read).collect()
    }

    fn path(&self) -> &std::path::Path {
        self.directory.path()
    }
}

/// A failed story shows what its workers said.
impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "{}", self.logs()); // nobody may be listening
        }
    }
}

/// A job's id, the key of all its records.
pub(crate) fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// Tells the engine what to do.
fn url(number: usize, fate: &str, work_ms: u64) -> String {
    format!("http://chaos.invalid/{number}/{fate}/{work_ms}")
}
