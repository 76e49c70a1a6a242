//! Records that come twice, and records that are no jobs.

use stt_schema::ErrorCode;

use crate::site::Site;

#[test]
fn a_job_that_is_published_again_while_it_runs_and_when_it_is_done_runs_once() {
    let site = Site::start(1);
    let mut worker = site.worker("only", &[]);
    site.publish(0, "held", 0);
    site.publish(0, "held", 0);
    site.publish(1, "good", 1);
    site.until_completed([1]); // which is behind the second of them
    site.let_go(0);
    site.until_passed();
    site.publish(0, "held", 0);
    site.until_passed();
    worker.says("is a duplicate of a job completed recently");
    assert_eq!(site.runs(0), 1);
    let account = site.account([worker]);
    account.assert_completed_once(0..2);
    account.assert_jobs(2);
}

#[test]
fn a_thousand_records_of_junk_are_dead_letters_and_the_job_behind_them_is_done() {
    const JUNK: usize = 1000;
    const PRODUCERS: usize = 8;
    let site = Site::start(1);
    std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let site = &site;
            scope.spawn(move || {
                for number in (producer..JUNK).step_by(PRODUCERS) {
                    site.publish(number, "junk", 0);
                }
            });
        }
    });
    site.publish(JUNK, "good", 1);
    // Every pause of intake costs a fetch, of up to a second.
    let worker = site.worker("only", &["--queue-max", "500"]);
    let account = site.account([worker]);
    account.assert_failed_once(0..JUNK, ErrorCode::InvalidJson);
    account.assert_completed_once([JUNK]);
    account.assert_jobs(JUNK + 1);
}
