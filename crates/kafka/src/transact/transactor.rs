//! One transaction after the other, on a thread that may wait.

mod fill;

use std::cmp::Reverse;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use stt_core::{Outcome, Transacted, Transaction};

use super::TransactConfig;
use super::broken::Broken;
use crate::outbox::{Ear, Outbox, Outgoing};
use crate::{ClientError, Connection};

/// A transaction, and the member that it commits for, as it was when the transaction was begun; or why there was none.
pub(super) struct Begun {
    pub(super) transaction: Transaction,
    pub(super) member: Result<Option<ConsumerGroupMetadata>, String>,
}

/// Runs transactions. Owns the producer.
pub(super) struct Transactor {
    connection: Connection,
    config: TransactConfig,
    outbox: Outbox,
    /// Closed when nobody wants to know any more.
    stop: Receiver<()>,
    dead: Option<String>,
}

/// How long one call into librdkafka waits where it can be made again to go on waiting.
const CALL_WAIT: Duration = Duration::from_millis(500);

/// Between two such calls, or two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// So often may a call fail in ways that librdkafka's documentation does not know.
const ODD_MAX: usize = 20;

/// Of an abort that failed librdkafka may say that an abort is needed; so it is made again.
const ABORT: &str = "abort a transaction";

fn outbox(connection: &Connection, config: &TransactConfig) -> Result<Outbox, ClientError> {
    Outbox::transactional(
        connection,
        &config.transactional_id,
        config.timeout,
        config.publish.create_topics,
        Duration::ZERO,
    )
}

impl Transactor {
    pub(super) fn new(connection: Connection, config: TransactConfig, stop: Receiver<()>) -> Result<Self, ClientError> {
        Ok(Self {
            outbox: outbox(&connection, &config)?,
            connection,
            config,
            stop,
            dead: None,
        })
    }

    /// Runs what is begun, until there is nobody to begin anything.
    pub(super) fn serve(mut self, begun: &Receiver<Begun>, ended: &Sender<Transacted>) {
        let known = self.make_known();
        self.note(&known);
        while let Ok(Begun { transaction, member }) = begun.recv() {
            if self.is_stopped() {
                return;
            }
            let run = self.run(&transaction, member);
            self.note(&run);
            let end = match run {
                Ok(()) => Transacted::Committed {
                    published: transaction.outcomes.into_iter().map(Outcome::acknowledged).collect(),
                    due: transaction.due,
                },
                Err(broken) => broken.end(transaction),
            };
            ended.send(end).ok();
        }
    }

    fn note(&mut self, result: &Result<(), Broken>) {
        if let Err(Broken::Dead(text)) = result {
            self.dead = Some(text.clone());
        }
    }

    /// Becomes the only producer of its name. What was left open under it is ended by that.
    fn make_known(&self) -> Result<(), Broken> {
        let known = self.call("make this producer known", |producer| {
            producer.init_transactions(CALL_WAIT)
        });
        known.map_err(|broken| match broken {
            Broken::Aborted(text) => Broken::Dead(text),
            broken => broken,
        })
    }

    fn run(
        &mut self,
        transaction: &Transaction,
        member: Result<Option<ConsumerGroupMetadata>, String>,
    ) -> Result<(), Broken> {
        if let Some(text) = &self.dead {
            return Err(Broken::Dead(text.clone()));
        }
        let member = member.map_err(Broken::Aborted)?;
        let outcomes = transaction.outcomes.iter().enumerate();
        let with_index = |(index, outcome)| {
            self.config
                .publish
                .records(outcome)
                .into_iter()
                .map(move |of| (index, of))
        };
        let mut records: Vec<(usize, Outgoing<'_>)> = outcomes.flat_map(with_index).collect();
        // The largest first: if any is too large for this producer it is among them, and nothing is written yet.
        records.sort_by_key(|(_, record)| Reverse(record.size()));

        self.call("begin a transaction", |producer| producer.begin_transaction())?;
        let filled = self.fill(&records, &transaction.due, member.as_ref());
        let Err(broken) = filled else { return self.commit() };
        if !matches!(broken, Broken::Dead(_)) {
            self.abort()?;
        }
        Err(broken)
    }

    fn commit(&self) -> Result<(), Broken> {
        let committed = self.call("commit a transaction", |producer| {
            producer.commit_transaction(CALL_WAIT)
        });
        if let Err(Broken::Aborted(_)) = &committed {
            self.call(ABORT, |producer| producer.abort_transaction(CALL_WAIT))?;
        }
        committed
    }

    /// Ends a transaction whose commit was not asked for.
    fn abort(&mut self) -> Result<(), Broken> {
        let aborted = self.call(ABORT, |producer| producer.abort_transaction(CALL_WAIT));
        // During an outage the brokers may never have heard of the transaction. librdkafka asks them to abort it all the
        // same, is told that there is none, and takes that for the end. A new producer of the same name makes sure of it.
        let fatal = self.outbox.producer().client().fatal_error();
        if aborted.is_err() && fatal.is_some_and(|(code, _)| code == Code::InvalidTransactionalState) {
            self.outbox = outbox(&self.connection, &self.config).map_err(|error| Broken::Dead(error.to_string()))?;
            return self.make_known();
        }
        aborted
    }

    /// Makes a call until it has an answer. librdkafka goes on with what it was asked for, and a later call waits for the
    /// same; so a commit that was asked for once may happen until the answer to it is there. After a stop, for as long as
    /// dropping may take.
    fn call(&self, what: &str, call: impl Fn(&ThreadedProducer<Ear>) -> KafkaResult<()>) -> Result<(), Broken> {
        let mut given_up = None;
        let mut odd = 0;
        loop {
            match call(self.outbox.producer()) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) => {
                    log::debug!("could not {what} yet: {error}");
                    if error.is_fatal() {
                        return Err(Broken::Dead(error.to_string()));
                    }
                    if error.txn_requires_abort() && what != ABORT {
                        return Err(Broken::Aborted(error.to_string()));
                    }
                    odd += usize::from(!error.is_retriable());
                    if odd > ODD_MAX {
                        return Err(Broken::Dead(format!("could not {what}: {error}")));
                    }
                }
                // Records that are still on their way.
                Err(error) => log::debug!("could not {what} yet: {error}"),
            }
            if self.is_stopped() {
                let given_up = given_up.get_or_insert_with(|| Instant::now() + self.config.publish.flush_wait);
                if Instant::now() >= *given_up {
                    return Err(Broken::Stopped);
                }
            }
            self.outbox.serve(PAUSE);
        }
    }

    fn wait(&self) -> Result<(), Broken> {
        match self.stop.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Timeout) | Ok(()) => self.look(),
            Err(RecvTimeoutError::Disconnected) => Err(Broken::Stopped),
        }
    }

    fn look(&self) -> Result<(), Broken> {
        if self.is_stopped() {
            return Err(Broken::Stopped);
        }
        self.outbox.fatal().map_or(Ok(()), |text| Err(Broken::Dead(text)))
    }

    fn is_stopped(&self) -> bool {
        self.stop.try_recv() == Err(TryRecvError::Disconnected)
    }
}
