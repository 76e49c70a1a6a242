//! Configuration of the consumer.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::topic_ids::DEBUG_CONTEXT;
use crate::{ClientError, Connection};

/// How a worker reads jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The consumer group that all workers share. Default `stt-worker`.
    pub group_id: String,
    /// Topic of the jobs. Default `stt.jobs`.
    pub topic: String,
    /// A second topic, with the jobs that are tried again. Default none: they come from `topic`.
    pub retry_topic: Option<String>,
    /// How long a worker may be silent before its partitions go to others. Default 45 s, as in Kafka. An operator's
    /// `session.timeout.ms` wins over it.
    pub session_timeout: Duration,
    /// Whether reading a topic that does not exist creates it, where the broker allows. Default false.
    pub create_topics: bool,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            group_id: "stt-worker".to_owned(),
            topic: "stt.jobs".to_owned(),
            retry_topic: None,
            session_timeout: Duration::from_secs(45),
            create_topics: false,
        }
    }
}

/// Job records are small, so a few hundred are fetched ahead, within 4 MiB. (With librdkafka's default backoff of 1 s between
/// fetches, a prefetch this small would be used up before the next fetch.)
const DEFAULTS: [(&str, &str); 6] = [
    ("queued.min.messages", "1000"),
    ("queued.max.messages.kbytes", "4096"),
    ("fetch.queue.backoff.ms", "50"),
    ("fetch.wait.max.ms", "250"),
    ("fetch.message.max.bytes", "1048576"),
    ("max.poll.interval.ms", "300000"),
];

impl SourceConfig {
    pub(super) fn client(&self, connection: &Connection) -> Result<ClientConfig, ClientError> {
        let retry_topic = self.retry_topic.as_ref().map(|topic| ("retry topic", topic));
        let names = [("group id", &self.group_id), ("jobs topic", &self.topic)];
        for (name, value) in names.into_iter().chain(retry_topic) {
            if value.is_empty() || value.contains('\0') {
                return Err(ClientError::Create(format!(
                    "the {name} must not be empty or contain a zero byte"
                )));
            }
        }
        let session_timeout = self.session_timeout.as_millis().to_string();
        let mut defaults = vec![("session.timeout.ms", session_timeout.as_str())];
        defaults.extend(DEFAULTS);
        // See `topic_ids`. What the operator wants logged is logged as well.
        let debug = match connection.properties.get("debug") {
            Some(contexts) => format!("{contexts},{DEBUG_CONTEXT}"),
            None => DEBUG_CONTEXT.to_owned(),
        };
        let mut config = connection.member(
            &defaults,
            &[
                ("group.id", &self.group_id),
                ("group.protocol", "classic"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"),
                ("debug", &debug),
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "false"),
                (
                    "allow.auto.create.topics",
                    if self.create_topics { "true" } else { "false" },
                ),
            ],
        )?;
        config.set_log_level(RDKafkaLogLevel::Debug);
        Ok(config)
    }
}
