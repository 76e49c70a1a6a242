//! Runs one transaction after the other, on a thread that may wait.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use stt_core::{Batch, BatchResult, OutcomeResult};

use super::TransactionConfig;
use super::error::TransactionError;
use crate::producer::{DeliveryContext, Outgoing, Producer, ProducerOptions};
use crate::{ClientError, Connection};

/// A transaction, and the member that it commits for, as it was when the transaction was sent; or why there was none.
pub(super) struct Begun {
    pub(super) batch: Batch,
    pub(super) member: Result<Option<ConsumerGroupMetadata>, String>,
}

/// Runs transactions. Owns the producer.
pub(super) struct TransactionRunner {
    connection: Connection,
    config: TransactionConfig,
    /// Shared with a call that does not return, see [`TransactionRunner::send_offsets`].
    pub(super) producer: Arc<Producer>,
    /// Says how long the end may take, and is closed then.
    stop: Receiver<Duration>,
    stopped: Option<Instant>,
    fatal: Option<String>,
    /// For how many more transactions records are sent one by one.
    one_by_one: u32,
}

/// How long one call into librdkafka waits where it can be repeated to go on waiting.
const CALL_WAIT: Duration = Duration::from_millis(500);

/// Between two such calls, or two looks at the stop channel.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// How often a call may fail in ways that librdkafka's documentation does not list.
const UNEXPECTED_MAX: usize = 20;

/// librdkafka may answer a failed abort with "an abort is required"; so it is repeated.
const ABORT: &str = "abort a transaction";

/// For how many transactions records are sent one by one after a request with several was refused.
const ONE_BY_ONE: u32 = 20;

fn producer(connection: &Connection, config: &TransactionConfig, one_by_one: bool) -> Result<Producer, ClientError> {
    let options = ProducerOptions {
        message_timeout: Duration::ZERO,
        create_topics: config.sink.create_topics,
        one_by_one,
        transactional: Some((&config.transactional_id, config.timeout)),
    };
    Producer::new(connection, options)
}

impl TransactionRunner {
    pub(super) fn new(
        connection: Connection,
        config: TransactionConfig,
        stop: Receiver<Duration>,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            producer: Arc::new(producer(&connection, &config, false)?),
            connection,
            config,
            stop,
            stopped: None,
            fatal: None,
            one_by_one: 0,
        })
    }

    /// Runs what is begun, until the other end of the channel is closed.
    pub(super) fn run(mut self, begun: &Receiver<Begun>, ended: impl Fn(BatchResult)) {
        let registered = self.register();
        self.note(&registered);
        while let Ok(Begun { batch, member }) = begun.recv() {
            if self.is_stopped() {
                return;
            }
            let result = self.transact(&batch, member);
            self.note(&result);
            let together = matches!(result, Err(TransactionError::RefusedTogether(_)));
            let is_clean = result.is_ok() || matches!(result, Err(TransactionError::Refused(_)));
            ended(match result {
                Ok(()) => committed(batch),
                Err(error) => error.into_result(batch),
            });
            self.choose_batching(together, is_clean);
        }
    }

    pub(super) fn sends_one_by_one(&self) -> bool {
        self.one_by_one > 0
    }

    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    fn note(&mut self, result: &Result<(), TransactionError>) {
        if let Err(TransactionError::Fatal(text)) = result {
            self.fatal = Some(text.clone());
        }
    }

    /// Sends records one by one for a while after a request with several was refused. It takes another producer.
    fn choose_batching(&mut self, refused_together: bool, is_clean: bool) {
        if refused_together && self.one_by_one == 0 {
            log::info!("a request with several records was refused; sending records one by one for a while");
            self.one_by_one = ONE_BY_ONE;
            self.replace_producer();
        } else if is_clean && self.one_by_one > 0 {
            self.one_by_one -= 1;
            if self.one_by_one == 0 {
                self.replace_producer();
            }
        }
    }

    fn replace_producer(&mut self) {
        let replaced = self.new_producer();
        self.note(&replaced);
    }

    /// A new producer of the same id: what the former left open is aborted.
    fn new_producer(&mut self) -> Result<(), TransactionError> {
        let made = producer(&self.connection, &self.config, self.one_by_one > 0);
        self.producer = made
            .map(Arc::new)
            .map_err(|error| TransactionError::Fatal(error.to_string()))?;
        self.register()
    }

    /// Registers the transactional id, which fences other producers of it and ends what was left open under it.
    fn register(&mut self) -> Result<(), TransactionError> {
        let registered = self.call("register the transactional id", |producer| {
            producer.init_transactions(CALL_WAIT)
        });
        registered.map_err(|error| match error {
            TransactionError::Aborted(text) => TransactionError::Fatal(text),
            error => error,
        })
    }

    fn transact(
        &mut self,
        batch: &Batch,
        member: Result<Option<ConsumerGroupMetadata>, String>,
    ) -> Result<(), TransactionError> {
        if let Some(text) = &self.fatal {
            return Err(TransactionError::Fatal(text.clone()));
        }
        let member = member.map_err(TransactionError::Aborted)?;
        let config = self.config.sink.clone();
        let records = batch.outcomes.iter().enumerate().flat_map(|(index, outcome)| {
            let records = outcome.records.iter().filter(|record| !record.acknowledged);
            records.map(move |record| (index, record))
        });
        let mut records: Vec<(usize, Outgoing<'_>)> = records
            .map(|(index, record)| (index, config.outgoing(record)))
            .collect();
        // The largest first: if any is too large for this client it is among them, and nothing is written yet.
        records.sort_by_key(|(_, record)| Reverse(record.size()));

        self.call("begin a transaction", |producer| producer.begin_transaction())?;
        let filled = self.fill(&records, &batch.commits, member);
        let Err(error) = filled else { return self.commit() };
        match error {
            TransactionError::Fatal(_) => {}
            // Registering the id again ends what the old producer left open.
            TransactionError::Stuck(_) => self.new_producer()?,
            _ => self.abort()?,
        }
        Err(error)
    }

    fn commit(&mut self) -> Result<(), TransactionError> {
        let committed = self.call("commit a transaction", |producer| {
            producer.commit_transaction(CALL_WAIT)
        });
        if let Err(TransactionError::Aborted(_)) = &committed {
            self.call(ABORT, |producer| producer.abort_transaction(CALL_WAIT))?;
        }
        committed
    }

    /// Ends a transaction whose commit was not requested.
    fn abort(&mut self) -> Result<(), TransactionError> {
        let aborted = self.call(ABORT, |producer| producer.abort_transaction(CALL_WAIT));
        // During an outage the brokers may never have heard of the transaction. librdkafka requests its abort all the same,
        // and takes the answer that there is none for a fatal error. A new producer of the same id makes sure of the end.
        let fatal = self.producer.transactions().client().fatal_error();
        if aborted.is_err() && fatal.is_some_and(|(code, _)| code == Code::InvalidTransactionalState) {
            return self.new_producer();
        }
        aborted
    }

    /// Makes a call until it has an answer. librdkafka goes on with what it was asked for, and a later call waits for the
    /// same; so a commit that was requested once may happen until the answer to it is there. After a stop, for as long as
    /// closing may take.
    fn call(
        &mut self,
        what: &str,
        call: impl Fn(&ThreadedProducer<DeliveryContext>) -> KafkaResult<()>,
    ) -> Result<(), TransactionError> {
        let mut unexpected = 0;
        loop {
            match call(self.producer.transactions()) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) => {
                    log::debug!("cannot {what} yet: {error}");
                    if error.is_fatal() {
                        return Err(TransactionError::Fatal(error.to_string()));
                    }
                    if error.txn_requires_abort() && what != ABORT {
                        return Err(TransactionError::Aborted(error.to_string()));
                    }
                    unexpected += usize::from(!error.is_retriable());
                    if unexpected > UNEXPECTED_MAX {
                        return Err(TransactionError::Fatal(format!("cannot {what}: {error}")));
                    }
                }
                // Records that are still on their way.
                Err(error) => log::debug!("cannot {what} yet: {error}"),
            }
            if self.is_stopped() && self.stopped.is_some_and(|end| Instant::now() >= end) {
                return Err(TransactionError::Stopped);
            }
            self.producer.serve(PAUSE);
        }
    }

    pub(super) fn wait(&mut self) -> Result<(), TransactionError> {
        match self.stop.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(wait) => self.stopped = Some(Instant::now() + wait),
            Err(RecvTimeoutError::Disconnected) => self.stopped = self.stopped.or(Some(Instant::now())),
        }
        self.look()
    }

    pub(super) fn look(&mut self) -> Result<(), TransactionError> {
        if self.is_stopped() {
            return Err(TransactionError::Stopped);
        }
        let fatal = self.producer.fatal_error();
        fatal.map_or(Ok(()), |text| Err(TransactionError::Fatal(text)))
    }

    fn is_stopped(&mut self) -> bool {
        match self.stop.try_recv() {
            Ok(wait) => self.stopped = Some(Instant::now() + wait),
            Err(TryRecvError::Disconnected) => self.stopped = self.stopped.or(Some(Instant::now())),
            Err(TryRecvError::Empty) => {}
        }
        self.stopped.is_some()
    }
}

fn committed(batch: Batch) -> BatchResult {
    let published = |mut outcome: stt_core::Outcome| {
        outcome.records.iter_mut().for_each(|record| record.acknowledged = true);
        OutcomeResult {
            outcome,
            result: Ok(()),
        }
    };
    BatchResult {
        id: batch.id,
        outcomes: batch.outcomes.into_iter().map(published).collect(),
        commits: batch.commits,
        failure: None,
    }
}
