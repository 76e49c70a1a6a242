//! What a broker's refusal of a record means for its outcome.

use rdkafka::types::RDKafkaErrorCode;
use stt_core::{ErrorCode, Failure};

use crate::producer::Outgoing;

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishError {
    /// It is larger than the topic or the client takes.
    TooLarge,
    /// The broker will refuse it each time: by a policy of its own, or as not valid for the topic.
    Rejected,
    /// Its topic does not exist.
    NoTopic,
    /// This user may not write to its topic.
    Unauthorized,
    /// Another record of the same request was refused.
    Again,
    /// The producer cannot go on.
    Fatal,
    /// Anything else; it may pass.
    Other,
}

impl PublishError {
    pub(crate) fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => Self::TooLarge,
            Code::InvalidRecord | Code::PolicyViolation => Self::Rejected,
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => {
                Self::NoTopic
            }
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Self::Unauthorized,
            Code::InvalidDifferentRecord => Self::Again,
            Code::Fatal => Self::Fatal,
            _ => Self::Other,
        }
    }

    /// Whether it will be refused each time, as far as this answer goes: it may have been for another record of the request.
    pub(crate) fn is_permanent(self) -> bool {
        matches!(self, Self::TooLarge | Self::Rejected)
    }

    /// Whether the client should ask for the topic again.
    pub(crate) fn is_about_topic(self) -> bool {
        matches!(self, Self::NoTopic | Self::Unauthorized)
    }

    pub(crate) fn failure(self, record: &Outgoing<'_>, code: RDKafkaErrorCode) -> Failure {
        let topic = record.topic;
        let later = |text| Failure::worker_local(ErrorCode::PublishFailed, text);
        match self {
            Self::TooLarge => {
                let size = record.size();
                let text = format!("{size} bytes are more than Kafka takes as a record of {topic}");
                Failure::permanent(ErrorCode::ResultTooLarge, text)
            }
            Self::Rejected => {
                let text = format!("Kafka rejects this record for topic {topic}");
                Failure::permanent(ErrorCode::ResultTooLarge, text).because(code)
            }
            Self::NoTopic => later(format!("topic {topic} does not exist or this user may not see it")),
            Self::Unauthorized => later(format!("this user may not write to topic {topic}")),
            Self::Again => {
                let text = format!("a record for {topic} was not sent");
                Failure::transient(ErrorCode::PublishFailed, text).because(code)
            }
            Self::Fatal => fatal(&code.to_string()),
            Self::Other => later(format!("Kafka did not take a record for {topic}")).because(code),
        }
    }
}

pub(crate) fn fatal(text: &str) -> Failure {
    Failure::fatal(
        ErrorCode::PublishFailed,
        format!("the Kafka producer failed for good: {text}"),
    )
}
