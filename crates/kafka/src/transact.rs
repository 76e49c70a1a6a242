//! Outcomes and offsets in one transaction.

mod broken;
mod transactor;

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use stt_core::{Transact, Transacted, Transaction};

use self::broken::Broken;
use self::transactor::{Begun, Transactor};
use crate::{ClientError, Connection, Membership, PublishConfig};

/// How a worker transacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactConfig {
    /// Where outcomes go. Its `flush_wait` is how long dropping waits for an open transaction to be ended.
    pub publish: PublishConfig,
    /// The name of this producer: of two that have the same, the one that came first is out for good. So it must be this
    /// worker's own, and should be the same after a restart, which then ends at once what was left open.
    pub transactional_id: String,
    /// How long the brokers leave a transaction open whose worker is gone; so long do readers of committed records wait at
    /// it, and so does the next owner of its partitions. Default 10 s; at least 1 s. (Brokers look every 10 s.) An
    /// operator's `transaction.timeout.ms` wins over it.
    pub timeout: Duration,
}

impl TransactConfig {
    /// Under this name, otherwise by default.
    #[must_use]
    pub fn new(transactional_id: impl Into<String>) -> Self {
        Self {
            publish: PublishConfig::default(),
            transactional_id: transactional_id.into(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Writes outcomes and commits offsets, notes included, in transactions of Kafka, on a thread of its own.
///
/// Who reads only committed records sees the records of a transaction once, together with its commits, or never. That
/// holds also when this process dies, when it is slow, and when the partitions are somebody else's by then: a transaction
/// belongs to the generation of the group in which it was begun, and the brokers commit it in no other. So
/// [`Transact::begin`] must be called by the thread that polls the source.
///
/// A transaction costs four or five round trips, and records that lie behind it in a partition are readable only when it
/// has ended. While the brokers are away it waits, for its timeout; then it is aborted, which waits until they are back. Once
/// its commit was asked for, it is asked for until the brokers say what became of it. A transaction that ends with
/// [`stt_core::Fault::Fatal`] after that may have been committed or not; this producer is out, and whoever comes next finds
/// in the offsets which it was. Brokers that were away for longer than the timeout put the producer of a transaction that was
/// open at their end out, too.
///
/// Dropping it aborts what is open, unless its commit was asked for, and waits for that up to the `flush_wait` of its
/// configuration, and a second.
pub struct KafkaTransact {
    membership: Membership,
    /// `None` only while dropping.
    begun: Option<Sender<Begun>>,
    stop: Option<Sender<()>>,
    ended: Receiver<Transacted>,
    /// The end of a transaction that could not even be begun.
    unbegun: Option<Transacted>,
    gone: Receiver<()>,
    drop_wait: Duration,
}

impl KafkaTransact {
    /// A producer of transactions for this membership. Does not wait for a broker: it makes itself known to them as soon
    /// as they are there.
    ///
    /// # Errors
    /// Bad properties or configuration, all of them named.
    pub fn new(connection: &Connection, config: TransactConfig, membership: Membership) -> Result<Self, ClientError> {
        config.publish.check()?;
        if config.transactional_id.is_empty() || config.transactional_id.contains('\0') {
            let rule = "the transactional id must not be empty, nor hold a zero byte";
            return Err(ClientError::Create(rule.to_owned()));
        }
        let drop_wait = config.publish.flush_wait;
        let (begun, to_run) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let (here, gone) = mpsc::channel();
        let transactor = Transactor::new(connection.clone(), config, stopped)?;
        thread::Builder::new()
            .name("kafka-transact".to_owned())
            .spawn(move || {
                transactor.serve(&to_run, &end);
                drop::<Sender<()>>(here);
            })
            .map_err(|error| ClientError::Create(error.to_string()))?;
        Ok(Self {
            membership,
            begun: Some(begun),
            stop: Some(stop),
            ended,
            unbegun: None,
            gone,
            drop_wait,
        })
    }
}

impl Transact for KafkaTransact {
    fn begin(&mut self, transaction: Transaction) {
        let member = match transaction.due.is_empty() {
            true => Ok(None),
            false => self.membership.current(&transaction.due).map(Some),
        };
        let begun = Begun { transaction, member };
        let refused = match &self.begun {
            Some(sender) => sender.send(begun).err().map(|error| error.0),
            None => Some(begun),
        };
        if let Some(Begun { transaction, .. }) = refused {
            let broken = Broken::Dead("its thread is gone".to_owned());
            self.unbegun = Some(broken.end(transaction));
        }
    }

    fn ended(&mut self) -> Option<Transacted> {
        self.ended.try_recv().ok().or_else(|| self.unbegun.take())
    }
}

/// How much longer than the thread itself dropping waits for it.
const GRACE: Duration = Duration::from_secs(1);

impl Drop for KafkaTransact {
    fn drop(&mut self) {
        self.begun = None;
        self.stop = None;
        if self.gone.recv_timeout(self.drop_wait + GRACE) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the last transaction was not ended in time; the brokers will abort it by its timeout");
        }
    }
}
