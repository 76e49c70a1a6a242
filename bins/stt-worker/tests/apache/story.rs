//! What every story has: a cluster, topics and a group of its own, jobs, and what became of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stt_core::{Clock as _, Header, SystemClock};
use stt_kafka::{Connection, JobProducer, ProducerConfig, Start, Tail, TailConfig, Tailed, committed_offsets};
use stt_testkit::apache::{Cluster, Config, User};

use crate::site::Site;
use crate::worker::{PATIENCE, Worker, fixture, get};

/// The password of every user. Not a word that anything else would say.
pub(crate) const PASSWORD: &str = "xyzzy-plugh";

/// The cluster of all stories that neither stop it nor change what others see; it ends with the process. Each has users of
/// its own, who may do nothing yet.
pub(crate) fn shared() -> MutexGuard<'static, Cluster> {
    static SHARED: LazyLock<Mutex<Cluster>> = LazyLock::new(|| {
        let users = ["guest", "speaker", "scribe", "leaver", "hermit"];
        let config = Config {
            users: users.map(|name| User::new(name, PASSWORD)).to_vec(),
            // With SCRAM, who was put out is noticed soon.
            properties: vec![(
                "listener.name.secure.scram-sha-512.connections.max.reauth.ms".to_owned(),
                "3000".to_owned(),
            )],
            ..Config::default()
        };
        Mutex::new(Cluster::start(&config).unwrap())
    });
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Story {
    /// Its topics are `name.jobs`, `name.results` and `name.dlq`; its group is `name`.
    pub(crate) name: &'static str,
    pub(crate) site: Site,
    servers: String,
    connection: Connection,
    producer: JobProducer,
    tmp_dir: tempfile::TempDir,
}

impl Story {
    /// A story on the shared cluster.
    pub(crate) fn new(name: &'static str, partitions: u32) -> Self {
        Self::on(&mut shared(), name, partitions)
    }

    pub(crate) fn on(cluster: &mut Cluster, name: &'static str, partitions: u32) -> Self {
        Self::with_clip(cluster, name, partitions, "en-009.flac")
    }

    pub(crate) fn with_clip(cluster: &mut Cluster, name: &'static str, partitions: u32, clip: &str) -> Self {
        for (role, partitions) in [("jobs", partitions), ("results", 1), ("dlq", 1)] {
            cluster
                .create_topic(&format!("{name}.{role}"), partitions, &[])
                .unwrap();
        }
        let clip = std::fs::read(fixture("audio").join(clip)).unwrap();
        let connection = Connection::new(cluster.bootstrap_servers());
        Self {
            name,
            site: Site::new(clip),
            servers: cluster.bootstrap_servers(),
            producer: JobProducer::new(&connection, &ProducerConfig::default()).unwrap(),
            connection,
            tmp_dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn topic(&self, role: &str) -> String {
        format!("{}.{role}", self.name)
    }

    /// Starts a worker with the story's variables and these.
    pub(crate) fn worker(&self, more: &[(&str, &str)]) -> Worker {
        let (jobs, results, dlq) = (self.topic("jobs"), self.topic("results"), self.topic("dlq"));
        let model = fixture("model");
        let variables = [
            ("KAFKA_BOOTSTRAP_SERVERS", self.servers.as_str()),
            ("KAFKA_GROUP_ID", self.name),
            ("STT_JOBS_TOPIC", &jobs),
            ("STT_RESULTS_TOPIC", &results),
            ("STT_DLQ_TOPIC", &dlq),
            ("MODEL_SIZE", model.to_str().unwrap()),
            ("CPU_THREADS", "1"),
            ("TMP_DIR", self.tmp_dir.path().to_str().unwrap()),
            ("METRICS_PORT", "0"),
            ("HEALTH_PORT", "0"),
            ("AUDIO_URL_ALLOW", "127.0.0.1/32"),
            ("SHUTDOWN_GRACE_SEC", "5"),
            ("KAFKA_CONF_SESSION_TIMEOUT_MS", "6000"),
            ("KAFKA_CONF_HEARTBEAT_INTERVAL_MS", "500"),
            ("KAFKA_CONF_TOPIC_METADATA_REFRESH_INTERVAL_MS", "1000"),
        ];
        // A later value of the same variable wins.
        Worker::start(&[], &[&variables[..], more].concat())
    }

    /// Publishes jobs with these numbers.
    pub(crate) fn produce(&self, numbers: Range<u32>) {
        for number in numbers {
            self.produce_job(number, &number.to_string(), &[]);
        }
    }

    /// Publishes the job with this number, whose audio is at this path.
    pub(crate) fn produce_job(&self, number: u32, path: &str, headers: &[(&str, &str)]) {
        let job = json!({
            "jobId": id(number), "taskId": id(number), "audioUrl": format!("{}/{path}", self.site.url),
            "languageHint": null, "createdAt": "2026-01-02T03:04:05Z", "correlationId": id(number),
        });
        self.produce_raw(id(number).as_bytes(), job.to_string().as_bytes(), headers);
    }

    /// Publishes any record to the jobs topic.
    pub(crate) fn produce_raw(&self, key: &[u8], payload: &[u8], headers: &[(&str, &str)]) {
        let header = |(key, value): &(&str, &str)| Header {
            key: (*key).to_owned(),
            value: Some(value.as_bytes().to_vec()),
        };
        let headers: Vec<Header> = headers.iter().map(header).collect();
        self.producer
            .produce(&self.topic("jobs"), key, payload, &headers)
            .unwrap();
    }

    /// The values of a topic's records, in order.
    pub(crate) fn values(&self, role: &str) -> Vec<Value> {
        let mut tail = self.tail(role);
        let mut values = vec![];
        while !tail.at_end() {
            let record = tail.next(PATIENCE).unwrap();
            let payload = record.and_then(|record| record.delivery.payload);
            values.extend(payload.map(|payload| serde_json::from_slice::<Value>(&payload).unwrap()));
        }
        values
    }

    /// Waits for a result of each of these jobs, and tells them by number; a job may have more than one.
    pub(crate) fn results(&self, numbers: Range<u32>) -> BTreeMap<u32, Vec<Value>> {
        self.read("results", numbers)
    }

    /// The same, of dead letters.
    pub(crate) fn dead_letters(&self, numbers: Range<u32>) -> BTreeMap<u32, Vec<Value>> {
        self.read("dlq", numbers)
    }

    /// As [`Story::results`], where other results have other keys.
    pub(crate) fn results_of_keys(&self, numbers: Range<u32>) -> BTreeMap<u32, Vec<Value>> {
        let mut found = self.read("results", numbers.clone());
        found.retain(|number, _| numbers.contains(number));
        found
    }

    fn read(&self, role: &str, numbers: Range<u32>) -> BTreeMap<u32, Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        let mut tail = self.tail(role);
        let mut found: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
        while !(tail.at_end() && numbers.clone().all(|number| found.contains_key(&number))) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{role} of {:?} only, not of {numbers:?}", found.keys());
            if let Some(record) = tail.next(left.min(Duration::from_millis(200))).unwrap() {
                if let Some((number, value)) = entry(record) {
                    found.entry(number).or_default().push(value);
                }
            }
        }
        found
    }

    /// How many records a topic has.
    pub(crate) fn count(&self, role: &str) -> usize {
        let mut tail = self.tail(role);
        let mut count = 0;
        while !tail.at_end() {
            count += tail.next(PATIENCE).unwrap().map_or(0, |_| 1);
        }
        count
    }

    fn tail(&self, role: &str) -> Tail {
        let config = TailConfig {
            start: Start::Beginning,
            ..TailConfig::new(self.topic(role))
        };
        Tail::open(&self.connection, &config).unwrap()
    }

    /// How far the group has come, over all partitions.
    pub(crate) fn committed(&self) -> i64 {
        let offsets = committed_offsets(&self.connection, self.name, &self.topic("jobs"), PATIENCE).unwrap();
        offsets.values().flatten().sum()
    }

    /// Waits until the group has passed so many records.
    pub(crate) fn passed(&self, count: i64) {
        eventually(&format!("{count} records passed"), || {
            let committed = self.committed();
            assert!(committed <= count, "{committed} are committed");
            committed == count
        });
    }
}

/// A job's number, if the record has the key of one, and the value.
fn entry(record: Tailed) -> Option<(u32, Value)> {
    let key = String::from_utf8(record.delivery.key?).ok()?;
    let number = u32::from_str_radix(key.rsplit_once('-')?.1, 16).ok()?;
    let value = serde_json::from_slice(&record.delivery.payload?).unwrap();
    Some((number, value))
}

fn id(number: u32) -> String {
    format!("7d8a3c1e-5a52-4a3c-9c0a-{number:012x}")
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        pause(100);
    }
}

/// Lets time pass in which something must not happen.
pub(crate) fn pause(millis: u64) {
    SystemClock.sleep(Duration::from_millis(millis));
}

/// What the health port answers.
pub(crate) fn health(worker: &mut Worker, path: &str) -> (u16, String) {
    let port = worker.says(", health on port ");
    get(&port, path)
}

/// Waits until the worker is not ready, for this reason.
pub(crate) fn not_ready(worker: &mut Worker, because: &str) {
    readiness(worker, because, |status, body| status == 503 && body.contains(because));
}

pub(crate) fn ready(worker: &mut Worker) {
    readiness(worker, "ready", |status, _| status == 200);
}

fn readiness(worker: &mut Worker, what: &str, is_so: impl Fn(u16, &str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, body) = health(worker, "/ready");
        if is_so(status, &body) {
            return;
        }
        worker.hear();
        assert!(
            Instant::now() < deadline,
            "not {what:?}, but {status} {body}\n{}",
            worker.said
        );
        pause(100);
    }
}

/// Ends a worker as an orchestrator does.
pub(crate) fn stop(mut worker: Worker) -> String {
    worker.signal(rustix::process::Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
    std::mem::take(&mut worker.said)
}

/// The variables of a user who comes by SASL over TLS.
pub(crate) struct Login(Vec<(&'static str, String)>);

impl Login {
    pub(crate) fn new(cluster: &Cluster, user: &str, password: &str) -> Self {
        Self(vec![
            ("KAFKA_BOOTSTRAP_SERVERS", cluster.secure_servers().unwrap()),
            ("KAFKA_CONF_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
            ("KAFKA_CONF_SASL_MECHANISM", "PLAIN".to_owned()),
            ("KAFKA_CONF_SASL_USERNAME", user.to_owned()),
            ("KAFKA_CONF_SASL_PASSWORD", password.to_owned()),
            (
                "KAFKA_CONF_SSL_CA_LOCATION",
                cluster.ca_location().to_str().unwrap().to_owned(),
            ),
        ])
    }

    pub(crate) fn with<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.0.iter().map(|(name, value)| (*name, value.as_str()));
        own.chain(more.iter().copied()).collect()
    }
}

/// Lets a user do for a story all that a worker does.
pub(crate) fn let_work(cluster: &mut Cluster, user: &str, story: &Story) {
    let (jobs, results, dlq) = (story.topic("jobs"), story.topic("results"), story.topic("dlq"));
    cluster.allow(user, "Read", &["--topic", &jobs]).unwrap();
    for topic in [&jobs, &results, &dlq] {
        cluster.allow(user, "Write", &["--topic", topic]).unwrap();
    }
    cluster.allow(user, "Read", &["--group", story.name]).unwrap();
}
