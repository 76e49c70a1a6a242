//! A producer that answers for each record.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Message};
use stt_core::Header;

use crate::listener::Listener;
use crate::{ClientError, Connection, record};

/// A record to be sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    /// An empty key is sent as none.
    pub(crate) key: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) headers: &'a [Header],
}

impl Outgoing<'_> {
    /// About how much of a message it is.
    pub(crate) fn size(&self) -> usize {
        let header = |header: &Header| header.key.len() + header.value.as_ref().map_or(0, Vec::len);
        self.payload.len() + self.key.len() + self.headers.iter().map(header).sum::<usize>()
    }

    /// Tells it from every other record of the same job.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.topic, self.payload).hash(&mut hasher);
        hasher.finish()
    }
}

/// Where the brokers put a record, or why they did not.
pub(crate) type Delivered = Result<(i32, i64), RDKafkaErrorCode>;

/// What the answer to a record is sent with: which one it was, and where to.
pub(crate) struct Ask {
    index: usize,
    answers: Sender<(usize, Delivered)>,
}

/// Sends records; its own thread hears the answers.
pub(crate) struct Outbox {
    producer: ThreadedProducer<Ear>,
    flush_wait: Duration,
}

/// Written once, on every in-sync replica; laid where a Java producer would. One by one: a batch that is too large for the
/// broker is refused whole, and alone a record answers for itself only.
const OWNED: [(&str, &str); 4] = [
    ("batch.num.messages", "1"),
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
];

const DEFAULTS: [(&str, &str); 2] = [("compression.type", "zstd"), ("linger.ms", "5")];

impl Outbox {
    /// A producer that gives a record up after `message_timeout_ms`, 0 for never. Dropping it waits up to `flush_wait`
    /// for what is on its way.
    pub(crate) fn new(
        connection: &Connection,
        message_timeout_ms: u128,
        create_topics: bool,
        flush_wait: Duration,
    ) -> Result<Self, ClientError> {
        let timeout = message_timeout_ms.to_string();
        let owned = [("message.timeout.ms", timeout.as_str())];
        Self::make(connection, &[], &owned, create_topics, flush_wait)
    }

    /// A producer of transactions: what it sends is given up with the transaction that it belongs to.
    pub(crate) fn transactional(
        connection: &Connection,
        transactional_id: &str,
        timeout: Duration,
        create_topics: bool,
        flush_wait: Duration,
    ) -> Result<Self, ClientError> {
        let timeout_ms = timeout.as_millis().to_string();
        let mut owned = vec![("transactional.id", transactional_id)];
        // librdkafka makes no client that may wait for an answer longer than for a transaction.
        let wait_ms = connection.properties.get("socket.timeout.ms");
        if wait_ms.is_some_and(|wait| wait.parse().is_ok_and(|wait: u128| wait > timeout.as_millis())) {
            owned.push(("socket.timeout.ms", &timeout_ms));
        }
        let defaults = [("transaction.timeout.ms", timeout_ms.as_str())];
        Self::make(connection, &defaults, &owned, create_topics, flush_wait)
    }

    fn make(
        connection: &Connection,
        more_defaults: &[(&str, &str)],
        more_owned: &[(&str, &str)],
        create_topics: bool,
        flush_wait: Duration,
    ) -> Result<Self, ClientError> {
        let mut owned = OWNED.to_vec();
        owned.extend(more_owned);
        owned.push(("allow.auto.create.topics", if create_topics { "true" } else { "false" }));
        let mut defaults = DEFAULTS.to_vec();
        defaults.extend(more_defaults);
        if !create_topics {
            // How long an unknown topic counts as one that is only just being made. The default is 30 s.
            defaults.push(("topic.metadata.propagation.max.ms", "2000"));
        }
        let config: ClientConfig = connection.client(&defaults, &owned)?;
        let producer = config
            .create_with_context(Ear(Listener::default()))
            .map_err(|error| ClientError::Create(error.to_string()))?;
        Ok(Self { producer, flush_wait })
    }

    /// Hands a record over. False when there is no room; then it is not sent.
    pub(crate) fn send(
        &self,
        record: &Outgoing<'_>,
        index: usize,
        answers: &Sender<(usize, Delivered)>,
    ) -> Result<bool, RDKafkaErrorCode> {
        let answers = answers.clone();
        let mut message =
            BaseRecord::with_opaque_to(record.topic, Box::new(Ask { index, answers })).payload(record.payload);
        if !record.key.is_empty() {
            message = message.key(record.key);
        }
        if let Some(headers) = record::headers(record.headers) {
            message = message.headers(headers);
        }
        match self.producer.send(message) {
            Ok(()) => Ok(true),
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => Ok(false),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        }
    }

    /// The producer itself, for its transactions.
    pub(crate) fn producer(&self) -> &ThreadedProducer<Ear> {
        &self.producer
    }

    /// Serves answers for `wait`, of anybody's records: the way to wait for room.
    pub(crate) fn serve(&self, wait: Duration) {
        self.producer.poll(wait);
    }

    /// Why this producer can send nothing more, if so.
    pub(crate) fn fatal(&self) -> Option<String> {
        self.producer
            .client()
            .fatal_error()
            .map(|(code, text)| format!("{code}: {text}"))
    }

    /// The last trouble with the brokers.
    pub(crate) fn last_trouble(&self) -> Option<String> {
        self.producer.context().0.last()
    }

    /// Asks the brokers about a topic, so that one that was unknown is looked for again. Waits up to `wait`.
    pub(crate) fn look_for(&self, topic: &str, wait: Duration) {
        if let Err(error) = self.client().fetch_metadata(Some(topic), wait) {
            log::debug!("could not look for topic {topic}: {error}");
        }
    }

    fn client(&self) -> &Client<Ear> {
        self.producer.client()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // Without this, what is on its way would be thrown away.
        if let Err(error) = self.producer.flush(self.flush_wait) {
            let left = self.producer.in_flight_count();
            log::warn!(
                "{left} records were not acknowledged within {:?}: {error}",
                self.flush_wait
            );
        }
    }
}

/// Hears troubles and answers.
pub(crate) struct Ear(Listener);

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.0.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Ear {
    type DeliveryOpaque = Box<Ask>;

    fn delivery(&self, result: &DeliveryResult<'_>, ask: Box<Ask>) {
        let delivered = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        };
        // Nobody waits any more for the records of a publish that was cancelled.
        ask.answers.send((ask.index, delivered)).ok();
    }
}
