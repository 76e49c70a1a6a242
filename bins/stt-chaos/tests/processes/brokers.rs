//! A broker that is away, refuses, or is slow.

use std::time::Duration;

use stt_kafka::{BrokerError, Request};

use crate::site::{Site, TOPIC};

#[test]
fn an_outage_longer_than_the_session_ends_no_worker_and_has_no_job_done_twice() {
    let site = Site::start(3);
    let mut worker = site.worker("only", &["--concurrency", "3"]);
    for number in 0..3 {
        site.publish(number, "held", 0);
    }
    site.until_running(0..3);
    site.broker.go_down().expect("it is up");
    worker.says("partitions lost");
    site.let_go(0); // ends while the broker is away; the others when it is back
    site.broker.come_back().expect("it is down");
    site.let_go(1);
    site.let_go(2);
    site.until_passed();
    assert!(worker.is_running());
    assert!(!worker.said().contains("that ended before it was done"));
    assert_eq!((0..3).map(|number| site.runs(number)).collect::<Vec<_>>(), [1, 1, 1]);
    let account = site.account([worker]);
    account.assert_completed_once(0..3);
    account.assert_jobs(3);
}

#[test]
fn an_outcome_that_the_broker_fails_to_write_twenty_times_is_written_once() {
    let site = Site::start(1);
    let worker = site.worker("only", &[]);
    site.publish(0, "held", 0);
    site.until_running([0]);
    let errors: Vec<_> = [BrokerError::NotLeader, BrokerError::TimedOut].repeat(10);
    site.broker.fail_next(Request::Produce, &errors);
    site.let_go(0);
    site.until_passed();
    assert_eq!(site.runs(0), 1);
    let account = site.account([worker]);
    account.assert_completed_once([0]);
    account.assert_jobs(1);
}

#[test]
fn commits_on_a_connection_that_breaks_again_and_again_are_made_all_the_same() {
    let site = Site::start(1);
    let mut worker = site.worker("only", &[]);
    site.publish(0, "good", 1);
    site.until_passed();
    site.broker
        .fail_next(Request::OffsetCommit, &[BrokerError::Disconnect; 8]);
    for number in 1..5 {
        site.publish(number, "good", 1);
    }
    worker.says("offset commit refused, repeated soon");
    site.until_passed();
    let account = site.account([worker]);
    account.assert_completed_once(0..5);
    account.assert_jobs(5);
}

#[test]
fn a_broker_that_takes_two_seconds_for_each_answer_costs_time_and_no_membership() {
    let site = Site::start(2);
    let mut worker = site.worker("only", &["--session-ms", "10000"]);
    worker.says("partitions assigned");
    for number in 0..6 {
        site.publish(number, "good", 1);
    }
    site.broker.answer_after(Duration::from_secs(2)).expect("it is up");
    for number in 6..8 {
        site.publish(number, "good", 1);
    }
    site.until_completed(0..8);
    site.broker.answer_after(Duration::ZERO).expect("it is up");
    site.until_passed();
    let said = worker.said();
    assert_eq!(said.matches("partitions assigned: stt").count(), 1, "{said}");
    assert!(
        !said.contains("partitions lost") && !said.contains("partitions revoked"),
        "{said}"
    );
    let account = site.account([worker]);
    account.assert_completed_once(0..8);
    account.assert_jobs(8);
}

#[test]
fn a_partition_without_a_leader_holds_up_no_other_and_is_read_when_it_has_one() {
    let site = Site::start(2);
    let jobs = site.publish_to_both("good");
    let of = |partition| {
        (0..jobs.len())
            .filter(|number| jobs[*number] == partition)
            .collect::<Vec<_>>()
    };
    site.broker.lead(TOPIC, 1, false).expect("there is such a partition");
    let mut worker = site.worker("only", &[]);
    worker.says("partitions assigned: stt.jobs[0] stt.jobs[1]");
    site.until_completed(of(0));
    assert!(
        of(1).into_iter().all(|number| site.runs(number) == 0),
        "nobody can read them"
    );
    site.broker.lead(TOPIC, 1, true).expect("there is such a partition");
    site.until_passed();
    let account = site.account([worker]);
    account.assert_completed_once(0..jobs.len());
}
