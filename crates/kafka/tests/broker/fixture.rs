//! Kafka, as the contract of the testkit needs it.

use crate::support::*;
use stt_core::{CommittedOffset, Destination, Sink, Source, SourceEvent};
use stt_kafka::{Connection, KafkaSource, SourceConfig};
use stt_testkit::contract::Fixture;

/// Brokers with the topics of a worker.
pub(crate) struct KafkaFixture {
    pub(crate) connection: Connection,
}

impl KafkaFixture {
    pub(crate) fn source(&self) -> KafkaSource {
        let config = SourceConfig {
            session_timeout: seconds(6),
            ..SourceConfig::default()
        };
        KafkaSource::new(&self.connection, config).unwrap()
    }
}

impl Fixture for KafkaFixture {
    fn produce(&self, payload: &[u8]) {
        producer(&self.connection)
            .produce("stt.jobs", b"", payload, &[])
            .unwrap();
    }

    fn join(&self) -> Box<dyn Source> {
        Box::new(self.source())
    }

    fn sink(&self) -> Box<dyn Sink> {
        Box::new(sink(&self.connection))
    }

    fn values(&self, destination: Destination) -> Vec<Vec<u8>> {
        let topic = match destination {
            Destination::Retries => "stt.jobs",
            Destination::Results => "stt.results",
            Destination::DeadLetters => "stt.jobs.dlq",
        };
        let records = read(&self.connection, topic).into_iter();
        records.filter_map(|record| record.delivery.payload).collect()
    }

    /// As the next member gets it.
    fn committed(&self) -> Option<CommittedOffset> {
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
