//! Three brokers, of which one is lost.

use stt_testkit::apache::{Cluster, Config};

use crate::story::{Story, ready, stop};

#[test]
fn of_three_brokers_any_may_be_killed() {
    let config = Config {
        nodes: 3,
        ..Config::default()
    };
    let mut cluster = Cluster::start(&config).unwrap();
    let story = Story::on(&mut cluster, "trio", 3);
    let mut worker = story.worker(&[("WORKER_CONCURRENCY", "2")]);
    worker.says("partitions assigned: ");
    story.produce(0..3);
    story.passed(3);
    // One of them leads the group, one the metadata, and each a partition of the jobs.
    let mut next = 3;
    for node in 0..3 {
        story.site.close();
        story.produce(next..next + 6);
        story.site.wait_for_visitors(next as usize + 1);
        cluster.kill(node).unwrap();
        story.site.open();
        story.produce(next + 6..next + 9);
        next += 9;
        story.results(0..next);
        story.passed(next.into());
        ready(&mut worker);
        cluster.start_node(node).unwrap();
        cluster.wait_until_in_sync().unwrap();
    }
    stop(worker);
}
