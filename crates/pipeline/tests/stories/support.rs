//! A pipeline over a broker in memory and scripted steps.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use stt_core::{
    Backoff, Clock, CoordinatorConfig, Destination, ErrorCode, Failure, Fetch, Limits, Sink, SystemClock, Transcribe,
};
use stt_pipeline::{Config, Ended, Report, Services, StatusBoard, Stopping, run};
use stt_testkit::{MemoryBroker, MemorySource, Script, ToneDecode};

/// Job number `number`: all have ids of their own.
pub(crate) fn job(number: u32) -> Vec<u8> {
    let json = include_str!("../../../../fixtures/wire/job.json");
    json.replacen("0d7f2a6a1b01", &format!("0d7f2a6a{number:04x}"), 1)
        .into_bytes()
}

pub(crate) struct Rig {
    pub(crate) broker: MemoryBroker,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) stopping: Stopping,
    pub(crate) thread: JoinHandle<Result<Report, Ended>>,
}

pub(crate) fn start(
    broker: &MemoryBroker,
    fetch: Arc<dyn Fetch>,
    transcribe: Arc<dyn Transcribe>,
    change: fn(&mut CoordinatorConfig),
) -> Rig {
    let (source, sink) = broker.join();
    start_with(broker, source, Box::new(sink), fetch, transcribe, change)
}

/// As [`start`], with outcomes and offsets in transactions.
pub(crate) fn start_exactly_once(broker: &MemoryBroker, fetch: Arc<dyn Fetch>, transcribe: Arc<dyn Transcribe>) -> Rig {
    let (source, _) = broker.join();
    let sink = Box::new(broker.transaction_sink());
    start_with(broker, source, sink, fetch, transcribe, |_| ())
}

fn start_with(
    broker: &MemoryBroker,
    mut source: MemorySource,
    mut sink: Box<dyn Sink>,
    fetch: Arc<dyn Fetch>,
    transcribe: Arc<dyn Transcribe>,
    change: fn(&mut CoordinatorConfig),
) -> Rig {
    let services = Services {
        fetch,
        decode: Arc::new(ToneDecode),
        transcribe,
        clock: Arc::new(SystemClock),
    };
    let backoff = Backoff {
        base: Duration::from_millis(4),
        max: Duration::from_millis(20),
    };
    let mut coordinator = CoordinatorConfig {
        limits: Limits {
            backoff,
            ..Limits::default()
        },
        model_version: "test".into(),
        commit_interval: Duration::from_millis(5),
        leave_wait: Duration::from_millis(300),
        ..CoordinatorConfig::default()
    };
    change(&mut coordinator);
    let config = Config {
        coordinator,
        poll_wait: Duration::from_millis(5),
        ..Config::default()
    };
    let (board, stopping) = (Arc::new(StatusBoard::new(SystemClock.now())), Stopping::default());
    let thread = std::thread::spawn({
        let (board, stopping) = (Arc::clone(&board), stopping.clone());
        move || run(&mut source, sink.as_mut(), &services, &config, &board, &stopping)
    });
    Rig {
        broker: broker.clone(),
        board,
        stopping,
        thread,
    }
}

pub(crate) fn ok() -> Arc<Script> {
    Arc::new(Script::answering([]))
}

impl Rig {
    pub(crate) fn stop(self) -> Report {
        self.stopping.stop();
        self.thread
            .join()
            .expect("the pipeline does not panic")
            .expect("it ends as asked")
    }

    /// Waits until everything below `next` is committed.
    pub(crate) fn committed(&self, next: i64) {
        assert!(
            self.broker.wait_until(|broker| broker.passed() == next),
            "{:?}",
            self.broker
        );
    }

    pub(crate) fn codes(&self) -> Vec<Option<String>> {
        let code = |mut json: std::collections::BTreeMap<String, serde_json::Value>| json.remove("errorCode");
        let codes = self.broker.json(Destination::Results).into_iter().filter_map(code);
        codes.map(|code| code.as_str().map(str::to_owned)).collect()
    }
}

pub(crate) fn transient() -> Failure {
    Failure::transient(ErrorCode::DownloadHttpStatus, "status 503")
}
