//! The broker in memory keeps the contract that Kafka keeps (crates/kafka/tests).

use stt_core::{CommittedOffset, Destination, Sink, Source};
use stt_testkit::MemoryBroker;
use stt_testkit::contract::{self, Fixture};

struct Memory(MemoryBroker);

impl Fixture for Memory {
    fn produce(&self, payload: &[u8]) {
        self.0.produce(None, payload, vec![]);
    }

    fn join(&self) -> Box<dyn Source> {
        Box::new(self.0.join().0)
    }

    fn sink(&self) -> Box<dyn Sink> {
        Box::new(self.0.join().1)
    }

    fn values(&self, destination: Destination) -> Vec<Vec<u8>> {
        self.0.values(destination)
    }

    fn committed(&self) -> Option<CommittedOffset> {
        self.0.committed()
    }
}

fn check(story: fn(&dyn Fixture)) {
    story(&Memory(MemoryBroker::default()));
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

#[test]
fn publishes_in_transactions_with_commits() {
    let broker = MemoryBroker::default();
    let (source, mut sink) = (broker.join().0, broker.transaction_sink());
    contract::publishes_in_transactions_with_commits(&Memory(broker), Box::new(source), &mut sink);
}
