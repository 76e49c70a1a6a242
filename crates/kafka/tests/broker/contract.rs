//! Kafka keeps the contract that the broker in memory keeps (crates/testkit/tests). Transactions need a real broker.

use crate::bench::Site;
use crate::support::*;
use stt_kafka::EmbeddedBroker;
use stt_testkit::contract::{self, Bench};

fn check(story: fn(&dyn Bench)) {
    let broker = EmbeddedBroker::start(&[("stt.jobs", 1), ("stt.results", 1), ("stt.jobs.dlq", 1)]).unwrap();
    let connection = connection(&broker);
    story(&Site { connection });
}

#[test]
fn delivers_in_order_and_a_pause_loses_nothing() {
    check(contract::delivers_in_order_and_a_pause_loses_nothing);
}

#[test]
fn goes_on_where_the_last_member_committed_and_tells_its_note() {
    check(contract::goes_on_where_the_last_member_committed_and_tells_its_note);
}

#[test]
fn commits_for_nobody_elses_partition() {
    check(contract::commits_for_nobody_elses_partition);
}

#[test]
fn publishes_each_kind_of_outcome_to_its_topics() {
    check(contract::publishes_each_kind_of_outcome_to_its_topics);
}
