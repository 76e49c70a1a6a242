//! Why a transaction was not committed, and what that means for each of its outcomes.

use stt_core::{Batch, BatchResult, ErrorCode, Failure, OutcomeResult};

use crate::publish_error::fatal;

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum TransactionError {
    /// Some of its outcomes were refused, by their numbers; the others may be sent again.
    Refused(Vec<(usize, Failure)>),
    /// A request with several records was refused, for a reason that may be about one of them only.
    RefusedTogether(String),
    /// All may be sent again.
    Aborted(String),
    /// As [`TransactionError::Aborted`], but by a new producer, as this one does not get on.
    Stuck(String),
    /// All have to wait.
    Later(String),
    /// This producer cannot go on.
    Fatal(String),
    /// The sink is being closed.
    Stopped,
}

impl TransactionError {
    /// The result of a transaction that ended so.
    pub(super) fn into_result(self, batch: Batch) -> BatchResult {
        let Batch { id, outcomes, commits } = batch;
        let (mut refused, failure, others): (_, _, Box<dyn Fn() -> Failure>) = match self {
            Self::Refused(refused) => {
                let others = || aborted("another outcome in it was refused");
                let failure = refused.first().map_or_else(others, |(_, failure)| copy(failure));
                (refused, failure, Box::new(others))
            }
            Self::Aborted(text) | Self::Stuck(text) | Self::RefusedTogether(text) => {
                (vec![], aborted(&text), Box::new(move || aborted(&text)))
            }
            Self::Later(text) => {
                let later = move || Failure::worker_local(ErrorCode::PublishFailed, text.clone());
                (vec![], later(), Box::new(later))
            }
            Self::Fatal(text) => (vec![], fatal(&text), Box::new(move || fatal(&text))),
            Self::Stopped => {
                let stopped = || aborted("this worker stops");
                (vec![], stopped(), Box::new(stopped))
            }
        };
        let mut results = Vec::with_capacity(outcomes.len());
        for (index, outcome) in outcomes.into_iter().enumerate() {
            let own = refused.iter().position(|(of, _)| *of == index);
            let failure = own.map_or_else(&others, |own| refused.swap_remove(own).1);
            let result = Err(failure);
            results.push(OutcomeResult { outcome, result });
        }
        BatchResult {
            id,
            outcomes: results,
            commits,
            failure: Some(failure),
        }
    }
}

fn aborted(why: &str) -> Failure {
    Failure::transient(ErrorCode::PublishFailed, format!("the transaction was aborted: {why}"))
}

fn copy(failure: &Failure) -> Failure {
    Failure {
        code: failure.code,
        fault: failure.fault,
        message: failure.error_chain(),
        source: None,
    }
}
