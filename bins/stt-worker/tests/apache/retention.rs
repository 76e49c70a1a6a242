//! Jobs that the broker deleted before they were read.

use rustix::process::Signal;

use crate::story::{Story, shared, stop};

#[test]
fn a_group_that_fell_behind_the_oldest_record_goes_on_there() {
    let story = Story::new("overtaken", 1);
    let jobs = story.topic("jobs");
    let mut worker = story.worker(&[]);
    worker.says("partitions assigned: ");
    story.produce(0..1);
    story.passed(1);
    stop(worker);

    // While nobody reads.
    story.produce(1..5);
    shared().delete_records(&jobs, 0, 3).unwrap();
    let mut worker = story.worker(&[]);
    worker.says("partitions assigned: ");
    let found = story.results(3..5);
    assert_eq!(found.keys().collect::<Vec<_>>(), [&0, &3, &4], "1 and 2 are gone");
    story.passed(5);

    // While a member is silent, for less than its session.
    worker.signal(Signal::STOP);
    story.produce(5..9);
    shared().delete_records(&jobs, 0, 8).unwrap();
    worker.signal(Signal::CONT);
    let found = story.results(8..9);
    assert!(found.values().all(|results| results.len() == 1), "{found:?}");
    story.passed(9);
    let said = stop(worker);
    assert!(
        said.contains("overtaken.jobs[0]: retention deleted 2 offsets before they were read"),
        "{said}"
    );
    // The second time two or three: the first of them may have been on its way already.
    assert_eq!(
        said.matches("overtaken.jobs[0]: retention deleted ").count(),
        2,
        "{said}"
    );
}
