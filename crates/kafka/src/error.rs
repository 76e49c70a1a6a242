//! What can go wrong between a client and the brokers.

use std::time::Duration;

use crate::PropertyProblem;

/// A client could not be created, or a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection's properties are not acceptable. All of them are named.
    #[error("{}", list(.0))]
    Properties(Vec<PropertyProblem>),
    /// librdkafka refused to create a client.
    #[error("cannot make a kafka client: {0}")]
    Create(String),
    /// No broker answered in time.
    #[error("no answer from kafka at {bootstrap_servers} within {} s{}", .waited.as_secs_f32(), because(.cause))]
    Unreachable {
        /// Where a broker was looked for.
        bootstrap_servers: String,
        /// How long.
        waited: Duration,
        /// The last error of the client, if any.
        cause: Option<String>,
    },
    /// The brokers answered, and the topic does not exist.
    #[error("topic {0} does not exist, or this user may not see it")]
    UnknownTopic(String),
    /// A broker refused a request.
    #[error("kafka refused to {action}: {cause}")]
    Refused {
        /// What was asked for, as in "write to stt.jobs".
        action: String,
        /// The broker's answer.
        cause: String,
    },
}

fn list(problems: &[PropertyProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn because(cause: &Option<String>) -> String {
    cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default()
}
