//! Members that have a name (`group.instance.id`).

use rustix::process::Signal;

use crate::story::{Story, eventually, pause, stop};
use crate::worker::Worker;

fn named<'a>(name: &'a str) -> [(&'a str, &'a str); 2] {
    [
        ("KAFKA_CONF_GROUP_INSTANCE_ID", name),
        // Its restart fits in.
        ("KAFKA_CONF_SESSION_TIMEOUT_MS", "20000"),
    ]
}

/// How often it was told what it owns.
fn assignments(worker: &mut Worker) -> usize {
    worker.hear();
    let count = |text| worker.said.matches(text).count();
    // A member that came when all was taken is told so, and then what it gets.
    count("partitions assigned: ") - count("partitions assigned: none") + count("partitions revoked: ")
}

#[test]
fn a_member_that_restarts_within_its_session_disturbs_nobody() {
    let story = Story::new("named", 2);
    let mut one = story.worker(&named("one"));
    one.says("partitions assigned: ");
    let mut two = story.worker(&named("two"));
    two.says("partitions assigned: named.jobs");
    story.produce(0..6);
    story.passed(6);
    let (before_one, before_two) = (assignments(&mut one), assignments(&mut two));
    assert_eq!((before_one, before_two), (2, 1), "{}\n{}", one.said, two.said);

    for signal in [Signal::TERM, Signal::KILL] {
        two.signal(signal);
        two.end();
        story.produce(6..12);
        two = story.worker(&named("two"));
        two.says("partitions assigned: named.jobs");
    }
    story.produce(12..18);
    story.results(0..18);
    story.passed(24); // the middle ones were produced twice
    assert_eq!(assignments(&mut one), before_one, "{}", one.said);
    stop(one);
    stop(two);
}

#[test]
fn of_two_with_the_same_name_the_elder_ends() {
    let story = Story::new("doubles", 1);
    let mut elder = story.worker(&named("twin"));
    elder.says("partitions assigned: ");
    let mut younger = story.worker(&named("twin"));
    younger.says("partitions assigned: ");
    assert_eq!(elder.end().code(), Some(1), "{}", elder.said);
    let last = elder.said.lines().last().unwrap();
    assert!(last.contains("ERROR ") && last.contains("instance"), "{}", elder.said);
    pause(1_000);
    story.produce(0..1);
    story.results(0..1);
    eventually("the younger one passes it", || story.committed() == 1);
    stop(younger);
}

/// Stopped in the middle of a job for longer than its session, it finds its partitions with another when it wakes.
#[test]
fn a_member_that_slept_through_its_session_takes_nothing_back() {
    let story = Story::new("sleeper", 1);
    // However long it sleeps, its download does not end by timeout: that would be published as a retry.
    let mut sleeper = story.worker(&[("AUDIO_DOWNLOAD_TIMEOUT", "600")]);
    sleeper.says("partitions assigned: ");
    story.site.close();
    story.produce(0..4);
    story.site.wait_for_visitors(1);
    sleeper.signal(Signal::STOP);
    let mut other = story.worker(&[]);
    other.says("partitions assigned: sleeper.jobs");
    story.site.open();
    story.results(0..4);
    story.passed(4);

    sleeper.signal(Signal::CONT);
    sleeper.says("partitions lost: ");
    pause(2_000);
    assert_eq!(story.committed(), 4);
    let found = story.results(0..4);
    assert!(found.values().all(|results| results.len() <= 2), "{found:?}");
    story.produce(4..8);
    let found = story.results(4..8);
    assert!((4..8).all(|number| found[&number].len() == 1), "{found:?}");
    story.passed(8);
    stop(sleeper);
    stop(other);
}
