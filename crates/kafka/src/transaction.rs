//! Outcomes and offsets to Kafka in transactions.

mod error;
mod fill;
mod runner;

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use stt_core::{Batch, BatchResult, Sink, Waker};

use self::error::TransactionError;
use self::runner::{Begun, TransactionRunner};
use crate::sink::wake;
use crate::{ClientError, Connection, Membership, SinkConfig};

/// How a worker publishes in transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// Where outcomes go.
    pub sink: SinkConfig,
    /// Identifies this producer: of two that have the same id, the brokers fence the older one for good. So it must be
    /// unique among the workers, and should be the same after a restart, which then ends at once what was left open.
    pub transactional_id: String,
    /// How long the brokers leave a transaction open whose worker is gone; readers of committed records wait behind it so
    /// long, and so does the next owner of its partitions. Default 10 s; at least 1 s. (Brokers look every 10 s.) An
    /// operator's `transaction.timeout.ms` wins over it.
    pub timeout: Duration,
}

impl TransactionConfig {
    /// With this id, otherwise the defaults.
    #[must_use]
    pub fn new(transactional_id: impl Into<String>) -> Self {
        Self {
            sink: SinkConfig::default(),
            transactional_id: transactional_id.into(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Writes outcomes and commits offsets, metadata included, in Kafka transactions, on a thread of its own.
///
/// Consumers with `isolation.level=read_committed` see the records of a transaction once, together with its commits, or
/// never. That holds also when this process is killed, when it is slow, and when other members own the partitions by then: a
/// transaction belongs to the generation of the group in which it was sent, and the brokers commit it in no other. So
/// [`Sink::send`] must be called by the thread that polls the source.
///
/// A transaction costs four or five round trips, and records behind it in a partition are readable only when it has ended.
/// While the brokers are away it waits, for its timeout; then it is aborted, which waits until they are back. Once its
/// commit was requested, the request is repeated until the brokers answer. A transaction that ends with
/// [`stt_core::Fault::Fatal`] after that may have been committed or not; this producer cannot go on, and the next owner of
/// the partitions finds out from the committed offsets. Brokers that were away for longer than the timeout also fence the
/// producer of a transaction that was open at its end.
///
/// A broker refuses a request that is too large as a whole. When that happens, the transaction is aborted, and the next ones
/// send their records one by one, so that the one that is too large is found.
///
/// Dropping it is like [`Sink::close`] with a wait of 2 s.
pub struct KafkaTransactionSink {
    membership: Membership,
    waker: Arc<Mutex<Option<Waker>>>,
    /// `None` after closing.
    begun: Option<Sender<Begun>>,
    stop: Option<Sender<Duration>>,
    results: Receiver<BatchResult>,
    /// The result of a batch that could not even be begun.
    not_begun: Option<BatchResult>,
    ended: Receiver<()>,
}

impl KafkaTransactionSink {
    /// A producer of transactions for this membership. Does not wait for a broker: it registers its id as soon as one
    /// answers.
    ///
    /// # Errors
    /// Bad properties or configuration, all of them named.
    pub fn new(
        connection: &Connection,
        config: TransactionConfig,
        membership: Membership,
    ) -> Result<Self, ClientError> {
        config.sink.check()?;
        if config.transactional_id.is_empty() || config.transactional_id.contains('\0') {
            let rule = "the transactional id must not be empty or contain a zero byte";
            return Err(ClientError::Create(rule.to_owned()));
        }
        let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
        let (begun, to_run) = mpsc::channel();
        let (result, results) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let (running, ended) = mpsc::channel();
        let runner = TransactionRunner::new(connection.clone(), config, stopped)?;
        let to_wake = waker.clone();
        thread::Builder::new()
            .name("kafka-transact".to_owned())
            .spawn(move || {
                runner.run(&to_run, |ended| {
                    result.send(ended).ok(); // fails after the sink was dropped
                    wake(&to_wake);
                });
                drop::<Sender<()>>(running);
            })
            .map_err(|error| ClientError::Create(error.to_string()))?;
        Ok(Self {
            membership,
            waker,
            begun: Some(begun),
            stop: Some(stop),
            results,
            not_begun: None,
            ended,
        })
    }
}

impl Sink for KafkaTransactionSink {
    fn set_waker(&mut self, waker: Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn send(&mut self, batch: Batch) {
        let member = match batch.commits.is_empty() {
            true => Ok(None),
            false => self.membership.for_commits(&batch.commits).map(Some),
        };
        let begun = Begun { batch, member };
        let refused = match &self.begun {
            Some(sender) => sender.send(begun).err().map(|error| error.0),
            None => Some(begun),
        };
        if let Some(Begun { batch, .. }) = refused {
            let error = TransactionError::Fatal("its thread has ended".to_owned());
            self.not_begun = Some(error.into_result(batch));
            wake(&self.waker);
        }
    }

    fn poll(&mut self) -> Option<BatchResult> {
        self.results.try_recv().ok().or_else(|| self.not_begun.take())
    }

    /// An open transaction is aborted, unless its commit was requested.
    fn close(&mut self, wait: Duration) {
        self.begun = None;
        let Some(stop) = self.stop.take() else { return };
        stop.send(wait).ok(); // fails when the thread has ended
        drop(stop);
        if self.ended.recv_timeout(wait + GRACE) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the last transaction was not ended in time; the brokers will abort it after its timeout");
        }
    }
}

/// How much longer than the thread itself closing waits for it.
const GRACE: Duration = Duration::from_secs(1);

/// How long dropping waits for an open transaction to end.
const DROP_WAIT: Duration = Duration::from_secs(2);

impl Drop for KafkaTransactionSink {
    fn drop(&mut self) {
        self.close(DROP_WAIT);
    }
}
