//! How outcomes leave: each by itself, or in transactions with the offsets.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use stt_core::{
    Cancel, ErrorCode, Failure, Fault, Ledger, NotPublished, Outcome, Publish, Published, Receipt, Transact,
    Transacted, Transaction,
};

use crate::telemetry;

/// What is promised about outcomes, and what keeps the promise.
pub enum Publishing {
    /// Each outcome is acknowledged before its job's offset is passed. A crash in between publishes it again.
    AtLeastOnce(Arc<dyn Publish>),
    /// Outcomes and offsets go in transactions: who reads only what is committed sees each outcome once.
    ExactlyOnce(Box<dyn Transact>),
}

/// Where workers put their outcomes.
#[derive(Clone)]
pub(crate) enum Outlet {
    Direct(Arc<dyn Publish>),
    Courier(Sender<Parcel>),
}

/// An outcome on its way into a transaction.
pub(crate) struct Parcel {
    outcome: Outcome,
    reply: Sender<Answer>,
}

type Answer = Result<Receipt, Box<NotPublished>>;

/// An outcome that left.
pub(crate) enum Sent {
    Published(Published),
    Settled(Receipt),
}

impl Outlet {
    /// Waits until the outcome is with the broker. `Err(None)` when the pipeline is gone, and the outcome with it.
    pub(crate) fn send(&self, outcome: Outcome, cancel: &Cancel) -> Result<Sent, Option<Box<NotPublished>>> {
        match self {
            Self::Direct(publish) => publish.publish(outcome, cancel).map(Sent::Published).map_err(Some),
            Self::Courier(parcels) => {
                let (reply, answer) = channel();
                parcels.send(Parcel { outcome, reply }).map_err(|_| None)?;
                answer.recv().map_err(|_| None)?.map(Sent::Settled).map_err(Some)
            }
        }
    }
}

/// The transactions of the poll loop: one at a time, each with all that is ready.
pub(crate) struct Transactions {
    transact: Box<dyn Transact>,
    parcels: Receiver<Parcel>,
    waiting: Vec<Parcel>,
    /// Who waits for the outcomes of the transaction that is under way.
    under_way: Option<Vec<Sender<Answer>>>,
    /// Whether the next is to be begun although no outcome is ready.
    commit: bool,
    not_before: Option<Instant>,
    /// Nothing more can be published.
    over: bool,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A transaction was committed.
    Committed,
    /// None was.
    Other,
}

/// How long nothing is begun after a transaction was aborted: its cause is seldom gone at once.
const BREATH: Duration = Duration::from_millis(100);

impl Transactions {
    pub(crate) fn new(transact: Box<dyn Transact>) -> (Self, Outlet) {
        let (sender, parcels) = channel();
        let transactions = Self {
            transact,
            parcels,
            waiting: vec![],
            under_way: None,
            commit: false,
            not_before: None,
            over: false,
        };
        (transactions, Outlet::Courier(sender))
    }

    /// Ends the transaction under way if it is over, and begins the next: with the outcomes that are ready, or, where
    /// `commit` says so, with commits alone.
    ///
    /// # Errors
    /// When nothing more can be published.
    pub(crate) fn turn(&mut self, ledger: &mut Ledger, commit: bool, now: Instant) -> Result<Turn, Failure> {
        self.waiting.extend(self.parcels.try_iter());
        self.commit |= commit;
        let mut turn = Turn::Other;
        if let Some(waiters) = self.under_way.take() {
            match self.transact.ended() {
                Some(end) => turn = self.end(end, waiters, ledger, now)?,
                None => {
                    self.under_way = Some(waiters);
                    return Ok(turn);
                }
            }
        }
        if self.over {
            for parcel in self.waiting.drain(..) {
                let failure = Failure::fatal(ErrorCode::PublishFailed, "no transaction can be made any more");
                refuse(&parcel.reply, parcel.outcome, failure);
            }
            return Ok(turn);
        }
        let stale = |parcel: &mut Parcel| !ledger.is_current(parcel.outcome.ticket());
        for parcel in self.waiting.extract_if(.., stale) {
            let failure = Failure::transient(ErrorCode::PublishFailed, "the partition was given up");
            refuse(&parcel.reply, parcel.outcome, failure);
        }
        let is_time = self.not_before.is_none_or(|begin| now >= begin);
        if is_time && (self.commit || !self.waiting.is_empty()) {
            self.begin(ledger);
        }
        Ok(turn)
    }

    fn begin(&mut self, ledger: &mut Ledger) {
        self.commit = false;
        let tickets: Vec<_> = self.waiting.iter().map(|parcel| parcel.outcome.ticket()).collect();
        let due = ledger.due_with(&tickets);
        if due.is_empty() && self.waiting.is_empty() {
            return;
        }
        let parcels = self.waiting.drain(..).map(|parcel| (parcel.outcome, parcel.reply));
        let (outcomes, waiters): (Vec<_>, Vec<_>) = parcels.unzip();
        self.under_way = Some(waiters);
        self.transact.begin(Transaction { outcomes, due });
    }

    fn end(
        &mut self,
        end: Transacted,
        waiters: Vec<Sender<Answer>>,
        ledger: &mut Ledger,
        now: Instant,
    ) -> Result<Turn, Failure> {
        match end {
            Transacted::Committed { published, due } => {
                telemetry::transaction(None);
                for (published, reply) in published.into_iter().zip(waiters) {
                    let receipt = published.receipt();
                    ledger.settle(published);
                    let _ = reply.send(Ok(receipt)); // a worker that is gone needs no answer
                }
                due.iter().for_each(|due| ledger.committed(due));
                Ok(Turn::Committed)
            }
            Transacted::Aborted {
                not_published,
                due,
                failure,
            } => {
                telemetry::transaction(Some(&failure));
                due.iter().for_each(|due| ledger.refused(due));
                self.not_before = Some(now + BREATH);
                for (NotPublished { outcome, failure }, reply) in not_published.into_iter().zip(waiters) {
                    match failure.fault {
                        // Not its fault: it goes with the next.
                        Fault::Transient { .. } => self.waiting.push(Parcel { outcome, reply }),
                        _ => refuse(&reply, outcome, failure),
                    }
                }
                if failure.fault == Fault::Fatal {
                    self.over = true;
                    Err(failure)
                } else {
                    Ok(Turn::Other)
                }
            }
        }
    }

    /// Whether something waits for the end of a transaction.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some() || !self.waiting.is_empty()
    }
}

fn refuse(reply: &Sender<Answer>, outcome: Outcome, failure: Failure) {
    let _ = reply.send(Err(Box::new(NotPublished { outcome, failure }))); // a worker that is gone needs no answer
}
