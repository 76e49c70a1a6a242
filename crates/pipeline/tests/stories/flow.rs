//! What becomes of a job: done, tried again, failed, left.

use std::sync::Arc;
use std::time::Duration;

use stt_core::{CoordinatorConfig, Destination, DetailLevel, ErrorCode, Failure, Fault, Header, NotReady};
use stt_testkit::{MemoryBroker, Script};

use crate::support::{job, ok, start, transient};

#[test]
fn junk_becomes_a_failed_result_and_a_dead_letter_and_the_next_job_is_unaffected() {
    let broker = MemoryBroker::default();
    broker.produce(Some("k"), b"not json", vec![]);
    broker.produce(None, &job(1), vec![]);
    let rig = start(&broker, ok(), ok(), |_| ());
    rig.committed(2);
    assert_eq!(rig.codes(), [Some("INVALID_JSON".into()), None]);
    let letters = broker.json(Destination::DeadLetters);
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (&letters[0]["failureStage"], &letters[0]["originalB64"]),
        (&"VALIDATION".into(), &"bm90IGpzb24=".into())
    );
    let good = &broker.json(Destination::Results)[1];
    assert_eq!(
        (&good["transcriptText"], &good["detectedLanguage"]),
        (&"hello".into(), &"mr".into())
    );
    let report = rig.stop();
    assert_eq!((report.published, report.abandoned, report.committed), (2, 0, true));
}

#[test]
fn results_tell_as_much_as_the_operator_asks_for() {
    for (level, change) in [
        (DetailLevel::None, (|_| ()) as fn(&mut CoordinatorConfig)),
        (DetailLevel::Segments, |config| config.detail = DetailLevel::Segments),
        (DetailLevel::Words, |config| config.detail = DetailLevel::Words),
    ] {
        let broker = MemoryBroker::default();
        broker.produce(None, &job(1), vec![]);
        let rig = start(&broker, ok(), ok(), change);
        rig.committed(1);
        let detail = broker.json(Destination::Results)[0].remove("detail");
        assert_eq!(detail.is_some(), level != DetailLevel::None);
        let detail = detail.unwrap_or_default();
        let words = (level == DetailLevel::Words).then(|| " hello".into());
        assert_eq!(
            detail.pointer("/segments/0/words/0/word"),
            words.as_ref(),
            "{level:?}: {detail}"
        );
        rig.stop();
    }
}

#[test]
fn a_transient_failure_is_tried_again_with_its_attempt_and_passed_only_then() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let fetch = Arc::new(Script::answering([Some(transient()), Some(transient())]));
    let rig = start(&broker, fetch.clone(), ok(), |_| ());
    rig.committed(3);
    let attempts: Vec<_> = broker
        .published()
        .into_iter()
        .map(|record| (record.destination, attempt(&record.headers)))
        .collect();
    assert_eq!(
        attempts,
        [
            (Destination::Retries, Some("2".into())),
            (Destination::Retries, Some("3".into())),
            (Destination::Results, None)
        ]
    );
    assert_eq!((fetch.calls(), rig.codes()), (3, vec![None]));
    rig.stop();
}

fn attempt(headers: &[Header]) -> Option<String> {
    let header = headers.iter().find(|header| header.key == "attempt")?;
    String::from_utf8(header.value.clone()?).ok()
}

#[test]
fn a_transient_failure_that_stays_is_a_dead_letter_after_the_last_try() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let rig = start(
        &broker,
        Arc::new(Script::answering((0..9).map(|_| Some(transient())))),
        ok(),
        |_| (),
    );
    rig.committed(3);
    let letter = &broker.json(Destination::DeadLetters)[0];
    assert_eq!((&letter["attempt"], &letter["originalOffset"]), (&3.into(), &0.into()));
    assert_eq!(
        (&letter["failureStage"], &letter["errorCode"]),
        (&"DOWNLOAD".into(), &"DOWNLOAD_HTTP_STATUS".into())
    );
    rig.stop();
}

#[test]
fn a_panic_fails_its_job_alone() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let rig = start(&broker, ok(), Arc::new(Script::panicking()), |_| ());
    rig.committed(3);
    assert_eq!(rig.codes(), [Some("WORKER_CRASHED".into())]);
    rig.stop();
}

#[test]
fn a_fault_of_the_worker_costs_the_job_nothing() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let full = Failure::worker_local(ErrorCode::DownloadFailed, "no space left on device");
    let fetch = Arc::new(Script::answering([Some(full)]));
    let rig = start(&broker, fetch.clone(), ok(), |_| ());
    rig.committed(1);
    assert_eq!(
        (fetch.calls(), rig.codes(), broker.published().len()),
        (2, vec![None], 1)
    );
    rig.stop();
}

#[test]
fn an_outcome_that_the_broker_refuses_is_held_and_nothing_is_passed() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    broker.refuse([Failure::worker_local(
        ErrorCode::PublishFailed,
        "unknown topic stt.results",
    )]);
    let transcribe = ok();
    let rig = start(&broker, ok(), transcribe.clone(), |_| ());
    rig.committed(1);
    assert_eq!(
        (transcribe.calls(), rig.codes()),
        (1, vec![None]),
        "published again, not done again"
    );
    rig.stop();
}

#[test]
fn a_refused_outcome_is_named_in_the_status() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let denied = || Failure::worker_local(ErrorCode::PublishFailed, "may not write to stt.results");
    broker.refuse([denied(), denied()]);
    let rig = start(&broker, ok(), ok(), |_| ());
    let refusals = |_: &MemoryBroker| {
        rig.board
            .status()
            .outcomes
            .first()
            .is_some_and(|outcome| outcome.refusals == 2)
    };
    assert!(broker.wait_until(refusals), "{:?}", rig.board.status());
    rig.committed(1);
    assert!(broker.wait_until(|_| rig.board.status().outcomes.is_empty()));
    assert_eq!(rig.board.ready(), Ok(()));
    rig.stop();
}

#[test]
fn a_result_that_never_fits_is_a_dead_letter() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    broker.refuse([Failure::permanent(ErrorCode::ResultTooLarge, "over 1 MB")]);
    let rig = start(&broker, ok(), ok(), |_| ());
    rig.committed(1);
    assert_eq!(rig.codes(), [Some("RESULT_TOO_LARGE".into())]);
    assert_eq!(broker.json(Destination::DeadLetters)[0]["failureStage"], "PUBLISH");
    rig.stop();
}

#[test]
fn intake_pauses_when_enough_is_in_hand_and_resumes() {
    let broker = MemoryBroker::default();
    (0..20).for_each(|number| broker.produce(None, &job(number), vec![]));
    let fetch = Arc::new(Script::gated());
    let rig = start(&broker, fetch.clone(), ok(), |config| config.queue_max = 3);
    assert!(broker.wait_until(|broker| broker.pauses() == 1));
    assert_eq!(broker.passed(), 0);
    let full = |_: &MemoryBroker| rig.board.status().open == 8 && rig.board.status().intake_paused;
    assert!(
        broker.wait_until(full),
        "two windows of 4 jobs: {:?}",
        rig.board.status()
    );
    fetch.open();
    rig.committed(20);
    assert!(broker.wait_until(|_| !rig.board.status().intake_paused));
    rig.stop();
}

#[test]
fn a_refused_commit_is_made_again() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    broker.refuse_commits(2);
    let rig = start(&broker, ok(), ok(), |_| ());
    rig.committed(1);
    rig.stop();
}

#[test]
fn a_partition_revoked_while_transcribing_commits_and_publishes_nothing_of_it() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |_| ());
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    broker.revoke(false);
    assert!(broker.wait_until(|broker| broker.releases() == 1));
    let report = rig.stop();
    assert_eq!((broker.published().len(), broker.passed()), (0, 0));
    assert_eq!((report.published, report.abandoned), (0, 1));
}

#[test]
fn a_stop_finishes_what_runs_and_leaves_the_rest() {
    let broker = MemoryBroker::default();
    (0..3).for_each(|number| broker.produce(None, &job(number), vec![]));
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |config| config.queue_max = 0);
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    rig.stopping.stop();
    let board = Arc::clone(&rig.board);
    assert!(broker.wait_until(|_| board.ready() == Err(NotReady::Stopping)));
    transcribe.open();
    let report = rig.stop();
    assert_eq!((report.published, report.abandoned, report.committed), (1, 1, true));
    assert_eq!((broker.passed(), transcribe.calls()), (1, 1));
    let again = start(&broker, ok(), ok(), |_| ());
    again.committed(3);
    again.stop();
    assert_eq!(broker.json(Destination::Results).len(), 3);
}

#[test]
fn a_stop_does_not_wait_for_a_job_beyond_the_grace() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let transcribe = Arc::new(Script::gated());
    let rig = start(&broker, ok(), transcribe.clone(), |config| {
        config.shutdown_grace = Duration::from_millis(30)
    });
    assert!(broker.wait_until(|_| transcribe.calls() == 1));
    let report = rig.stop();
    assert_eq!((report.published, report.abandoned), (0, 1));
    assert!(broker.published().is_empty() && broker.passed() == 0);
}

#[test]
fn a_fatal_fault_ends_the_pipeline_and_leaves_the_job_for_another() {
    let broker = MemoryBroker::default();
    broker.produce(None, &job(1), vec![]);
    let gone = Failure {
        fault: Fault::Fatal,
        ..Failure::permanent(ErrorCode::TranscribeFailed, "the GPU is gone")
    };
    let rig = start(&broker, ok(), Arc::new(Script::answering([Some(gone)])), |_| ());
    let ended = rig.thread.join().unwrap().unwrap_err();
    assert_eq!(ended.to_string(), "cannot go on: the GPU is gone");
    assert!(broker.published().is_empty() && broker.passed() == 0);
}
