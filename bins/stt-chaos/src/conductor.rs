//! The conductor: load, blows, and the count at the end.

mod strike;

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use stt_core::{Clock as _, SystemClock};
use stt_kafka::Connection;
use stt_testkit::apache::{Cluster, Config};

use crate::args::Options;
use crate::feed::{Feed, TOPIC};
use crate::fleet::Fleet;
use crate::offsets::{self, Committed, Progress};
use crate::plan::{Kind, Plan};
use crate::report::Report;
use crate::tally::Tally;
use crate::trouble::{Trouble, failed};
use crate::verdict::Verdict;
use crate::watch::Watch;

/// Places for workers.
const WORKERS: usize = 3;
const PARTITIONS: u32 = 6;
/// Jobs published ahead of what the next blow waits for.
const AHEAD: usize = 60;
/// Longest time without any progress. A poisonous job may need three sessions, and a broker half a minute.
const STALL: Duration = Duration::from_secs(90);
const TICK: Duration = Duration::from_millis(20);

/// The run, and whether it passed.
pub(crate) fn run(options: &Options, out: &mut dyn Write) -> Result<bool, Trouble> {
    let plan = Plan::draw(options.seed, options.jobs, options.kills, WORKERS);
    say(
        out,
        format_args!("seed {}: starting Apache Kafka and {WORKERS} workers", options.seed),
    );
    let logs = tempfile::Builder::new().prefix("stt-chaos-").tempdir();
    let logs = logs.map_err(failed("cannot make a directory for logs"))?;
    let began = Instant::now();
    let config = Config {
        nodes: options.brokers,
        controller_apart: true, // a broker that is killed comes back to its transactions
        ..Config::default()
    };
    let mut cluster = Cluster::start(&config).map_err(failed("no Kafka"))?;
    let result = (|| {
        for topic in [TOPIC, "stt.results", "stt.jobs.dlq"] {
            cluster
                .create_topic(topic, PARTITIONS, &[])
                .map_err(failed(format_args!("cannot make {topic}")))?;
        }
        let mut run = Run::start(options, &plan, &mut cluster, logs.path(), began, out)?;
        run.go()?;
        run.account()
    })();
    if options.keep_logs || !matches!(result, Ok(true)) {
        for broker in 0..options.brokers {
            let copy = logs.path().join(format!("broker-{broker}.log"));
            let _ = std::fs::copy(cluster.log(broker), copy); // there is none while it is down
        }
        say(out, format_args!("the logs are in {}", logs.keep().display()));
    }
    result
}

struct Run<'a> {
    options: &'a Options,
    plan: &'a Plan,
    cluster: &'a mut Cluster,
    connection: Connection,
    out: &'a mut dyn Write,
    fleet: Fleet,
    feed: Feed,
    watch: Watch,
    committed: Receiver<Committed>,
    /// As far as it was seen while it went on.
    tally: Tally,
    progress: Progress,
    /// Records that were handed to the producer.
    fed: usize,
    /// Blows that were struck.
    struck: Vec<Kind>,
    began: Instant,
    /// When the next blow may be struck.
    quiet_until: Instant,
    progressed: Instant,
    /// By then the run is over, one way or the other.
    deadline: Instant,
}

impl<'a> Run<'a> {
    fn start(
        options: &'a Options,
        plan: &'a Plan,
        cluster: &'a mut Cluster,
        logs: &Path,
        began: Instant,
        out: &'a mut dyn Write,
    ) -> Result<Self, Trouble> {
        let servers = cluster.bootstrap_servers();
        let connection = Connection::new(&servers);
        let watch = Watch::open(&connection)?;
        let now = Instant::now();
        Ok(Self {
            options,
            plan,
            cluster,
            out,
            fleet: Fleet::start(WORKERS, logs, &servers, options.guarantee)?,
            feed: Feed::start(&connection)?,
            watch,
            committed: offsets::follow(&connection)?,
            connection,
            tally: Tally::default(),
            progress: Progress::default(),
            fed: 0,
            struck: vec![],
            began,
            quiet_until: now,
            progressed: now,
            deadline: now + limit(options),
        })
    }

    /// Until every job has its outcome, every blow was struck, and every record is passed.
    fn go(&mut self) -> Result<(), Trouble> {
        loop {
            let now = Instant::now();
            self.fleet.tend(now)?;
            self.feed()?;
            self.look(now)?;
            if self.is_over() {
                return Ok(());
            }
            if now > self.progressed + STALL || now > self.deadline {
                self.tell_what_is_stuck(now);
                return Ok(()); // and the count will tell what is missing
            }
            match self.plan.blows.get(self.struck.len()) {
                Some(blow) if self.tally.ended() >= blow.after && now >= self.quiet_until => self.strike(*blow, now)?,
                _ => SystemClock.sleep(TICK),
            }
        }
    }

    /// Publishes so much that the next blow falls into work.
    fn feed(&mut self) -> Result<(), Trouble> {
        let next_blow = self.plan.blows.get(self.struck.len());
        let reach = next_blow.map_or(self.plan.jobs.len(), |blow| blow.after + AHEAD);
        let reach = reach.min(self.tally.ended() + AHEAD);
        while let Some(number) = self.plan.stream.get(self.fed).filter(|number| **number < reach) {
            self.feed.publish(self.plan.jobs[*number]);
            self.fed += 1;
        }
        self.feed.check()
    }

    fn look(&mut self, now: Instant) -> Result<(), Trouble> {
        let mut moved = self.watch.take(&mut self.tally)?;
        let behind = self.progress.behind(&self.tally.next);
        for committed in self.committed.try_iter() {
            self.progress.look(&committed);
        }
        moved |= self.progress.behind(&self.tally.next) < behind;
        if moved {
            self.progressed = now;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.tally.ended() == self.plan.jobs.len()
            && self.fed == self.plan.stream.len()
            && self.struck.len() == self.plan.blows.len()
            && self.fleet.is_calm()
            && self.tally.records - self.tally.retries == self.fed
            && self.progress.behind(&self.tally.next) == 0
    }

    fn tell_what_is_stuck(&mut self, now: Instant) {
        let silent = now - self.progressed;
        let missing = self
            .plan
            .jobs
            .iter()
            .filter(|job| !self.tally.outcomes.contains_key(&job.id()));
        let missing: Vec<String> = missing
            .filter(|job| self.plan.stream[..self.fed].contains(&job.number))
            .map(|job| format!("{} ({:?})", job.number, job.fate))
            .collect();
        let behind = self.progress.behind(&self.tally.next);
        say(
            self.out,
            format_args!(
                "STUCK: no progress for {} s; {} of {} records published, {behind} not passed, without outcome: {}",
                silent.as_secs(),
                self.fed,
                self.plan.stream.len(),
                missing.join(", ")
            ),
        );
        for name in self.fleet.names() {
            say(
                self.out,
                format_args!("  worker {name}:\n{}", self.fleet.last_lines(name)),
            );
        }
    }

    /// Ends the workers and counts everything anew, from the beginning of the topics.
    fn account(mut self) -> Result<bool, Trouble> {
        self.fleet.end_all(Instant::now(), || SystemClock.sleep(TICK))?;
        let mut tally = Tally::default();
        Watch::open(&self.connection)?.take_all(&mut tally)?;
        self.progress.look(&offsets::now(&self.connection)?);
        let history = &self.fleet.history;
        let report = Report {
            options: self.options,
            plan: self.plan,
            tally: &tally,
            history,
            progress: &self.progress,
            verdict: &Verdict::of(self.plan, &tally, history, self.options.guarantee),
            struck: &self.struck,
            took: self.began.elapsed(),
        };
        say(self.out, format_args!("{}", report.text().trim_end()));
        Ok(report.passed())
    }
}

/// Longest time for a whole run: a minute to start with, and a generous share for every job and blow.
fn limit(options: &Options) -> Duration {
    let jobs = u32::try_from(options.jobs).unwrap_or(u32::MAX);
    let kills = u32::try_from(options.kills).unwrap_or(u32::MAX);
    let share = |each_ms, count| Duration::from_millis(each_ms).saturating_mul(count);
    Duration::from_secs(60) + share(300, jobs) + share(30_000, kills)
}

fn say(out: &mut dyn Write, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}"); // nobody may be listening
}
