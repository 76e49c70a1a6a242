//! A worker that publishes in transactions.

use std::time::Instant;

use crate::support::*;
use stt_core::{Batch, BatchId, BatchResult, Commit, Failure, Outcome, Sink};
use stt_kafka::{Connection, KafkaTransactionSink, TransactionConfig};

/// A member of the group that owns partition 0, and its transactions.
pub(crate) struct Worker {
    pub(crate) member: Member,
    pub(crate) sink: KafkaTransactionSink,
}

impl Worker {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self::with(connection, config())
    }

    pub(crate) fn with(connection: &Connection, config: TransactionConfig) -> Self {
        Self::of(Member::join(connection), connection, config)
    }

    pub(crate) fn of(mut member: Member, connection: &Connection, config: TransactionConfig) -> Self {
        member.assigned(1);
        let membership = member.source.membership().unwrap();
        let sink = KafkaTransactionSink::new(connection, config, membership).unwrap();
        Self { member, sink }
    }

    pub(crate) fn send(&mut self, outcomes: Vec<Outcome>, commits: &[Commit]) {
        let (id, commits) = (BatchId(1), commits.to_vec());
        self.sink.send(Batch { id, outcomes, commits });
    }

    /// Polls until the transaction has ended.
    pub(crate) fn result(&mut self) -> BatchResult {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < 2 * PATIENCE, "the transaction does not end");
            if let Some(result) = self.sink.poll() {
                return result;
            }
            self.member.poll();
        }
    }

    pub(crate) fn run(&mut self, outcomes: Vec<Outcome>, commits: &[Commit]) -> BatchResult {
        self.send(outcomes, commits);
        self.result()
    }

    /// Runs the same again as long as it may be tried again.
    pub(crate) fn run_until_committed(&mut self, make: impl Fn() -> Vec<Outcome>, commits: &[Commit]) {
        let started = Instant::now();
        while let Some(failure) = self.run(make(), commits).failure {
            assert_eq!(kind(&failure), AGAIN, "{failure}");
            assert!(started.elapsed() < 2 * PATIENCE, "it is aborted again and again");
        }
    }
}

pub(crate) fn config() -> TransactionConfig {
    TransactionConfig::new("stt-worker-1")
}

/// The jobs whose outcomes were committed.
pub(crate) fn committed_jobs(result: BatchResult) -> Vec<u64> {
    if let Some(failure) = result.failure {
        panic!("aborted: {}", failure.error_chain());
    }
    for outcome in &result.outcomes {
        assert!(outcome.result.is_ok(), "{outcome:?}");
        assert!(outcome.outcome.records.iter().all(|record| record.acknowledged));
    }
    result.outcomes.iter().map(|outcome| outcome.outcome.job.0).collect()
}

/// What each outcome failed with, and the whole.
pub(crate) fn aborted(result: BatchResult) -> (Vec<(u64, Kind)>, Failure) {
    let each = result.outcomes.iter().map(|outcome| {
        assert!(outcome.outcome.records.iter().all(|record| !record.acknowledged));
        let failure = outcome.result.as_ref().expect_err("nothing of it is published");
        (outcome.outcome.job.0, kind(failure))
    });
    (each.collect(), result.failure.expect("aborted"))
}
