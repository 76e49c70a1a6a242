//! The only broker dies, or hangs.

use stt_testkit::apache::{Cluster, Config};

use crate::story::{Story, health, not_ready, pause, ready, stop};

#[test]
fn jobs_in_hand_outlive_a_broker_that_is_killed_and_one_that_hangs() {
    let mut cluster = Cluster::start(&Config::default()).unwrap();
    let story = Story::on(&mut cluster, "outage", 2);
    let mut worker = story.worker(&[("WORKER_CONCURRENCY", "2")]);
    worker.says("partitions assigned: ");
    story.produce(0..1);
    story.passed(1);

    // Killed, with two jobs in hand and others behind; for longer than the session.
    story.site.close();
    story.produce(1..7);
    story.site.wait_for_visitors(3);
    cluster.kill(0).unwrap();
    story.site.open();
    not_ready(&mut worker, "publish-blocked");
    pause(4_000);
    assert_eq!(health(&mut worker, "/live").0, 200);
    cluster.start_node(0).unwrap();
    let found = story.results(0..7);
    story.passed(7);
    ready(&mut worker);
    assert!(found.values().all(|results| results.len() == 1), "{found:?}");

    // Silent, with its connections open.
    story.site.close();
    story.produce(7..12);
    story.site.wait_for_visitors(9);
    cluster.pause(0).unwrap();
    story.site.open();
    not_ready(&mut worker, "publish-blocked");
    not_ready(&mut worker, "not-member");
    cluster.resume(0).unwrap();
    let found = story.results(0..12);
    assert!(found.values().all(|results| results.len() == 1), "{found:?}");
    story.passed(12);
    ready(&mut worker);
    stop(worker);
}
