//! A real Kafka keeps the contract that the broker in memory keeps (crates/testkit/tests), transactions included.

use crate::bench::Site;
use stt_kafka::{Connection, KafkaTransact, TransactConfig};
use stt_testkit::apache::{Cluster, Config};
use stt_testkit::contract::{self, Bench};

fn site() -> (Cluster, Site) {
    let mut cluster = Cluster::start(&Config::default()).unwrap();
    for topic in ["stt.jobs", "stt.results", "stt.jobs.dlq"] {
        cluster.create_topic(topic, 1, &[]).unwrap();
    }
    let connection = Connection::new(cluster.bootstrap_servers());
    (cluster, Site { connection })
}

#[test]
fn delivers_commits_and_publishes_like_any_other() {
    // Each story wants topics of its own; a broker is quicker made anew than cleaned.
    let stories: [fn(&dyn Bench); 2] = [
        contract::goes_on_where_the_last_member_committed_and_tells_its_note,
        contract::publishes_each_kind_of_outcome_to_its_topics,
    ];
    for story in stories {
        let (_cluster, site) = site();
        story(&site);
    }
}

#[test]
fn transacts_outcomes_and_commits_together() {
    let (_cluster, site) = site();
    let source = site.source();
    let membership = source.membership().unwrap();
    let mut transact = KafkaTransact::new(&site.connection, TransactConfig::new("contract"), membership).unwrap();
    contract::transacts_outcomes_and_commits_together(&site, Box::new(source), &mut transact);
}
