//! How a worker reads.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::{ClientError, Connection};

/// How a worker reads jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The consumer group that all workers share. Default `stt-worker`.
    pub group_id: String,
    /// Where jobs are. Default `stt.jobs`.
    pub topic: String,
    /// How long a worker may be silent before its partitions go to others. Default 45 s, as in Kafka. An operator's
    /// `session.timeout.ms` wins over it.
    pub session_timeout: Duration,
    /// Whether reading a topic that is not there makes it, where the broker allows. Default false.
    pub create_topics: bool,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            group_id: "stt-worker".to_owned(),
            topic: "stt.jobs".to_owned(),
            session_timeout: Duration::from_secs(45),
            create_topics: false,
        }
    }
}

/// A job record is small and a job takes long, so few are fetched ahead: what is paused is fetched again when resumed.
/// Where the prefetch is this small, librdkafka's default backoff of 1 s between fetches would be felt.
const DEFAULTS: [(&str, &str); 6] = [
    ("auto.offset.reset", "earliest"),
    ("queued.min.messages", "16"),
    ("queued.max.messages.kbytes", "4096"),
    ("fetch.queue.backoff.ms", "100"),
    ("fetch.message.max.bytes", "1048576"),
    ("max.poll.interval.ms", "300000"),
];

impl SourceConfig {
    pub(super) fn client(&self, connection: &Connection) -> Result<ClientConfig, ClientError> {
        for (name, value) in [("group id", &self.group_id), ("jobs topic", &self.topic)] {
            if value.is_empty() || value.contains('\0') {
                return Err(ClientError::Create(format!(
                    "the {name} must not be empty, nor hold a zero byte"
                )));
            }
        }
        let session_timeout = self.session_timeout.as_millis().to_string();
        let mut defaults = vec![("session.timeout.ms", session_timeout.as_str())];
        defaults.extend(DEFAULTS);
        connection.client(
            &defaults,
            &[
                ("group.id", &self.group_id),
                ("group.protocol", "classic"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "false"),
                (
                    "allow.auto.create.topics",
                    if self.create_topics { "true" } else { "false" },
                ),
            ],
        )
    }
}
