//! Topics that change while a worker runs.

use crate::story::{Story, not_ready, pause, ready, shared, stop};

#[test]
fn partitions_that_are_added_are_read() {
    let story = Story::new("growing", 1);
    let mut worker = story.worker(&[]);
    worker.says("partitions assigned: ");
    story.produce(0..1);
    story.passed(1);
    shared().add_partitions(&story.topic("jobs"), 3).unwrap();
    worker.says("(now 3)");
    // By their keys, some of these go to the new partitions.
    story.produce(1..8);
    let found = story.results(0..8);
    assert!(found.values().all(|results| results.len() == 1), "{found:?}");
    story.passed(8);
    stop(worker);
}

#[test]
fn a_results_topic_that_vanishes_holds_jobs_until_it_is_there_again() {
    let story = Story::new("vanishing", 1);
    let results = story.topic("results");
    let mut worker = story.worker(&[]);
    worker.says("partitions assigned: ");
    shared().delete_topic(&results).unwrap();
    story.produce(0..2);
    not_ready(&mut worker, "publish-blocked");
    worker.says("topic vanishing.results does not exist");
    pause(2_000);
    assert_eq!((story.committed(), story.count("dlq")), (0, 0));
    shared().create_topic(&results, 1, &[]).unwrap();
    let found = story.results(0..2);
    assert!(found.values().all(|results| results.len() == 1), "{found:?}");
    ready(&mut worker);
    story.passed(2);
    stop(worker);
}

/// The producer's own limit is higher: it is the broker that refuses.
#[test]
fn a_result_too_large_for_the_topic_goes_without_its_detail() {
    let story = Story::with_clip(&mut shared(), "narrow", 1, "en-long-03.m4a");
    let results = story.topic("results");
    shared()
        .tool(
            "org.apache.kafka.tools.ConfigCommand",
            &["--alter", "--topic", &results, "--add-config", "max.message.bytes=900"],
        )
        .unwrap();
    let mut worker = story.worker(&[("RESULT_DETAIL", "words")]);
    worker.says("partitions assigned: ");
    story.produce(0..1);
    let found = story.results(0..1);
    let [result] = found[&0].as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((&result["status"], result.get("detail")), (&"COMPLETED".into(), None));
    story.passed(1);
    assert_eq!(story.count("dlq"), 0);
    let said = stop(worker);
    assert!(said.contains("without detail, which kafka did not take"), "{said}");
}
