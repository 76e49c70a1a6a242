//! Why a record was not written.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use stt_core::{ErrorCode, Failure};

use crate::outbox::{Outbox, Outgoing};

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It will never fit.
    TooLarge,
    /// Its topic is not there.
    NoTopic,
    /// Its topic is not for this user.
    Unauthorized,
    /// The producer has ended.
    Fatal,
    /// Anything else.
    Other,
}

/// How long a publish that failed for want of a topic looks for it.
const LOOK_WAIT: Duration = Duration::from_secs(1);

impl Refusal {
    pub(crate) fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => Self::TooLarge,
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => Self::NoTopic,
            Code::TopicAuthorizationFailed => Self::Unauthorized,
            Code::Fatal => Self::Fatal,
            _ => Self::Other,
        }
    }

    /// What to say of the record. Looks for a topic that was not found, for up to a second.
    pub(crate) fn failure(self, outbox: &Outbox, record: &Outgoing<'_>, code: RDKafkaErrorCode) -> Failure {
        let topic = record.topic;
        let held = |text| Failure::worker_local(ErrorCode::PublishFailed, text);
        match self {
            Self::TooLarge => {
                let text = format!(
                    "{} bytes are more than kafka takes as a record of {topic}",
                    record.size()
                );
                Failure::permanent(ErrorCode::ResultTooLarge, text)
            }
            Self::NoTopic => {
                // The answer may be of old; what is found now is for the next try.
                outbox.look_for(topic, LOOK_WAIT);
                held(format!("topic {topic} does not exist, or this user may not see it"))
            }
            Self::Unauthorized => {
                // Until it is looked for again, the client refuses the topic by itself.
                outbox.look_for(topic, LOOK_WAIT);
                held(format!("this user may not write to topic {topic}"))
            }
            Self::Fatal => fatal(&outbox.fatal().unwrap_or_else(|| code.to_string())),
            Self::Other => held(format!("kafka did not take a record for {topic}")).because(code),
        }
    }
}

pub(crate) fn fatal(text: &str) -> Failure {
    Failure::fatal(ErrorCode::PublishFailed, format!("the kafka producer ended: {text}"))
}
