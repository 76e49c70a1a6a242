//! A worker that transacts, and what becomes of its transactions.

use std::time::Instant;

use crate::support::*;
use stt_core::{Due, ErrorCode, Failure, Fault, Outcome, OutcomeKind, Ticket, Transact, Transacted, Transaction};
use stt_kafka::{Connection, KafkaTransact, TransactConfig};

/// What a failure comes down to.
pub(crate) type Kind = (ErrorCode, Fault);

pub(crate) const AGAIN: Kind = (ErrorCode::PublishFailed, Fault::Transient { after: None });
pub(crate) const HELD: Kind = (ErrorCode::PublishFailed, Fault::WorkerLocal);
pub(crate) const DEAD: Kind = (ErrorCode::PublishFailed, Fault::Fatal);
pub(crate) const TOO_LARGE: Kind = (ErrorCode::ResultTooLarge, Fault::Permanent);

/// A member of the group that owns partition 0, and its transactions.
pub(crate) struct Worker {
    pub(crate) member: Member,
    pub(crate) transact: KafkaTransact,
}

impl Worker {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self::with(connection, config())
    }

    pub(crate) fn with(connection: &Connection, config: TransactConfig) -> Self {
        Self::of(Member::join(connection), connection, config)
    }

    pub(crate) fn of(mut member: Member, connection: &Connection, config: TransactConfig) -> Self {
        member.assigned(1);
        let membership = member.source.membership().unwrap();
        let transact = KafkaTransact::new(connection, config, membership).unwrap();
        Self { member, transact }
    }

    pub(crate) fn begin(&mut self, outcomes: Vec<Outcome>, due: &[Due]) {
        let due = due.to_vec();
        self.transact.begin(Transaction { outcomes, due });
    }

    /// Polls, as the poll loop does, until the transaction has ended.
    pub(crate) fn end(&mut self) -> Transacted {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < 2 * PATIENCE, "the transaction does not end");
            if let Some(ended) = self.transact.ended() {
                return ended;
            }
            self.member.poll();
        }
    }

    pub(crate) fn run(&mut self, outcomes: Vec<Outcome>, due: &[Due]) -> Transacted {
        self.begin(outcomes, due);
        self.end()
    }

    /// Runs the same again as long as it may be tried again.
    pub(crate) fn run_until_committed(&mut self, make: impl Fn() -> Vec<Outcome>, due: &[Due]) {
        let started = Instant::now();
        loop {
            match self.run(make(), due) {
                Transacted::Committed { .. } => return,
                Transacted::Aborted { failure, .. } => assert_eq!(kind(&failure), AGAIN, "{failure}"),
            }
            assert!(started.elapsed() < 2 * PATIENCE, "it is aborted again and again");
        }
    }
}

pub(crate) fn config() -> TransactConfig {
    TransactConfig::new("stt-worker-1")
}

pub(crate) fn kind(failure: &Failure) -> Kind {
    (failure.code, failure.fault)
}

/// The offsets whose outcomes were committed.
pub(crate) fn offsets(ended: Transacted) -> Vec<i64> {
    match ended {
        Transacted::Committed { published, .. } => published.iter().map(|published| published.offset()).collect(),
        Transacted::Aborted { failure, .. } => panic!("aborted: {}", failure.story()),
    }
}

/// What is said of each outcome, and of the whole.
pub(crate) fn aborted(ended: Transacted) -> (Vec<(i64, Kind)>, Failure) {
    match ended {
        Transacted::Committed { .. } => panic!("committed"),
        Transacted::Aborted {
            not_published, failure, ..
        } => {
            let each = not_published.iter();
            let each = each.map(|refused| (refused.outcome.ticket().offset(), kind(&refused.failure)));
            (each.collect(), failure)
        }
    }
}

pub(crate) fn failed(ticket: Ticket, dead_letter: &[u8]) -> Outcome {
    let kind = OutcomeKind::Failed {
        result: b"failed".to_vec(),
        dead_letter: dead_letter.to_vec(),
        headers: vec![],
    };
    Outcome::new(ticket, b"job".to_vec(), kind)
}
