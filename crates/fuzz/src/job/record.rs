//! A record with its key and headers, and what is published about it.

use std::time::{Duration, SystemTime};

use stt_core::{Case, Delivery, ErrorCode, Failure, FailureStage, Fault, Limits, OutcomeKind, RETRY_HEADERS};
use stt_schema::{DeadLetter, Job, JobResult};

pub(super) fn check(delivery: &Delivery) {
    let limits = Limits {
        job_bytes_max: 1024, // within a fuzzer's reach
        ..Limits::default()
    };
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_106);
    let case = Case::open(delivery.clone(), &limits);
    assert!(
        (1..=limits.attempts_max).contains(&case.number()),
        "try {}",
        case.number()
    );
    assert!(!case.key().is_empty());
    assert!(case.wait(wall, &limits) <= limits.backoff.max.max(limits.retry_after_max));

    let payload = delivery.payload.as_deref().unwrap_or_default();
    let failure = match case.job() {
        Ok(job) => {
            assert_eq!(Job::parse(payload).ok().as_ref(), Some(job));
            Failure::transient(ErrorCode::DownloadFailed, "the download failed")
        }
        Err(failure) => {
            assert_eq!(failure.code.stage(), FailureStage::Validation);
            assert!(matches!(failure.fault, Fault::Permanent));
            failure
        }
    };
    let letter = fails(&case, &failure, wall);
    assert_eq!(letter.attempt, case.number());

    let again = retried(&case, &failure, wall);
    let case_again = Case::open(again, &limits);
    assert_eq!(case_again.number(), (case.number() + 1).min(limits.attempts_max));
    assert!(case_again.wait(wall, &limits) <= WAIT);
    let letter_again = fails(&case_again, &failure, wall);
    let origin = |letter: &DeadLetter| {
        let topic = letter.original_topic.clone();
        (topic, letter.original_partition, letter.original_offset)
    };
    assert_eq!(origin(&letter_again), origin(&letter));

    // A job that ends processes is given up, and its sender still told whose it was.
    let suspect = Case::open(delivery.clone(), &limits).begun_before(limits.attempts_max, &limits);
    assert!(suspect.job().is_err());
    assert_eq!(suspect.job_id(), case.job_id());
}

const WAIT: Duration = Duration::from_millis(700);

/// The dead letter of the record, which goes with a result that says the same.
fn fails(case: &Case, failure: &Failure, wall: SystemTime) -> DeadLetter {
    let OutcomeKind::Failed {
        result,
        dead_letter,
        headers,
    } = case.failed(failure, "tiny", wall)
    else {
        panic!("a failure that is none")
    };
    let result: JobResult = serde_json::from_slice(&result).expect("a result that is written can be read");
    let letter = DeadLetter::parse(&dead_letter).expect("a dead letter that is written can be read");
    assert_eq!(letter.payload, case.delivery().payload);
    assert_eq!(headers, case.delivery().headers);
    assert_eq!(result.error_code, Some(letter.error_code));
    let message = result.error_message.expect("a failure has a message");
    assert!(message.chars().count() <= 1024);
    assert_eq!(message, letter.error_message);
    letter
}

/// The record of the next try.
fn retried(case: &Case, failure: &Failure, wall: SystemTime) -> Delivery {
    let OutcomeKind::Retry { payload, headers } = case.retry(WAIT, failure, wall) else {
        panic!("a retry that is none")
    };
    let before = case.delivery();
    assert_eq!(payload, before.payload.clone().unwrap_or_default());
    for header in &before.headers {
        let is_ours = RETRY_HEADERS.contains(&header.key.as_str());
        assert!(is_ours || headers.contains(header), "{header:?} is lost");
    }
    Delivery {
        offset: before.offset + 1,
        payload: Some(payload),
        headers,
        ..before.clone()
    }
}
