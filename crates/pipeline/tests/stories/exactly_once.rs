//! Outcomes and offsets in transactions.

use std::sync::Arc;
use stt_core::{Destination, ErrorCode, Failure};
use stt_testkit::{MemoryBroker, Script};

use crate::support::{job, ok, start_exactly_once, transient};

fn jobs(count: u32) -> MemoryBroker {
    let broker = MemoryBroker::default();
    (0..count).for_each(|number| broker.produce(None, &job(number), vec![]));
    broker
}

#[test]
fn an_aborted_transaction_is_made_again_and_its_jobs_are_not_done_again() {
    let broker = jobs(5);
    let moved = || Failure::transient(ErrorCode::PublishFailed, "the group is rebalancing");
    broker.refuse([moved(), moved(), moved()]);
    let transcribe = ok();
    let rig = start_exactly_once(&broker, ok(), transcribe.clone());
    rig.committed(5);
    assert_eq!((transcribe.calls(), rig.codes().len()), (5, 5));
    assert!(broker.commits().is_sorted(), "{:?}", broker.commits());
    assert_eq!(broker.metadata(), "");
    let report = rig.stop();
    assert_eq!((report.published, report.committed), (5, true));
}

#[test]
fn retries_and_failures_go_the_same_way() {
    let broker = jobs(1);
    broker.produce(None, b"not a job", vec![]);
    let rig = start_exactly_once(&broker, Arc::new(Script::answering([Some(transient())])), ok());
    rig.committed(3);
    let roles: Vec<_> = broker
        .published()
        .into_iter()
        .map(|record| record.destination)
        .collect();
    let count = |role| roles.iter().filter(|found| **found == role).count();
    assert_eq!(
        [Destination::Retries, Destination::Results, Destination::DeadLetters].map(count),
        [1, 2, 1]
    );
    rig.stop();
}

#[test]
fn a_result_that_never_fits_fails_its_job_alone() {
    let broker = jobs(1);
    let transcribe = Arc::new(Script::gated());
    let rig = start_exactly_once(&broker, ok(), transcribe.clone());
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    broker.refuse([Failure::permanent(ErrorCode::ResultTooLarge, "over 1 MB")]);
    transcribe.open();
    rig.committed(1);
    assert_eq!(rig.codes(), [Some("RESULT_TOO_LARGE".into())]);
    rig.stop();
}

#[test]
fn a_publisher_that_was_fenced_ends_the_pipeline_with_nothing_passed() {
    let broker = jobs(1);
    broker.refuse([Failure::fatal(ErrorCode::PublishFailed, "fenced by a newer producer")]);
    let rig = start_exactly_once(&broker, ok(), ok());
    let ended = rig.thread.join().unwrap().unwrap_err();
    assert_eq!(ended.to_string(), "cannot go on: fenced by a newer producer");
    assert_eq!((broker.published().len(), broker.passed()), (0, 0));
}

#[test]
fn after_it_was_fenced_a_publisher_makes_no_further_transaction() {
    let broker = jobs(1);
    let transcribe = Arc::new(Script::gated());
    let rig = start_exactly_once(&broker, ok(), transcribe.clone());
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    broker.refuse([Failure::fatal(ErrorCode::PublishFailed, "fenced by a newer producer")]);
    transcribe.open();
    rig.thread.join().unwrap().unwrap_err();
    assert_eq!(
        (broker.published().len(), broker.passed()),
        (0, 0),
        "the next would have been taken"
    );
}
