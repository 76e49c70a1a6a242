//! What an earlier owner of the partition left behind, and how it is found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stt_core::Destination;
use stt_testkit::{MemoryBroker, Script};

use crate::support::{job, ok, start};

fn three_jobs() -> MemoryBroker {
    let broker = MemoryBroker::default();
    (0..3).for_each(|number| broker.produce(None, &job(number), vec![]));
    broker
}

#[test]
fn what_was_done_above_an_open_job_is_not_done_again_after_a_crash() {
    let broker = three_jobs();
    broker.begin_at(0, "s1;1-2;0x1");
    let transcribe = ok();
    let rig = start(&broker, ok(), transcribe.clone(), |_| ());
    rig.committed(3);
    assert_eq!((transcribe.calls(), broker.json(Destination::Results).len()), (1, 1));
    rig.stop();
}

#[test]
fn a_job_that_ended_the_process_too_often_is_a_dead_letter_and_the_next_is_unaffected() {
    let broker = three_jobs();
    broker.begin_at(0, "s1;;0x3");
    let transcribe = ok();
    let rig = start(&broker, ok(), transcribe.clone(), |_| ());
    rig.committed(3);
    assert_eq!(transcribe.calls(), 2);
    assert_eq!(rig.codes().iter().flatten().collect::<Vec<_>>(), ["WORKER_CRASHED"]);
    assert_eq!(broker.json(Destination::DeadLetters)[0]["failureStage"], "TRANSCRIBE");
    rig.stop();
}

#[test]
fn suspects_of_one_crash_run_together() {
    let broker = three_jobs();
    broker.begin_at(0, "s1;;0x1,1x1");
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |config| config.concurrency = 3);
    assert!(broker.wait_until(|_| transcribe.calls() == 3));
    assert_eq!(
        broker.metadata(),
        "s1;;0x2,1x2,2x1",
        "the broker knows of each before it runs"
    );
    transcribe.open();
    rig.committed(3);
    assert_eq!(rig.codes(), [None, None, None]);
    rig.stop();
}

#[test]
fn a_suspect_of_two_crashes_runs_alone() {
    let broker = three_jobs();
    broker.begin_at(0, "s1;;0x2");
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |config| config.concurrency = 3);
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    assert_eq!(broker.metadata(), "s1;;0x3");
    let waits = |_: &MemoryBroker| rig.board.status().queued == 2;
    assert!(broker.wait_until(waits), "{:?}", rig.board.status());
    assert_eq!(transcribe.calls(), 1);
    transcribe.open();
    rig.committed(3);
    assert_eq!(rig.codes(), [None, None, None]);
    rig.stop();
}

#[test]
fn a_job_begins_although_the_broker_takes_no_commits() {
    let broker = three_jobs();
    broker.refuse_commits(u32::MAX);
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |config| {
        config.marker_wait = Duration::from_millis(20)
    });
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    broker.refuse_commits(0);
    transcribe.open();
    rig.committed(3);
    rig.stop();
}

#[test]
fn a_stop_that_leaves_a_job_takes_its_mark_back() {
    let broker = three_jobs();
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |config| {
        config.shutdown_grace = Duration::ZERO;
        config.queue_max = 0;
    });
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    let marked = |broker: &MemoryBroker| broker.metadata() == "s1;;0x1,1x1";
    assert!(
        broker.wait_until(marked),
        "one runs, one is marked ahead: {}",
        broker.metadata()
    );
    let report = rig.stop();
    assert_eq!((report.published, report.abandoned, report.committed), (0, 2, true));
    assert_eq!((broker.passed(), broker.metadata().as_str()), (0, ""));
}

#[test]
fn a_partition_that_is_lost_while_it_is_being_given_up_is_worked_on_when_it_comes_back() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |config| {
        config.leave_wait = Duration::from_millis(50)
    });
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    broker.revoke(false);
    broker.revoke(true);
    broker.give_back();
    let back = Instant::now();
    assert!(broker.wait_until(|_| back.elapsed() > Duration::from_millis(100)));
    transcribe.open();
    rig.committed(1);
    rig.stop();
}

#[test]
fn a_job_that_ran_while_its_partition_was_lost_is_published_when_it_comes_back_and_not_done_again() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |_| ());
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    broker.revoke(true);
    broker.give_back();
    transcribe.open();
    rig.committed(1);
    assert_eq!((transcribe.calls(), rig.codes()), (1, vec![None]));
    assert_eq!(broker.metadata(), "", "and it counts as no crash");
    rig.stop();
}

#[test]
fn a_suspect_whose_partition_was_lost_is_done_when_it_comes_back() {
    let broker = three_jobs();
    broker.begin_at(0, "s1;;0x2");
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |_| ());
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    assert_eq!(
        broker.metadata(),
        "s1;;0x3",
        "which it will be again, with nothing to commit"
    );
    broker.revoke(true);
    transcribe.open();
    let lost = Instant::now();
    assert!(broker.wait_until(|_| lost.elapsed() > Duration::from_millis(100)));
    broker.give_back();
    rig.committed(3);
    assert_eq!(rig.codes(), [None, None, None]);
    rig.stop();
}
