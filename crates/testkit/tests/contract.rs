//! The broker in memory keeps the contract that Kafka keeps (crates/kafka/tests).

use stt_core::{Committed, Publish, Source};
use stt_testkit::contract::{self, Bench};
use stt_testkit::{MemoryBroker, Role};

struct Memory(MemoryBroker);

impl Bench for Memory {
    fn produce(&self, payload: &[u8]) {
        self.0.produce(None, payload, vec![]);
    }

    fn join(&self) -> Box<dyn Source> {
        Box::new(self.0.join().0)
    }

    fn publish(&self) -> Box<dyn Publish> {
        let publish = self.0.join().1;
        Box::new(publish)
    }

    fn values(&self, role: Role) -> Vec<Vec<u8>> {
        self.0.values(role)
    }

    fn committed(&self) -> Option<Committed> {
        self.0.committed()
    }
}

fn check(story: fn(&dyn Bench)) {
    story(&Memory(MemoryBroker::default()));
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

#[test]
fn transacts_outcomes_and_commits_together() {
    let broker = MemoryBroker::default();
    let (source, mut transact) = (broker.join().0, broker.transact());
    contract::transacts_outcomes_and_commits_together(&Memory(broker), Box::new(source), &mut transact);
}
