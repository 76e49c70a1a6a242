//! Writing single records, for tools.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use stt_core::Header;

use crate::producer::{DeliveryCallback, Outgoing, Producer, ProducerOptions};
use crate::{ClientError, Connection};

/// How a tool writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// How long a record may take; then it is given up. Default 30 s; at least 100 ms.
    pub timeout: Duration,
    /// Whether writing to a topic that is not there makes it, where the broker allows. Default false.
    pub create_topics: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            create_topics: false,
        }
    }
}

/// Where the brokers put a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Writes one record at a time and waits for it, with the guarantees of [`crate::KafkaSink`] except its patience.
pub struct JobProducer {
    producer: Producer,
    bootstrap_servers: String,
    timeout: Duration,
}

impl JobProducer {
    /// A producer. Does not wait for a broker.
    ///
    /// # Errors
    /// Bad properties or configuration, all of them named.
    pub fn new(connection: &Connection, config: &ProducerConfig) -> Result<Self, ClientError> {
        let timeout = config.timeout.max(Duration::from_millis(100));
        let options = ProducerOptions {
            message_timeout: timeout,
            create_topics: config.create_topics,
            one_by_one: true,
            transactional: None,
        };
        Ok(Self {
            producer: Producer::new(connection, options)?,
            bootstrap_servers: connection.bootstrap_servers.clone(),
            timeout,
        })
    }

    /// Writes a record and waits until the brokers have it. An empty key is none.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] after the timeout: whether the record was written is not known then;
    /// [`ClientError::UnknownTopic`]; [`ClientError::Refused`] for everything else.
    pub fn produce(&self, topic: &str, key: &[u8], payload: &[u8], headers: &[Header]) -> Result<Placed, ClientError> {
        if topic.is_empty() || topic.contains('\0') {
            return Err(self.refused(topic, "the name of a topic must not be empty or contain a zero byte"));
        }
        let record = Outgoing {
            topic,
            key,
            payload,
            headers,
        };
        let started = Instant::now();
        let (answer, answered) = mpsc::channel();
        let callback = || {
            let answer = answer.clone();
            DeliveryCallback::new(move |delivered| {
                answer.send(delivered).ok(); // fails after this call has returned
            })
        };
        while !self
            .producer
            .send(&record, callback())
            .map_err(|code| self.failed(topic, code))?
        {
            if started.elapsed() > self.timeout {
                return Err(self.unreachable());
            }
            self.producer.serve(Duration::from_millis(50));
        }
        // librdkafka keeps the time; the margin is for its answer to arrive.
        let delivered = answered
            .recv_timeout(self.timeout + Duration::from_secs(5))
            .map_err(|_| self.unreachable())?;
        let (partition, offset) = delivered.map_err(|code| self.failed(topic, code))?;
        Ok(Placed { partition, offset })
    }

    fn failed(&self, topic: &str, code: RDKafkaErrorCode) -> ClientError {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageTimedOut => self.unreachable(),
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                ClientError::UnknownTopic(topic.to_owned())
            }
            Code::Fatal => self.refused(topic, &self.producer.fatal_error().unwrap_or_else(|| code.to_string())),
            code => self.refused(topic, &code.to_string()),
        }
    }

    fn refused(&self, topic: &str, cause: &str) -> ClientError {
        ClientError::Refused {
            action: format!("write to {topic}"),
            cause: cause.to_owned(),
        }
    }

    fn unreachable(&self) -> ClientError {
        ClientError::Unreachable {
            bootstrap_servers: self.bootstrap_servers.clone(),
            waited: self.timeout,
            cause: self.producer.last_error(),
        }
    }
}
