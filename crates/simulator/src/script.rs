//! The script of a history: what a fleet is made of and what happens to it, as text that a person can read and edit.

use std::fmt;
use std::str::FromStr;

/// One history: the same script always gives the same history.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Seed of everything that the script leaves open: latencies, jitter, which requests of a killed process arrive.
    pub seed: u64,
    /// The fleet.
    pub setup: Setup,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
}

/// Sizes and modes of a fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Whether outcomes and commits go in transactions.
    pub exactly_once: bool,
    /// Whether members and transactional ids are static.
    pub static_members: bool,
    /// Whether retries have a topic of their own.
    pub retry_topic: bool,
    /// Partitions of the jobs topic.
    pub partitions: u32,
    /// Workers that exist; a step starts each.
    pub workers: u32,
    /// Jobs transcribed at once, in each worker.
    pub concurrency: u32,
    /// Jobs prepared ahead, in each worker.
    pub queue: u32,
    /// Most records taken in, in each worker.
    pub intake: u32,
    /// Most records that wait for their retry time, in each worker.
    pub delayed: u32,
    /// Attempts before a transient failure is final.
    pub attempts: u32,
    /// Largest record that the broker takes, in bytes.
    pub record_bytes: u64,
    /// Session timeout of the group, in milliseconds.
    pub session: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            exactly_once: false,
            static_members: false,
            retry_topic: false,
            partitions: 3,
            workers: 2,
            concurrency: 2,
            queue: 2,
            intake: 64,
            delayed: 100,
            attempts: 3,
            record_bytes: 24_000,
            session: 10_000,
        }
    }
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When, in milliseconds since the beginning.
    pub at: u64,
    /// What.
    pub action: Action,
}

/// What can happen. Workers and partitions are counted from 0; durations are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Records are written to a partition of the jobs topic.
    Produce {
        /// Partition.
        partition: u32,
        /// What they are.
        kind: Kind,
        /// How many.
        count: u32,
    },
    /// A worker is started, if it does not run.
    Start(u32),
    /// A worker is ended by SIGKILL; its supervisor starts it again.
    Kill(u32),
    /// A worker is asked to stop by SIGTERM; it stays down until a start.
    Stop(u32),
    /// A worker is stopped by SIGSTOP, for a time.
    Pause(u32, u64),
    /// The disk of a worker is full, for a time.
    DiskFull(u32, u64),
    /// A worker does not reach Kafka, for a time.
    Cut(u32, u64),
    /// The wall clock of a worker is wrong by this many milliseconds from now on.
    Skew(u32, i64),
    /// The brokers answer nothing, for a time.
    BrokerHang(u64),
    /// The brokers refuse commits, for a time.
    RefuseCommits(u64),
    /// Commits are stored, but their answers are lost, for a time.
    LoseCommitAnswers(u64),
    /// Acknowledgements of writes come later by the first, for the second.
    SlowAcks(u64, u64),
    /// A topic does not exist, for a time.
    Missing(Topic, u64),
    /// Workers may not write to a topic, for a time.
    Denied(Topic, u64),
    /// A partition of the jobs topic has no leader, for a time.
    Leaderless(u32, u64),
    /// The jobs topic is deleted and created again.
    Recreate,
    /// An unclean election costs a partition its last records.
    Truncate(u32, u32),
    /// Retention deletes the oldest records of a partition.
    Retention(u32, u32),
    /// The jobs topic gets more partitions.
    AddPartitions(u32),
    /// The operator resets the committed offset of a partition to the beginning.
    ResetOffsets(u32),
}

/// Topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Jobs.
    Jobs,
    /// Retries, where they have a topic of their own.
    Retries,
    /// Results.
    Results,
    /// Dead letters.
    DeadLetters,
}

impl Topic {
    const ALL: [Self; 4] = [Self::Jobs, Self::Retries, Self::Results, Self::DeadLetters];

    /// Its name in Kafka.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "stt.jobs",
            Self::Retries => "stt.retries",
            Self::Results => "stt.results",
            Self::DeadLetters => "stt.jobs.dlq",
        }
    }
}

/// A kind of record, with a number whose meaning depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Which.
    pub class: Class,
    /// Milliseconds of work, bytes, or times; see [`Class`].
    pub n: u64,
}

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A job that takes so many milliseconds.
    Good,
    /// The same, without a key.
    Keyless,
    /// A good job whose key has so many bytes.
    LongKey,
    /// So many bytes that are no JSON.
    Junk,
    /// So many bytes that are no JSON, without a key.
    KeylessJunk,
    /// JSON that is no job, of so many bytes.
    LargeJson,
    /// A record without a value.
    Tombstone,
    /// A fresh job with the headers of a retry that waits for so many milliseconds.
    ForgedDelay,
    /// The same, but the record is junk.
    ForgedJunk,
    /// A good job with a header `original-topic` of so many bytes.
    ForgedOrigin,
    /// A job that fails so many times before it succeeds.
    Transient,
    /// A job that always fails.
    Permanent,
    /// A job whose server answers nothing.
    SlowHost,
    /// A job whose transcript has so many bytes.
    LargeResult,
    /// A job that kills its process after so many milliseconds of transcription.
    Killer,
    /// A job that kills its process so many times, and then succeeds.
    RareKiller,
    /// A job in which the engine hangs for ever.
    Hang,
    /// A job in which a part fails that the process cannot do without; the first time only.
    Fatal,
    /// The payload of the job produced so many jobs before, once more.
    Duplicate,
    /// The same, with the header `dedup: off`.
    Replay,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Good,
        Self::Keyless,
        Self::LongKey,
        Self::Junk,
        Self::KeylessJunk,
        Self::LargeJson,
        Self::Tombstone,
        Self::ForgedDelay,
        Self::ForgedJunk,
        Self::ForgedOrigin,
        Self::Transient,
        Self::Permanent,
        Self::SlowHost,
        Self::LargeResult,
        Self::Killer,
        Self::RareKiller,
        Self::Hang,
        Self::Fatal,
        Self::Duplicate,
        Self::Replay,
    ];

    /// Whether it is no job.
    #[must_use]
    pub const fn is_junk(self) -> bool {
        matches!(
            self,
            Self::Junk | Self::KeylessJunk | Self::LargeJson | Self::Tombstone | Self::ForgedJunk
        )
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Keyless => "keyless",
            Self::LongKey => "long-key",
            Self::Junk => "junk",
            Self::KeylessJunk => "keyless-junk",
            Self::LargeJson => "large-json",
            Self::Tombstone => "tombstone",
            Self::ForgedDelay => "forged-delay",
            Self::ForgedJunk => "forged-junk",
            Self::ForgedOrigin => "forged-origin",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::SlowHost => "slow-host",
            Self::LargeResult => "large-result",
            Self::Killer => "killer",
            Self::RareKiller => "rare-killer",
            Self::Hang => "hang",
            Self::Fatal => "fatal",
            Self::Duplicate => "duplicate",
            Self::Replay => "replay",
        }
    }
}

impl Script {
    /// When the last fault is over.
    #[must_use]
    pub fn faults_end(&self) -> u64 {
        self.steps
            .iter()
            .map(|step| step.at + step.action.lasts())
            .max()
            .unwrap_or(0)
    }
}

impl Action {
    /// For how long.
    #[must_use]
    pub fn lasts(&self) -> u64 {
        match *self {
            Self::Pause(_, ms)
            | Self::DiskFull(_, ms)
            | Self::Cut(_, ms)
            | Self::BrokerHang(ms)
            | Self::RefuseCommits(ms)
            | Self::LoseCommitAnswers(ms)
            | Self::SlowAcks(_, ms)
            | Self::Missing(_, ms)
            | Self::Denied(_, ms)
            | Self::Leaderless(_, ms) => ms,
            _ => 0,
        }
    }

    /// Whether something goes wrong in it, beyond what records say.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Produce { .. } | Self::Start(_))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setup = &self.setup;
        writeln!(f, "seed {}", self.seed)?;
        for (name, value) in setup.fields() {
            writeln!(f, "set {name} {value}")?;
        }
        for step in &self.steps {
            writeln!(f, "{} {}", step.at, step.action)?;
        }
        Ok(())
    }
}

impl Setup {
    fn fields(&self) -> [(&'static str, u64); 12] {
        [
            ("exactly-once", self.exactly_once.into()),
            ("static-members", self.static_members.into()),
            ("retry-topic", self.retry_topic.into()),
            ("partitions", self.partitions.into()),
            ("workers", self.workers.into()),
            ("concurrency", self.concurrency.into()),
            ("queue", self.queue.into()),
            ("intake", self.intake.into()),
            ("delayed", self.delayed.into()),
            ("attempts", self.attempts.into()),
            ("record-bytes", self.record_bytes),
            ("session", self.session),
        ]
    }

    fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
        let small = u32::try_from(value).map_err(|_| format!("{value} is too large"))?;
        match name {
            "exactly-once" => self.exactly_once = value != 0,
            "static-members" => self.static_members = value != 0,
            "retry-topic" => self.retry_topic = value != 0,
            "partitions" => self.partitions = small,
            "workers" => self.workers = small,
            "concurrency" => self.concurrency = small,
            "queue" => self.queue = small,
            "intake" => self.intake = small,
            "delayed" => self.delayed = small,
            "attempts" => self.attempts = small,
            "record-bytes" => self.record_bytes = value,
            "session" => self.session = value,
            _ => return Err(format!("there is no setting {name}")),
        }
        Ok(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.class.as_str(), self.n)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Produce { partition, kind, count } => write!(f, "produce {count} {kind} to {partition}"),
            Self::Start(worker) => write!(f, "start {worker}"),
            Self::Kill(worker) => write!(f, "kill {worker}"),
            Self::Stop(worker) => write!(f, "stop {worker}"),
            Self::Pause(worker, ms) => write!(f, "pause {worker} for {ms}"),
            Self::DiskFull(worker, ms) => write!(f, "disk-full {worker} for {ms}"),
            Self::Cut(worker, ms) => write!(f, "cut {worker} for {ms}"),
            Self::Skew(worker, ms) => write!(f, "skew {worker} by {ms}"),
            Self::BrokerHang(ms) => write!(f, "broker-hang for {ms}"),
            Self::RefuseCommits(ms) => write!(f, "refuse-commits for {ms}"),
            Self::LoseCommitAnswers(ms) => write!(f, "lose-commit-answers for {ms}"),
            Self::SlowAcks(delay, ms) => write!(f, "slow-acks {delay} for {ms}"),
            Self::Missing(topic, ms) => write!(f, "missing {topic} for {ms}"),
            Self::Denied(topic, ms) => write!(f, "denied {topic} for {ms}"),
            Self::Leaderless(partition, ms) => write!(f, "leaderless {partition} for {ms}"),
            Self::Recreate => f.write_str("recreate"),
            Self::Truncate(partition, count) => write!(f, "truncate {partition} by {count}"),
            Self::Retention(partition, count) => write!(f, "retention {partition} deletes {count}"),
            Self::AddPartitions(count) => write!(f, "add-partitions {count}"),
            Self::ResetOffsets(partition) => write!(f, "reset-offsets {partition}"),
        }
    }
}

impl FromStr for Script {
    type Err = String;

    /// Reads what [`Script`] displays; empty lines and lines that begin with `#` say nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        let (mut seed, mut setup, mut steps) = (0, Setup::default(), vec![]);
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at_line = |error: String| format!("line {}: {error}", number + 1);
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["seed", value] => seed = parse(value).map_err(at_line)?,
                ["set", name, value] => parse(value).and_then(|value| setup.set(name, value)).map_err(at_line)?,
                [at, action @ ..] => {
                    let (at, action) = (parse(at).map_err(at_line)?, parse_action(action).map_err(at_line)?);
                    steps.push(Step { at, action });
                }
            }
        }
        steps.sort_by_key(|step: &Step| step.at);
        Ok(Self { seed, setup, steps })
    }
}

fn parse<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is no such number"))
}

fn parse_topic(word: &str) -> Result<Topic, String> {
    let found = Topic::ALL.into_iter().find(|topic| topic.as_str() == word);
    found.ok_or_else(|| format!("there is no topic {word}"))
}

fn parse_action(words: &[&str]) -> Result<Action, String> {
    Ok(match *words {
        ["produce", count, class, n, "to", partition] => {
            let found = Class::ALL.into_iter().find(|known| known.as_str() == class);
            let class = found.ok_or_else(|| format!("there is no kind of record {class}"))?;
            let kind = Kind { class, n: parse(n)? };
            let (partition, count) = (parse(partition)?, parse(count)?);
            Action::Produce { partition, kind, count }
        }
        ["start", worker] => Action::Start(parse(worker)?),
        ["kill", worker] => Action::Kill(parse(worker)?),
        ["stop", worker] => Action::Stop(parse(worker)?),
        ["pause", worker, "for", ms] => Action::Pause(parse(worker)?, parse(ms)?),
        ["disk-full", worker, "for", ms] => Action::DiskFull(parse(worker)?, parse(ms)?),
        ["cut", worker, "for", ms] => Action::Cut(parse(worker)?, parse(ms)?),
        ["skew", worker, "by", ms] => Action::Skew(parse(worker)?, parse(ms)?),
        ["broker-hang", "for", ms] => Action::BrokerHang(parse(ms)?),
        ["refuse-commits", "for", ms] => Action::RefuseCommits(parse(ms)?),
        ["lose-commit-answers", "for", ms] => Action::LoseCommitAnswers(parse(ms)?),
        ["slow-acks", delay, "for", ms] => Action::SlowAcks(parse(delay)?, parse(ms)?),
        ["missing", topic, "for", ms] => Action::Missing(parse_topic(topic)?, parse(ms)?),
        ["denied", topic, "for", ms] => Action::Denied(parse_topic(topic)?, parse(ms)?),
        ["leaderless", partition, "for", ms] => Action::Leaderless(parse(partition)?, parse(ms)?),
        ["recreate"] => Action::Recreate,
        ["truncate", partition, "by", count] => Action::Truncate(parse(partition)?, parse(count)?),
        ["retention", partition, "deletes", count] => Action::Retention(parse(partition)?, parse(count)?),
        ["add-partitions", count] => Action::AddPartitions(parse(count)?),
        ["reset-offsets", partition] => Action::ResetOffsets(parse(partition)?),
        _ => return Err(format!("there is no step `{}`", words.join(" "))),
    })
}
