//! An idempotent producer with a callback for each record.

use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Message};
use stt_core::Header;

use crate::context::LastError;
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
    /// About how many bytes of a message it takes.
    pub(crate) fn size(&self) -> usize {
        let header = |header: &Header| header.key.len() + header.value.as_ref().map_or(0, Vec::len);
        self.payload.len() + self.key.len() + self.headers.iter().map(header).sum::<usize>()
    }
}

/// Partition and offset of a record that all in-sync replicas have, or why it was not written.
pub(crate) type Delivered = Result<(i32, i64), RDKafkaErrorCode>;

/// Called once for each record, on the producer's thread.
pub(crate) struct DeliveryCallback(Box<dyn FnOnce(Delivered) + Send + Sync>);

impl DeliveryCallback {
    pub(crate) fn new(callback: impl FnOnce(Delivered) + Send + Sync + 'static) -> Self {
        Self(Box::new(callback))
    }
}

/// Sends records.
pub(crate) struct Producer {
    producer: ThreadedProducer<DeliveryContext>,
}

/// How a producer behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProducerOptions<'a> {
    /// Gives a record up after so long; never when zero, and not used in transactions.
    pub(crate) message_timeout: Duration,
    pub(crate) create_topics: bool,
    /// Whether each request carries one record. The broker refuses a request that is too large as a whole; alone, a record
    /// gets its own answer.
    pub(crate) one_by_one: bool,
    /// Makes it a producer of transactions: their id and timeout.
    pub(crate) transactional: Option<(&'a str, Duration)>,
}

/// Written once, by all in-sync replicas; partitioned as by Java producers.
const OWNED: [(&str, &str); 3] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
];

/// A linger of 1 ms lets a busy worker's records share requests, and delays those of an idle one unnoticeably.
const DEFAULTS: [(&str, &str); 2] = [("compression.type", "zstd"), ("linger.ms", "1")];

impl Producer {
    /// A producer. Does not wait for a broker.
    pub(crate) fn new(connection: &Connection, options: ProducerOptions<'_>) -> Result<Self, ClientError> {
        let mut owned = OWNED.to_vec();
        let mut defaults = DEFAULTS.to_vec();
        owned.push((
            "allow.auto.create.topics",
            if options.create_topics { "true" } else { "false" },
        ));
        if options.one_by_one {
            owned.push(("batch.num.messages", "1"));
        }
        if !options.create_topics {
            // How long an unknown topic counts as one that is being created. The default is 30 s.
            defaults.push(("topic.metadata.propagation.max.ms", "2000"));
        }
        let timeout_ms = match options.transactional {
            Some((_, timeout)) => timeout.as_millis(),
            None => options.message_timeout.as_millis(),
        };
        let timeout = timeout_ms.to_string();
        match options.transactional {
            Some((transactional_id, _)) => {
                owned.push(("transactional.id", transactional_id));
                // librdkafka makes no client that may wait for an answer longer than for a transaction.
                let wait_ms = connection.properties.get("socket.timeout.ms");
                if wait_ms.is_some_and(|wait| wait.parse().is_ok_and(|wait: u128| wait > timeout_ms)) {
                    owned.push(("socket.timeout.ms", &timeout));
                }
                defaults.push(("transaction.timeout.ms", &timeout));
            }
            None => owned.push(("message.timeout.ms", &timeout)),
        }
        let config: ClientConfig = connection.client(&defaults, &owned)?;
        let producer = config
            .create_with_context(DeliveryContext(LastError::default()))
            .map_err(|error| ClientError::Create(error.to_string()))?;
        Ok(Self { producer })
    }

    /// Hands a record over. False when librdkafka's queue is full; then it is not sent, and the callback is not called.
    pub(crate) fn send(&self, record: &Outgoing<'_>, callback: DeliveryCallback) -> Result<bool, RDKafkaErrorCode> {
        let mut message = BaseRecord::with_opaque_to(record.topic, Box::new(callback)).payload(record.payload);
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

    /// The client, for its transactions.
    pub(crate) fn transactions(&self) -> &ThreadedProducer<DeliveryContext> {
        &self.producer
    }

    /// Serves callbacks for `wait`: the way to wait for room in the queue.
    pub(crate) fn serve(&self, wait: Duration) {
        self.producer.poll(wait);
    }

    /// Waits until every record is answered, at most `wait`. Dropping a producer throws away what is not.
    pub(crate) fn flush(&self, wait: Duration) {
        if let Err(error) = self.producer.flush(wait) {
            let left = self.producer.in_flight_count();
            log::warn!("{left} records not acknowledged within {wait:?}: {error}");
        }
    }

    /// Why this producer can send nothing more, if so.
    pub(crate) fn fatal_error(&self) -> Option<String> {
        let error = self.client().fatal_error();
        error.map(|(code, text)| format!("{code}: {text}"))
    }

    /// The last error with the brokers.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.producer.context().0.get()
    }

    /// Asks the brokers about a topic, and waits for the answer up to `wait`. Without it the client keeps refusing a topic
    /// that was missing or not authorized, until its next regular look.
    pub(crate) fn refresh_topic(&self, topic: &str, wait: Duration) {
        if let Err(error) = self.client().fetch_metadata(Some(topic), wait) {
            log::debug!("cannot look up topic {topic}: {error}");
        }
    }

    fn client(&self) -> &Client<DeliveryContext> {
        self.producer.client()
    }
}

/// Passes answers to the callbacks of their records.
pub(crate) struct DeliveryContext(LastError);

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.0.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Box<DeliveryCallback>;

    fn delivery(&self, result: &DeliveryResult<'_>, callback: Box<DeliveryCallback>) {
        let delivered = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        };
        (callback.0)(delivered);
    }
}
