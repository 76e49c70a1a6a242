//! Requests about the cluster, with a time limit: brokers, topics, committed offsets of a group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;
use stt_core::CommittedOffset;

use crate::close::close_with_timeout;
use crate::context::LastError;
use crate::record::TopicNames;
use crate::{ClientError, Connection, native, record};

/// The brokers and topics of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The brokers, as `host:port`.
    pub brokers: Vec<String>,
    /// The topics that this user may see, and how many partitions each has.
    pub topics: BTreeMap<String, usize>,
}

impl Cluster {
    /// Those of `topics` that are not there.
    #[must_use]
    pub fn missing<'a>(&self, topics: &[&'a str]) -> Vec<&'a str> {
        topics
            .iter()
            .filter(|topic| !self.topics.contains_key(**topic))
            .copied()
            .collect()
    }
}

/// Connects to the brokers, or says within `timeout` why that failed: librdkafka itself retries bad credentials and dead
/// addresses forever, without an error.
///
/// # Errors
/// [`ClientError::Unreachable`] with the last error; bad properties, all of them named.
pub fn probe(connection: &Connection, timeout: Duration) -> Result<Cluster, ClientError> {
    let mut asking = Asking::new(connection, &[], timeout)?;
    asking.cluster(None)
}

/// What a group has committed for each partition of a topic, metadata included; `None` where it committed nothing.
///
/// # Errors
/// [`ClientError::Unreachable`], [`ClientError::UnknownTopic`], [`ClientError::Refused`]; bad properties.
pub fn committed(
    connection: &Connection,
    group_id: &str,
    topic: &str,
    timeout: Duration,
) -> Result<BTreeMap<i32, Option<CommittedOffset>>, ClientError> {
    let mut asking = Asking::new(connection, &[("group.id", group_id)], timeout)?;
    let partitions = asking.partitions(topic, false)?;
    let offsets = asking.until_answered(&format!("tell the offsets of group {group_id}"), |consumer, wait| {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let offsets = consumer.committed_offsets(list, wait)?;
        offsets.elements().iter().try_for_each(|element| element.error())?;
        Ok(offsets)
    })?;
    let entries = record::entries(native::elements(&offsets), &TopicNames::new([topic.into()]));
    Ok(entries
        .into_iter()
        .map(|entry| (entry.partition.id, entry.committed))
        .collect())
}

/// The offsets at which a group would resume, for each partition of a topic; `None` where it committed nothing.
///
/// # Errors
/// [`ClientError::Unreachable`], [`ClientError::UnknownTopic`], [`ClientError::Refused`]; bad properties.
pub fn committed_offsets(
    connection: &Connection,
    group_id: &str,
    topic: &str,
    timeout: Duration,
) -> Result<BTreeMap<i32, Option<i64>>, ClientError> {
    let committed = committed(connection, group_id, topic, timeout)?;
    let offset = |committed: Option<CommittedOffset>| committed.map(|committed| committed.next_offset);
    Ok(committed
        .into_iter()
        .map(|(id, committed)| (id, offset(committed)))
        .collect())
}

/// A client that repeats requests until they are answered or its time is over.
pub(crate) struct Asking {
    consumer: Option<BaseConsumer<LastError>>,
    bootstrap_servers: String,
    started: Instant,
    timeout: Duration,
}

/// Longest wait for one try of a request. Between two of them the client's errors are served.
const TRY_WAIT: Duration = Duration::from_secs(1);

impl Asking {
    pub(crate) fn new(connection: &Connection, owned: &[(&str, &str)], timeout: Duration) -> Result<Self, ClientError> {
        let mut all = vec![("allow.auto.create.topics", "false"), ("enable.auto.commit", "false")];
        all.extend(owned);
        let config = connection.client(&[], &all)?;
        let made = config.create_with_context(LastError::default());
        Ok(Self {
            consumer: Some(made.map_err(|error| ClientError::Create(error.to_string()))?),
            bootstrap_servers: connection.bootstrap_servers.clone(),
            started: Instant::now(),
            timeout,
        })
    }

    /// The client itself.
    pub(crate) fn into_consumer(mut self) -> BaseConsumer<LastError> {
        self.consumer.take().expect("only given away here, by value")
    }

    /// Repeats a request until it is answered. A refusal that will not pass by waiting is an answer.
    pub(crate) fn until_answered<T>(
        &mut self,
        action: &str,
        mut request: impl FnMut(&BaseConsumer<LastError>, Duration) -> Result<T, KafkaError>,
    ) -> Result<T, ClientError> {
        let consumer = self.consumer.as_ref().expect("only given away by value");
        loop {
            let left = self.timeout.saturating_sub(self.started.elapsed());
            let error = match request(consumer, left.min(TRY_WAIT)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Serves the client's errors; without an assignment there are no records.
            let left = self.timeout.saturating_sub(self.started.elapsed());
            consumer.poll(left.min(Duration::from_millis(50)));
            if is_refusal(&error) {
                return Err(ClientError::Refused {
                    action: action.to_owned(),
                    cause: error.to_string(),
                });
            }
            if self.started.elapsed() >= self.timeout {
                return Err(ClientError::Unreachable {
                    bootstrap_servers: self.bootstrap_servers.clone(),
                    waited: self.timeout,
                    cause: consumer.context().get().or_else(|| Some(error.to_string())),
                });
            }
        }
    }

    /// The cluster as it is; or, with a topic, as it is with that topic asked for by name, which makes it where topics
    /// are made on demand.
    fn cluster(&mut self, topic: Option<&str>) -> Result<Cluster, ClientError> {
        self.until_answered("tell its topics", |consumer, wait| {
            let metadata = consumer.fetch_metadata(topic, wait)?;
            let brokers = metadata
                .brokers()
                .iter()
                .map(|broker| format!("{}:{}", broker.host(), broker.port()));
            let known = metadata.topics().iter().filter(|topic| topic.error().is_none());
            Ok(Cluster {
                brokers: brokers.collect(),
                topics: known
                    .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
                    .collect(),
            })
        })
    }

    /// How many partitions a topic has.
    pub(crate) fn partitions(&mut self, topic: &str, create: bool) -> Result<i32, ClientError> {
        let unknown = || ClientError::UnknownTopic(topic.to_owned());
        if topic.is_empty() || topic.contains('\0') {
            return Err(unknown());
        }
        loop {
            let found = self
                .cluster(create.then_some(topic))?
                .topics
                .get(topic)
                .copied()
                .filter(|count| *count > 0);
            if let Some(count) = found {
                return i32::try_from(count).map_err(|_| unknown());
            }
            // A topic that is just being made has no leaders for a moment.
            if !create || self.started.elapsed() >= self.timeout {
                return Err(unknown());
            }
            if let Some(consumer) = &self.consumer {
                consumer.poll(Duration::from_millis(50));
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            close_with_timeout(consumer, Duration::from_millis(500));
        }
    }
}

fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidGroupId
                | Code::InvalidTopic
                | Code::UnsupportedVersion
                | Code::InvalidArgument
        )
    )
}
