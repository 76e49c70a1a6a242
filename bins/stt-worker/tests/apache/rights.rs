//! What a user may do: ACLs that come and go.

use crate::story::{Login, PASSWORD, Story, let_work, not_ready, pause, ready, shared, stop};

#[test]
fn a_result_that_may_not_be_written_is_held_until_it_may() {
    let story = Story::new("scribe", 1);
    let_work(&mut shared(), "scribe", &story);
    let results = story.topic("results");
    let login = Login::new(&shared(), "scribe", PASSWORD);
    let mut worker = story.worker(&login.with(&[]));
    worker.says("partitions assigned: ");
    story.produce(0..1);
    story.passed(1);

    shared().forbid("scribe", "Write", &["--topic", &results]).unwrap();
    story.produce(1..4);
    not_ready(&mut worker, "publish-blocked");
    worker.says("this user may not write to topic scribe.results");
    pause(2_000);
    assert_eq!(
        (story.committed(), story.count("results"), story.count("dlq")),
        (1, 1, 0)
    );

    shared().allow("scribe", "Write", &["--topic", &results]).unwrap();
    let found = story.results(1..4);
    assert!(found.values().all(|results| results.len() == 1), "{found:?}");
    ready(&mut worker);
    story.passed(4);
    let said = stop(worker);
    assert!(said.contains("not published, next try in"), "{said}");
}

#[test]
fn a_group_that_may_not_be_joined_is_waited_for() {
    let story = Story::new("hermit", 1);
    let_work(&mut shared(), "hermit", &story);
    shared().forbid("hermit", "Read", &["--group", "hermit"]).unwrap();
    let login = Login::new(&shared(), "hermit", PASSWORD);
    let mut worker = story.worker(&login.with(&[]));
    worker.says("roup authorization failed");
    not_ready(&mut worker, "not-member");
    story.produce(0..1);
    shared().allow("hermit", "Read", &["--group", "hermit"]).unwrap();
    story.results(0..1);
    ready(&mut worker);
    stop(worker);
}
