//! The other role: a worker, real but for its engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use stt_core::{Clock as _, CoordinatorConfig, Limits, Sink, SystemClock};
use stt_kafka::{
    Connection, KafkaSink, KafkaSource, KafkaTransactionSink, Membership, SinkConfig, SourceConfig, TransactionConfig,
};
use stt_pipeline::{Config, Services, StatusBoard, Stopping};

use crate::engine::Engine;
use crate::guarantee::Guarantee;
use crate::trouble::{Trouble, failed};

/// What a worker is told by the conductor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// Where Kafka is.
    pub(crate) servers: String,
    /// Its place; one who takes it over is the same to Kafka's transactions.
    pub(crate) slot: usize,
    /// Which of those in that place, as in `2.5`: the `modelVersion` of its results.
    pub(crate) name: String,
    /// For the engine.
    pub(crate) tried: PathBuf,
    pub(crate) guarantee: Guarantee,
    /// The conductor's process id.
    pub(crate) parent: i32,
    pub(crate) pace: Pace,
}

/// Sizes and times of one worker. The conductor's workers have the defaults; tests tell them where a story needs others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) session: Duration,
    /// Longest time between two polls.
    pub(crate) poll_interval_max: Option<Duration>,
    pub(crate) concurrency: usize,
    /// Jobs taken in beyond those worked on.
    pub(crate) queue_max: usize,
    pub(crate) grace: Duration,
    pub(crate) leave_wait: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            session: SESSION,
            poll_interval_max: None,
            concurrency: CONCURRENCY,
            queue_max: CoordinatorConfig::default().queue_max,
            grace: GRACE,
            leave_wait: LEAVE_WAIT,
        }
    }
}

/// Silence after which a worker's partitions go to others. Short, as every death costs the group so long: until it is over,
/// the broker answers none of the others' commits.
pub(crate) const SESSION: Duration = Duration::from_secs(4);
/// Workers learn by heartbeat that the group is rebalancing.
const HEARTBEAT_MS: &str = "500";
/// What a worker has for its running jobs, and for each of its last steps, when it is asked to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
pub(crate) const LEAVE_WAIT: Duration = Duration::from_secs(3);
/// How long the broker leaves a transaction open. Longer than it is ever away itself: a producer whose transaction ran out
/// meanwhile would have to end. What the dead leave open, those who take their places end at once.
const TRANSACTION: Duration = Duration::from_secs(60);
/// Jobs at once in one worker.
pub(crate) const CONCURRENCY: usize = 2;
/// Tries of a job, and deaths of workers by its hand.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// Works until SIGTERM.
pub(crate) fn run(role: &Role) -> Result<(), Trouble> {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .format_timestamp_millis()
        .init();
    end_with_parent(role.parent)?;
    let stopping = Stopping::default();
    stop_on_sigterm(&stopping)?;
    log::info!("up"); // from its first line on, SIGTERM is heard
    let mut connection = Connection::new(&role.servers);
    let heartbeat = ("heartbeat.interval.ms".to_owned(), HEARTBEAT_MS.to_owned());
    let interval = role.pace.poll_interval_max.map(|interval| {
        let interval_ms = interval.as_millis().to_string();
        ("max.poll.interval.ms".to_owned(), interval_ms)
    });
    connection.properties.extend([heartbeat].into_iter().chain(interval));
    let source = SourceConfig {
        session_timeout: role.pace.session,
        ..SourceConfig::default()
    };
    let mut source = KafkaSource::new(&connection, source).map_err(failed("cannot join"))?;
    let membership = source.membership().ok_or_else(|| Trouble::new("not a member"))?;
    let mut sink = sink(role, &connection, membership)?;
    let engine = Arc::new(Engine {
        tried: role.tried.clone(),
    });
    let services = Services {
        fetch: engine.clone(),
        decode: engine.clone(),
        transcribe: engine,
        clock: Arc::new(SystemClock),
    };
    let coordinator = CoordinatorConfig {
        concurrency: role.pace.concurrency,
        queue_max: role.pace.queue_max,
        limits: Limits {
            attempts_max: ATTEMPTS_MAX,
            ..Limits::default()
        },
        model_version: role.name.as_str().into(),
        session_timeout: role.pace.session,
        shutdown_grace: role.pace.grace,
        leave_wait: role.pace.leave_wait,
        seed: fastrand::u64(..),
        ..CoordinatorConfig::default()
    };
    let config = Config {
        coordinator,
        ..Config::default()
    };
    let board = Arc::new(StatusBoard::new(SystemClock.now()));
    let report = stt_pipeline::run(&mut source, sink.as_mut(), &services, &config, &board, &stopping);
    log::info!("ended: {report:?}");
    report.map(drop).map_err(failed("the pipeline ended"))
}

fn sink(role: &Role, connection: &Connection, membership: Membership) -> Result<Box<dyn Sink>, Trouble> {
    match role.guarantee {
        Guarantee::AtLeastOnce => {
            let sink = KafkaSink::new(connection, SinkConfig::default());
            Ok(Box::new(sink.map_err(failed("cannot publish"))?))
        }
        Guarantee::ExactlyOnce => {
            let config = TransactionConfig {
                timeout: TRANSACTION,
                ..TransactionConfig::new(format!("stt-chaos-{}", role.slot))
            };
            let sink = KafkaTransactionSink::new(connection, config, membership);
            Ok(Box::new(sink.map_err(failed("cannot publish in transactions"))?))
        }
    }
}

/// The kernel ends this process with the conductor, also while it is frozen.
fn end_with_parent(parent: i32) -> Result<(), Trouble> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("prctl"))?;
    // It may have ended before the line above, and then no signal would come.
    let now = rustix::process::getppid().map_or(0, Pid::as_raw_pid);
    if now == parent {
        Ok(())
    } else {
        Err(Trouble::new("the conductor is gone"))
    }
}

fn stop_on_sigterm(stopping: &Stopping) -> Result<(), Trouble> {
    let mut signals = Signals::new([SIGTERM]).map_err(failed("cannot listen to signals"))?;
    let stopping = stopping.clone();
    let wait = move || {
        for _ in signals.forever() {
            log::info!("asked to stop");
            stopping.stop();
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(wait).map(drop).map_err(failed("cannot start a thread"))
}
