//! Kafka keeps the contract that the broker in memory keeps (crates/testkit/tests). Transactions need a real broker.

use crate::fixture::KafkaFixture;
use crate::support::*;
use stt_kafka::EmbeddedBroker;
use stt_testkit::contract::{self, Fixture};

fn check(story: fn(&dyn Fixture)) {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)]).unwrap();
    let connection = connection(&broker);
    story(&KafkaFixture { connection });
}

#[test]
fn delivers_in_order_and_a_pause_loses_nothing() {
    check(contract::delivers_in_order_and_a_pause_loses_nothing);
}

#[test]
fn resumes_at_the_committed_offset_with_its_metadata() {
    check(contract::resumes_at_the_committed_offset_with_its_metadata);
}

#[test]
fn commits_only_for_owned_partitions() {
    check(contract::commits_only_for_owned_partitions);
}

#[test]
fn a_waker_ends_a_poll() {
    check(contract::a_waker_ends_a_poll);
}

#[test]
fn publishes_each_kind_of_outcome() {
    check(contract::publishes_each_kind_of_outcome);
}

#[test]
fn leaves_acknowledged_records_out() {
    check(contract::leaves_acknowledged_records_out);
}
