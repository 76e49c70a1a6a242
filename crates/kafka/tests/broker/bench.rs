//! Kafka, as the contract of the testkit asks for it.

use crate::support::*;
use stt_core::{Committed, Publish, Source, SourceEvent};
use stt_kafka::{Connection, KafkaPublish, KafkaSource, PublishConfig, SourceConfig};
use stt_testkit::Role;
use stt_testkit::contract::Bench;

/// Brokers with the topics of a worker.
pub(crate) struct Site {
    pub(crate) connection: Connection,
}

impl Site {
    pub(crate) fn source(&self) -> KafkaSource {
        let config = SourceConfig {
            session_timeout: seconds(6),
            ..SourceConfig::default()
        };
        KafkaSource::new(&self.connection, config).unwrap()
    }
}

impl Bench for Site {
    fn produce(&self, payload: &[u8]) {
        producer(&self.connection)
            .produce("stt.jobs", b"", payload, &[])
            .unwrap();
    }

    fn join(&self) -> Box<dyn Source> {
        Box::new(self.source())
    }

    fn publish(&self) -> Box<dyn Publish> {
        Box::new(KafkaPublish::new(&self.connection, PublishConfig::default()).unwrap())
    }

    fn values(&self, role: Role) -> Vec<Vec<u8>> {
        let topic = match role {
            Role::Jobs => "stt.jobs",
            Role::Results => "stt.results",
            Role::DeadLetters => "stt.jobs.dlq",
        };
        let records = read(&self.connection, topic).into_iter();
        records.filter_map(|record| record.delivery.payload).collect()
    }

    /// As the next member is told it.
    fn committed(&self) -> Option<Committed> {
        let mut next = self.join();
        loop {
            if let SourceEvent::Assigned(assignments) = next.poll(POLL).unwrap()
                && let Some(first) = assignments.into_iter().next()
            {
                return first.committed;
            }
        }
    }
}
