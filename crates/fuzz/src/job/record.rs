//! A record with its key and headers, and what is published about it.

use std::time::{Duration, SystemTime};

use stt_core::{
    Delivery, Destination, ErrorCode, Failure, FailureStage, Fault, Form, Header, IncomingJob, Limits, RETRY_HEADERS,
};
use stt_schema::{DeadLetter, Job, JobResult};

pub(super) fn check(delivery: &Delivery) {
    let limits = Limits {
        job_bytes_max: 1024, // within a fuzzer's reach
        ..Limits::default()
    };
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_106);
    let incoming = IncomingJob::parse(delivery.clone(), &limits);
    let attempt = incoming.attempt();
    assert!((1..=limits.attempts_max).contains(&attempt), "attempt {attempt}");
    assert!(!incoming.key(Form::Full).is_empty());
    let delay = incoming.delay(wall, &limits);
    assert!(delay <= limits.backoff.max);
    assert!(
        delay.is_zero() || (attempt > 1 && incoming.job().is_ok()),
        "only a retry waits"
    );

    let payload = delivery.payload.as_deref().unwrap_or_default();
    let failure = match incoming.job() {
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
    let letter = failed(&incoming, &failure, wall);
    assert_eq!(letter.attempt, attempt);

    let again = IncomingJob::parse(retried(&incoming, &failure, wall), &limits);
    assert_eq!(again.attempt(), (attempt + 1).min(limits.attempts_max));
    assert!(again.delay(wall, &limits) <= WAIT);
    let letter_again = failed(&again, &failure, wall);
    let origin = |letter: &DeadLetter| {
        let topic = letter.original_topic.clone();
        (topic, letter.original_partition, letter.original_offset)
    };
    assert_eq!(origin(&letter_again), origin(&letter));

    // A job that ends processes is given up, and its sender still learns whose it was.
    let suspect = IncomingJob::parse(delivery.clone(), &limits).with_crashes(limits.crashes_max, &limits);
    assert!(suspect.job().is_err());
    assert_eq!(suspect.job_id(), incoming.job_id());
}

const WAIT: Duration = Duration::from_millis(700);

/// Whatever a record holds, its smallest outcome fits a broker that takes little.
const REDUCED_BYTES_MAX: usize = 16 * 1024;

/// Other people's headers are passed on up to this.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// The dead letter of the record, which goes with a result that says the same.
fn failed(incoming: &IncomingJob, failure: &Failure, wall: SystemTime) -> DeadLetter {
    let [letter, reduced] = [Form::Full, Form::Reduced].map(|form| {
        let records = incoming.failed(failure, form, "tiny", wall);
        let record = |destination| {
            let mut of = records.iter().filter(|record| record.destination == destination);
            of.next().expect("a failure has a result and a dead letter")
        };
        let (result, letter) = (record(Destination::Results), record(Destination::DeadLetters));
        assert!(header_bytes(&letter.headers) <= HEADER_BYTES_MAX);
        for record in &records {
            let size = record.size();
            assert!(form == Form::Full || size <= REDUCED_BYTES_MAX, "{size} bytes");
        }
        let result: JobResult = serde_json::from_slice(&result.payload).expect("a result that is written can be read");
        let letter = DeadLetter::parse(&letter.payload).expect("a dead letter that is written can be read");
        assert_eq!(result.error_code, Some(letter.error_code));
        let message = result.error_message.expect("a failure has a message");
        assert!(message.chars().count() <= 1024);
        assert_eq!(message, letter.error_message);
        letter
    });
    let payload = &incoming.delivery().payload;
    assert_eq!((&letter.payload, &letter.omitted), (payload, &None));
    let omitted = reduced.omitted.as_ref().map(|omitted| omitted.bytes);
    assert_eq!(omitted, payload.as_ref().map(|payload| payload.len() as u64));
    letter
}

/// The record of the next attempt.
fn retried(incoming: &IncomingJob, failure: &Failure, wall: SystemTime) -> Delivery {
    let records = incoming.retry(WAIT, failure, wall);
    let [record] = records.as_slice() else {
        panic!("{} records of a retry", records.len())
    };
    let before = incoming.delivery();
    assert_eq!(record.destination, Destination::Retries);
    assert_eq!(record.payload, before.payload.clone().unwrap_or_default());
    let is_ours = |header: &&Header| RETRY_HEADERS.contains(&header.key.as_str());
    let theirs: Vec<&Header> = before.headers.iter().filter(|header| !is_ours(header)).collect();
    let bytes: usize = theirs
        .iter()
        .map(|header| header_bytes(std::slice::from_ref(*header)))
        .sum();
    let bounded = theirs.len() > 64 || bytes > HEADER_BYTES_MAX;
    for header in theirs {
        assert!(bounded || record.headers.contains(header), "{header:?} is lost");
    }
    Delivery {
        offset: before.offset + 1,
        payload: Some(record.payload.clone()),
        headers: record.headers.clone(),
        ..before.clone()
    }
}

fn header_bytes(headers: &[Header]) -> usize {
    let size = |header: &Header| header.key.len() + header.value.as_ref().map_or(0, Vec::len);
    headers.iter().map(size).sum()
}
