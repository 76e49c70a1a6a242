//! The same job, delivered more than once.

use std::sync::Arc;

use stt_core::{Destination, ErrorCode, Failure, Header};
use stt_testkit::{MemoryBroker, Script};

use crate::support::{job, ok, start, transient};

#[test]
fn a_duplicate_that_comes_while_its_twin_runs_ends_with_it_and_one_that_comes_later_is_passed() {
    let broker = MemoryBroker::default();
    (0..2).for_each(|_| broker.produce(None, &job(1), vec![]));
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |config| config.concurrency = 2);
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    transcribe.open();
    rig.committed(2);
    broker.produce(None, &job(1), vec![]);
    rig.committed(3);
    assert_eq!((transcribe.calls(), broker.json(Destination::Results).len()), (1, 1));
    rig.stop();
}

#[test]
fn a_duplicate_of_a_job_that_failed_is_no_second_dead_letter() {
    let broker = MemoryBroker::default();
    (0..2).for_each(|_| broker.produce(None, &job(1), vec![]));
    let fetch = Arc::new(Script::answering((0..3).map(|_| Some(transient()))));
    let rig = start(&broker, fetch, ok(), |_| ());
    rig.committed(4); // the two, and two retries of the first
    assert_eq!(
        (
            broker.json(Destination::Results).len(),
            broker.json(Destination::DeadLetters).len()
        ),
        (1, 1)
    );
    rig.stop();
}

#[test]
fn a_failed_job_that_is_sent_again_gets_a_new_outcome() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let gone = || Failure::permanent(ErrorCode::DownloadHttpStatus, "status 404");
    let fetch = Arc::new(Script::answering([Some(gone())]));
    let rig = start(&broker, fetch, ok(), |_| ());
    rig.committed(1);
    broker.produce(None, &job(1), vec![]);
    rig.committed(2);
    assert_eq!(rig.codes(), [Some("DOWNLOAD_HTTP_STATUS".into()), None]);
    rig.stop();
}

#[test]
fn who_asks_for_it_has_a_job_done_again() {
    let broker = MemoryBroker::default();
    let off = Header {
        key: "dedup".into(),
        value: Some(b"off".to_vec()),
    };
    broker.produce(None, &job(1), vec![]);
    broker.produce(None, &job(1), vec![off]);
    let rig = start(&broker, ok(), ok(), |_| ());
    rig.committed(2);
    assert_eq!(broker.json(Destination::Results).len(), 2);
    rig.stop();
}

#[test]
fn with_nothing_to_be_remembered_a_duplicate_is_done_again() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let rig = start(&broker, ok(), ok(), |config| config.idempotency_entries_max = 0);
    rig.committed(1);
    broker.produce(None, &job(1), vec![]);
    rig.committed(2);
    assert_eq!(broker.json(Destination::Results).len(), 2);
    rig.stop();
}
