//! Why a transaction was not committed, and what that is for each of its outcomes.

use stt_core::{ErrorCode, Failure, NotPublished, Transacted, Transaction};

use crate::publish::fatal;

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Broken {
    /// Some of its outcomes were refused, by their numbers; the others may be tried again.
    Refused(Vec<(usize, Failure)>),
    /// All may be tried again.
    Aborted(String),
    /// All have to wait.
    Held(String),
    /// This producer can do nothing more.
    Dead(String),
    /// Nobody wants to know any more.
    Stopped,
}

impl Broken {
    /// The end of a transaction, as its owner is told.
    pub(super) fn end(self, transaction: Transaction) -> Transacted {
        let Transaction { outcomes, due } = transaction;
        let (mut refused, failure, others): (_, _, Box<dyn Fn() -> Failure>) = match self {
            Self::Refused(refused) => {
                let others = || again("as another outcome in it was refused");
                let failure = refused.first().map_or_else(others, |(_, failure)| copy(failure));
                (refused, failure, Box::new(others))
            }
            Self::Aborted(text) => (vec![], again(&text), Box::new(move || again(&text))),
            Self::Held(text) => {
                let held = move || Failure::worker_local(ErrorCode::PublishFailed, text.clone());
                (vec![], held(), Box::new(held))
            }
            Self::Dead(text) => (vec![], fatal(&text), Box::new(move || fatal(&text))),
            Self::Stopped => {
                let stopped = || again("this worker stops");
                (vec![], stopped(), Box::new(stopped))
            }
        };
        let mut not_published = Vec::with_capacity(outcomes.len());
        for (index, outcome) in outcomes.into_iter().enumerate() {
            let own = refused.iter().position(|(of, _)| *of == index);
            let failure = own.map_or_else(&others, |own| refused.swap_remove(own).1);
            not_published.push(NotPublished { outcome, failure });
        }
        Transacted::Aborted {
            not_published,
            due,
            failure,
        }
    }
}

fn again(why: &str) -> Failure {
    Failure::transient(ErrorCode::PublishFailed, format!("the transaction was aborted: {why}"))
}

fn copy(failure: &Failure) -> Failure {
    Failure {
        code: failure.code,
        fault: failure.fault,
        message: failure.story(),
        source: None,
    }
}
