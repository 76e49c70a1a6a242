//! SIGTERM.

use std::time::{Duration, Instant};

use crate::site::Site;

/// Longer than any of these stories takes: who waits for it is seen.
const LONG: &str = "600000";

#[test]
fn with_nothing_to_do_a_worker_ends_at_once() {
    let site = Site::start(1);
    let mut worker = site.worker("only", &["--grace-ms", LONG]);
    worker.says("partitions assigned");
    let asked = Instant::now();
    worker.leave();
    assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", asked.elapsed());
    site.read().assert_jobs(0);
}

#[test]
fn a_job_that_ends_within_the_grace_is_finished_and_passed() {
    let site = Site::start(1);
    let mut worker = site.worker("only", &["--grace-ms", LONG]);
    site.publish(0, "held", 0);
    site.until_running([0]);
    worker.terminate();
    worker.says("asked to stop");
    site.let_go(0);
    let status = worker.end();
    assert!(status.success(), "{status}");
    site.until_passed();
    assert_eq!(site.runs(0), 1);
    site.read().assert_completed_once([0]);
}

#[test]
fn a_job_that_does_not_end_within_the_grace_is_left_for_the_next_worker_without_suspicion() {
    let site = Site::start(1);
    let first = site.worker("first", &["--grace-ms", "500"]);
    site.publish(0, "held", 0);
    site.until_running([0]);
    first.leave();
    site.let_go(0);
    let second = site.worker("second", &[]);
    site.until_passed();
    assert_eq!(site.runs(0), 2);
    assert!(!second.said().contains("that ended before it was done"));
    site.account([second]).assert_completed_once([0]);
}

#[test]
fn with_the_broker_dead_a_worker_ends_all_the_same_and_the_next_one_does_its_job() {
    let site = Site::start(1);
    let first = site.worker("first", &["--grace-ms", "1000"]);
    site.publish(0, "held", 0);
    site.until_running([0]);
    site.broker.go_down().expect("it is up");
    first.terminate();
    let status = first.end(); // which has a bound
    assert!(status.success(), "{status}");
    site.broker.come_back().expect("it is down");
    site.let_go(0);
    let second = site.worker("second", &[]);
    site.until_passed();
    site.account([second]).assert_completed_once([0]);
}
