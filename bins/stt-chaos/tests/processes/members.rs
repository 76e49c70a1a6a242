//! Workers that come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stt_core::{Clock as _, SystemClock};

use crate::site::Site;

#[test]
fn of_two_running_jobs_a_second_worker_does_one_again_and_each_has_one_result() {
    let site = Site::start(2);
    let first = site.worker("first", &[]);
    let jobs = site.publish_to_both("held");
    // One job of each partition runs; those before it in its partition are let go.
    let running: Vec<usize> = [0, 1]
        .iter()
        .filter_map(|partition| jobs.iter().rposition(|of| of == partition))
        .collect();
    (0..jobs.len())
        .filter(|number| !running.contains(number))
        .for_each(|number| site.let_go(number));
    site.until_running(0..jobs.len());
    let mut second = site.worker("second", &[]);
    second.says("begun job");
    running.iter().for_each(|number| site.let_go(*number));
    site.until_passed();
    let runs: usize = running.iter().map(|number| site.runs(*number)).sum();
    assert_eq!(runs, 3, "one stays with its worker, one moves");
    let count = jobs.len();
    let account = site.account([first, second]);
    account.assert_completed_once(0..count);
    account.assert_jobs(count);
}

#[test]
fn workers_that_join_and_leave_under_load_cost_no_job_and_double_none() {
    let site = Site::start(4);
    let patient = ["--leave-wait-ms", "30000"];
    let steady = site.worker("steady", &patient);
    let is_over = AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                site.publish(count, "good", 100);
                count += 1;
                SystemClock.sleep(Duration::from_millis(50));
            }
            count
        });
        let joins_and_leaves = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for name in ["a", "b", "c"] {
                let mut guest = site.worker(name, &patient);
                guest.says(" completed: ");
                guest.leave();
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        let count = load.join().expect("publishing goes on");
        joins_and_leaves
            .map(|()| count)
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    site.until_passed();
    assert!(
        !site.logs().contains("that ended before it was done"),
        "nobody has crashed"
    );
    let account = site.account([steady]);
    account.assert_completed_once(0..count);
    account.assert_jobs(count);
}

#[test]
fn a_job_that_takes_three_times_the_poll_interval_keeps_its_membership() {
    let site = Site::start(1);
    let worker = site.worker("only", &["--poll-interval-max-ms", "6000"]);
    site.publish(0, "good", 18_000);
    site.publish(1, "good", 1);
    site.until_passed();
    assert_eq!([site.runs(0), site.runs(1)], [1, 1]);
    let said = worker.said();
    assert_eq!(said.matches("partitions assigned: stt").count(), 1, "{said}");
    assert!(
        !said.contains("partitions lost") && !said.contains("partitions revoked"),
        "{said}"
    );
    site.account([worker]).assert_completed_once(0..2);
}
