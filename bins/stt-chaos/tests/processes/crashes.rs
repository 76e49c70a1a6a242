//! Workers that are killed, and a job that kills them.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;
use stt_schema::ErrorCode;

use crate::site::Site;

#[test]
fn a_job_whose_worker_is_killed_is_done_again_by_the_next_one_and_suspected() {
    let site = Site::start(1);
    let first = site.worker("first", &[]);
    site.publish(0, "held", 0);
    site.until_running([0]);
    site.until_noted("s1;;0x1");
    first.kill();
    site.let_go(0);
    let mut second = site.worker("second", &[]);
    second.says("was started by 1 worker processes that ended before it was done");
    site.until_passed();
    assert_eq!(site.runs(0), 2);
    let account = site.account([second]);
    account.assert_completed_once([0]);
    account.assert_jobs(1);
}

#[test]
fn a_spare_worker_without_a_partition_takes_over_from_one_that_is_killed() {
    let site = Site::start(1);
    let mut owner = site.worker("owner", &[]);
    owner.says("partitions assigned: stt.jobs[0]");
    let mut spare = site.worker("spare", &[]);
    spare.says("partitions assigned: none");
    site.publish(0, "held", 0);
    site.until_running([0]);
    assert!(!spare.said().contains("begun job"));
    owner.kill();
    spare.says("partitions assigned: stt.jobs[0]");
    site.let_go(0);
    site.account([spare]).assert_completed_once([0]);
}

#[test]
fn of_nine_jobs_only_the_one_in_hand_is_done_again_after_a_kill() {
    let site = Site::start(1);
    site.publish(0, "held", 0);
    for number in 1..9 {
        site.publish(number, "good", 1);
    }
    let first = site.worker("first", &[]);
    site.until_running(0..9);
    site.until_noted("s1;1-8;0x1");
    first.kill();
    site.let_go(0);
    let second = site.worker("second", &[]);
    site.until_passed();
    assert_eq!(
        (0..9).map(|number| site.runs(number)).collect::<Vec<_>>(),
        [2, 1, 1, 1, 1, 1, 1, 1, 1]
    );
    let account = site.account([second]);
    account.assert_completed_once(0..9);
    account.assert_jobs(9);
}

#[test]
fn a_job_that_ends_its_process_three_times_is_a_dead_letter_and_its_mates_are_done() {
    let site = Site::start(1);
    site.publish(0, "poison", 0);
    for number in 1..6 {
        site.publish(number, "good", 1);
    }
    // One at a time, so that none of the mates can be done, and its outcome not yet committed, when the process ends.
    let options = ["--session-ms", "4000", "--concurrency", "1", "--queue-max", "0"];
    for name in ["first", "second", "third"] {
        let status = site.worker(name, &options).end();
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{name}: {status}");
    }
    let last = site.worker("last", &options);
    site.until_passed();
    assert_eq!(
        (0..6).map(|number| site.runs(number)).collect::<Vec<_>>(),
        [3, 1, 1, 1, 1, 1]
    );
    let account = site.account([last]);
    account.assert_failed_once([0], ErrorCode::WorkerCrashed);
    account.assert_completed_once(1..6);
    account.assert_jobs(6);
}
