//! A real Kafka keeps the contract that the broker in memory keeps (crates/testkit/tests), transactions included.

use crate::fixture::KafkaFixture;
use stt_kafka::{Connection, KafkaTransactionSink, TransactionConfig};
use stt_testkit::apache::{Cluster, Config};
use stt_testkit::contract::{self, Fixture};

fn cluster() -> (Cluster, KafkaFixture) {
    let mut cluster = Cluster::start(&Config::default()).unwrap();
    for topic in ["stt.jobs", "stt.results", "stt.jobs.dlq"] {
        cluster.create_topic(topic, 1, &[]).unwrap();
    }
    let connection = Connection::new(cluster.bootstrap_servers());
    (cluster, KafkaFixture { connection })
}

#[test]
fn delivers_commits_and_publishes() {
    // Each story needs empty topics; a new broker is quicker than cleaning up.
    let stories: [fn(&dyn Fixture); 3] = [
        contract::resumes_at_the_committed_offset_with_its_metadata,
        contract::a_waker_ends_a_poll,
        contract::publishes_each_kind_of_outcome,
    ];
    for story in stories {
        let (_cluster, fixture) = cluster();
        story(&fixture);
    }
}

#[test]
fn publishes_in_transactions_with_commits() {
    let (_cluster, fixture) = cluster();
    let source = fixture.source();
    let membership = source.membership().unwrap();
    let config = TransactionConfig::new("contract");
    let mut sink = KafkaTransactionSink::new(&fixture.connection, config, membership).unwrap();
    contract::publishes_in_transactions_with_commits(&fixture, Box::new(source), &mut sink);
}
