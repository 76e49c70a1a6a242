//! Reading a topic without a group, for tools.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stt_core::Delivery;

use crate::close::close_with_timeout;
use crate::context::LastError;
use crate::probe::Asking;
use crate::record::TopicNames;
use crate::{ClientError, Connection, record};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is kept.
    Beginning,
    /// Behind the newest record at the time of opening.
    End,
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailConfig {
    /// The topic.
    pub topic: String,
    /// Where to begin. Default [`Start::End`].
    pub start: Start,
    /// How long opening may take. Default 30 s.
    pub timeout: Duration,
    /// Whether opening a topic that is not there makes it, where the broker allows. Default false.
    pub create_topic: bool,
}

impl TailConfig {
    /// The topic from its end on.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            start: Start::End,
            timeout: Duration::from_secs(30),
            create_topic: false,
        }
    }
}

/// A record and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tailed {
    /// The record.
    pub delivery: Delivery,
    /// Milliseconds since the Unix epoch: when it was made, or taken by the broker, as the topic has it.
    pub timestamp_ms: Option<i64>,
}

/// Reads every partition of a topic. It joins no group and commits nothing.
///
/// Where it begins is fixed when [`Tail::open`] returns: an answer to what is produced after that will be seen.
pub struct Tail {
    consumer: Option<BaseConsumer<LastError>>,
    topics: TopicNames,
    topic: Arc<str>,
    /// Where each partition ended at opening.
    ends: BTreeMap<i32, i64>,
    /// The same, of those where reading has not come so far.
    behind: BTreeMap<i32, i64>,
}

/// librdkafka does not read without a group id; the group is not joined.
const GROUP: &str = "stt-tail";

impl Tail {
    /// Opens a topic.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::UnknownTopic`], [`ClientError::Refused`]; bad properties.
    pub fn open(connection: &Connection, config: &TailConfig) -> Result<Self, ClientError> {
        let create = if config.create_topic { "true" } else { "false" };
        let owned = [
            ("group.id", GROUP),
            ("allow.auto.create.topics", create),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            // Should the start be gone by the time it is read, what is left is read.
            ("auto.offset.reset", "earliest"),
        ];
        let mut asking = Asking::new(connection, &owned, config.timeout)?;
        let topic = config.topic.as_str();
        let partitions = asking.partitions(topic, config.create_topic)?;
        let mut list = TopicPartitionList::new();
        let (mut ends, mut behind) = (BTreeMap::new(), BTreeMap::new());
        for id in 0..partitions {
            let action = format!("tell the offsets of {topic}");
            let (low, high) = asking.until_answered(&action, |consumer, wait| {
                consumer.fetch_watermarks(topic, id, wait).inspect_err(|_| {
                    // librdkafka believes for minutes that a partition has no leader, unless it is made to look again. If
                    // it cannot, the next try tells.
                    consumer.fetch_metadata(Some(topic), wait).ok();
                })
            })?;
            let start = match config.start {
                Start::Beginning => low,
                Start::End => high,
            };
            ends.insert(id, high);
            if start < high {
                behind.insert(id, high);
            }
            list.add_partition_offset(topic, id, Offset::Offset(start))
                .map_err(|error| ClientError::Create(error.to_string()))?;
        }
        let consumer = asking.into_consumer();
        consumer
            .assign(&list)
            .map_err(|error| ClientError::Create(error.to_string()))?;
        Ok(Self {
            consumer: Some(consumer),
            topics: TopicNames::new([topic.into()]),
            topic: topic.into(),
            ends,
            behind,
        })
    }

    /// The next record, or `None` after `wait`. When reading has come to the end of the topic as it was at opening,
    /// `None` comes at once, one time; [`Tail::at_end`] tells it from a wait that was over.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the client has failed for good; temporary errors are waited out.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Tailed>, ClientError> {
        let Some(consumer) = &self.consumer else {
            return Ok(None);
        };
        let started = Instant::now();
        let was_behind = !self.behind.is_empty();
        loop {
            match consumer.poll(wait.saturating_sub(started.elapsed())) {
                Some(Ok(message)) => {
                    let next = message.offset() + 1;
                    if self.behind.get(&message.partition()).is_some_and(|end| next >= *end) {
                        self.behind.remove(&message.partition());
                    }
                    return Ok(Some(Tailed {
                        delivery: record::delivery(&message, &self.topics),
                        timestamp_ms: message.timestamp().to_millis(),
                    }));
                }
                // Behind the last record there may be marks of transactions, which are not delivered.
                Some(Err(KafkaError::PartitionEOF(id))) => {
                    self.behind.remove(&id);
                    if was_behind && self.behind.is_empty() {
                        return Ok(None);
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(ClientError::Refused {
                        action: format!("read {}", self.topic),
                        cause: code.to_string(),
                    });
                }
                Some(Err(error)) => log::debug!("reading {}: {error}", self.topic),
                None => {}
            }
            if started.elapsed() >= wait {
                return Ok(None);
            }
        }
    }

    /// Whether everything that was in the topic at opening has been read, or skipped by starting at the end.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.behind.is_empty()
    }

    /// Whether a record was in the topic at opening. Newer ones may come before [`Tail::at_end`], from partitions that
    /// have been read to their ends while others have not.
    #[must_use]
    pub fn is_of_opening(&self, tailed: &Tailed) -> bool {
        let delivery = &tailed.delivery;
        let end = self.ends.get(&delivery.partition.id);
        end.is_some_and(|end| delivery.offset < *end)
    }

    /// The last error with the brokers, to say why nothing is delivered.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.consumer.as_ref().and_then(|consumer| consumer.context().get())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            close_with_timeout(consumer, Duration::from_millis(500));
        }
    }
}
