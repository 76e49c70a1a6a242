//! Kafka keeps the contract that the broker in memory keeps (crates/testkit/tests). Transactions need a real broker.

use crate::support::*;
use stt_core::{Committed, Publish, Source, SourceEvent};
use stt_kafka::{Connection, EmbeddedBroker, KafkaPublish, KafkaSource, PublishConfig, SourceConfig};
use stt_testkit::Role;
use stt_testkit::contract::{self, Bench};

struct Embedded {
    _broker: EmbeddedBroker,
    connection: Connection,
}

impl Embedded {
    fn start() -> Self {
        let broker = EmbeddedBroker::start(&[("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)]).unwrap();
        let connection = connection(&broker);
        Self {
            _broker: broker,
            connection,
        }
    }
}

impl Bench for Embedded {
    fn produce(&self, payload: &[u8]) {
        producer(&self.connection)
            .produce("stt.jobs", b"", payload, &[])
            .unwrap();
    }

    fn join(&self) -> Box<dyn Source> {
        let config = SourceConfig {
            session_timeout: seconds(6),
            ..SourceConfig::default()
        };
        Box::new(KafkaSource::new(&self.connection, config).unwrap())
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
            if let SourceEvent::Assigned(mut assignments) = next.poll(POLL).unwrap() {
                return assignments.remove(0).committed;
            }
        }
    }
}

#[test]
fn delivers_in_order_and_a_pause_loses_nothing() {
    contract::delivers_in_order_and_a_pause_loses_nothing(&Embedded::start());
}

#[test]
fn goes_on_where_the_last_member_committed_and_tells_its_note() {
    contract::goes_on_where_the_last_member_committed_and_tells_its_note(&Embedded::start());
}

#[test]
fn commits_for_nobody_elses_partition() {
    contract::commits_for_nobody_elses_partition(&Embedded::start());
}

#[test]
fn publishes_each_kind_of_outcome_to_its_topics() {
    contract::publishes_each_kind_of_outcome_to_its_topics(&Embedded::start());
}
