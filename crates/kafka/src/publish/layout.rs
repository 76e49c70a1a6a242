//! Which records an outcome is.

use stt_core::{Outcome, OutcomeKind};

use super::PublishConfig;
use crate::ClientError;
use crate::outbox::Outgoing;

impl PublishConfig {
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        for topic in [&self.results_topic, &self.dlq_topic, &self.jobs_topic] {
            if topic.is_empty() || topic.contains('\0') {
                let rule = "a topic's name must not be empty, nor hold a zero byte";
                return Err(ClientError::Create(rule.to_owned()));
            }
        }
        Ok(())
    }

    pub(crate) fn records<'a>(&'a self, outcome: &'a Outcome) -> Vec<Outgoing<'a>> {
        let to = |topic, payload, headers| Outgoing {
            topic,
            key: &outcome.key,
            payload,
            headers,
        };
        match &outcome.kind {
            OutcomeKind::Completed { result } => vec![to(&self.results_topic, result, &[])],
            OutcomeKind::Failed {
                result,
                dead_letter,
                headers,
            } => vec![
                to(&self.results_topic, result, &[]),
                to(&self.dlq_topic, dead_letter, headers),
            ],
            OutcomeKind::Retry { payload, headers } => vec![to(&self.jobs_topic, payload, headers)],
        }
    }
}
