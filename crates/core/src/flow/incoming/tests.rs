use super::*;
use crate::{Fault, Partition};

const JOB: &[u8] = include_bytes!("../../../../../fixtures/wire/job.json");

fn delivery(payload: &[u8], headers: &[(&str, &str)]) -> Delivery {
    let headers = headers.iter().map(|(key, value)| Header {
        key: (*key).into(),
        value: Some(value.as_bytes().into()),
    });
    Delivery {
        partition: Partition {
            topic: "stt.jobs".into(),
            id: 2,
        },
        offset: 41,
        key: None,
        payload: Some(payload.into()),
        headers: headers.collect(),
    }
}

fn parse(payload: &[u8], headers: &[(&str, &str)]) -> IncomingJob {
    IncomingJob::parse(delivery(payload, headers), &Limits::default())
}

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_106_789)
}

/// The result and the dead letter of a failure.
fn failed(job: &IncomingJob, failure: &Failure, form: Form) -> [OutcomeRecord; 2] {
    job.failed(failure, form, "small", wall()).try_into().unwrap()
}

#[test]
fn an_attempt_header_need_not_be_a_number() {
    for (text, number) in [
        ("1", 1),
        ("2", 2),
        ("-1", 1),
        ("0", 1),
        ("abc", 1),
        ("", 1),
        ("99999999999", 3),
        ("4", 3),
    ] {
        assert_eq!(parse(JOB, &[("attempt", text)]).attempt(), number, "{text:?}");
    }
    assert_eq!(parse(JOB, &[]).attempt(), 1);
}

#[test]
fn results_carry_a_valid_traceparent_of_the_job() {
    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = |traceparent: &str| {
        let failure = Failure::permanent(ErrorCode::AudioEmpty, "no bytes");
        let job = parse(JOB, &[("traceparent", traceparent), ("other", "x")]);
        job.failed(&failure, Form::Full, "small", wall())[0].headers.clone()
    };
    assert_eq!(headers(VALID), delivery(JOB, &[("traceparent", VALID)]).headers);
    assert_eq!(headers("00-a-b-01"), []);
}

#[test]
fn a_retry_names_its_origin_and_keeps_foreign_headers() {
    let limits = Limits::default();
    let first = parse(JOB, &[("traceparent", "00-a-b-01")]);
    let because = Failure::transient(ErrorCode::DownloadHttpStatus, "status 503");
    let [record] = first
        .retry(Duration::from_millis(700), &because, wall())
        .try_into()
        .unwrap();
    let OutcomeRecord {
        payload,
        headers,
        destination,
        ..
    } = record;
    assert_eq!((payload.as_slice(), destination), (JOB, Destination::Retries));
    let again = Delivery {
        offset: 97,
        headers,
        ..delivery(JOB, &[])
    };
    let shown: Vec<_> = again
        .headers
        .iter()
        .map(|header| (header.key.as_str(), again.header(&header.key).unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            ("traceparent", "00-a-b-01"),
            ("attempt", "2"),
            ("original-topic", "stt.jobs"),
            ("original-partition", "2"),
            ("original-offset", "41"),
            ("retry-not-before", "1767323107489"),
            ("retry-delay-ms", "700"),
            ("last-error", "DOWNLOAD_HTTP_STATUS"),
        ]
    );
    let again = IncomingJob::parse(again, &limits);
    assert_eq!((again.attempt(), again.origin()), (2, ("stt.jobs".into(), 2, 41)));
    let day = Duration::from_secs(86_400);
    for (now, delay, why) in [
        (wall(), 700, "it has just been written"),
        (wall() + Duration::from_millis(500), 200, "it waited in the topic"),
        (wall() + day, 0, "its time has come"),
        (wall() - day, 700, "a clock is wrong"),
    ] {
        assert_eq!(again.delay(now, &limits), Duration::from_millis(delay), "{why}");
    }
}

#[test]
fn only_retries_that_are_jobs_wait_and_not_for_long() {
    let limits = Limits::default();
    let forged = [("retry-delay-ms", "60000")];
    assert_eq!(
        parse(JOB, &forged).delay(wall(), &limits),
        Duration::ZERO,
        "a fresh job"
    );
    let retry = [("retry-delay-ms", "99999999"), ("attempt", "2")];
    assert_eq!(parse(JOB, &retry).delay(wall(), &limits), limits.backoff.max);
    assert_eq!(parse(b"junk", &retry).delay(wall(), &limits), Duration::ZERO);
}

#[test]
fn forged_origins_count_only_when_they_are_whole() {
    let here = ("stt.jobs".to_owned(), 2, 41);
    let long = "x".repeat(500_000);
    for (topic, partition, offset) in [
        (long.as_str(), "0", "7"),
        ("stt jobs", "0", "7"),
        ("", "0", "7"),
        ("stt.jobs", "-1", "7"),
        ("stt.jobs", "0", "x"),
    ] {
        let headers = [
            ("original-topic", topic),
            ("original-partition", partition),
            ("original-offset", offset),
        ];
        assert_eq!(parse(JOB, &headers).origin(), here);
    }
    let some = [("original-topic", "stt.jobs"), ("original-offset", "7")];
    assert_eq!(parse(JOB, &some).origin(), here);
}

#[test]
fn what_is_no_job_still_gets_its_failed_result() {
    let limits = Limits {
        job_bytes_max: 100,
        ..Limits::default()
    };
    let nil = "00000000-0000-0000-0000-000000000000";
    let key = "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01";
    for (payload, key, code, job_id) in [
        (&b"{"[..], None, ErrorCode::InvalidJson, nil),
        (b"{", Some(key), ErrorCode::InvalidJson, key),
        (b"{\"jobId\":\"job-1\"}", Some("key"), ErrorCode::InvalidJob, "job-1"),
        (&[b' '; 101], None, ErrorCode::JobTooLarge, nil),
    ] {
        let delivery = Delivery {
            key: key.map(Into::into),
            ..delivery(payload, &[])
        };
        let job = IncomingJob::parse(delivery, &limits);
        let failure = job.job().unwrap_err();
        assert_eq!((failure.code, failure.fault), (code, Fault::Permanent));
        let [result, letter] = failed(&job, &failure, Form::Full);
        let result: JobResult = serde_json::from_slice(&result.payload).unwrap();
        assert_eq!(
            (result.status, result.error_code, result.job_id.as_str()),
            (Status::Failed, Some(code), job_id)
        );
        let read = DeadLetter::parse(&letter.payload).unwrap();
        assert_eq!(read.payload.as_deref(), Some(payload));
        assert_eq!(letter.key, key.unwrap_or(job_id).as_bytes());
    }
}

/// The golden messages of `fixtures/wire`, byte for byte but for their last newline.
#[test]
fn messages_are_those_of_the_golden_files() {
    let job = parse(JOB.trim_ascii_end(), &[]);
    let segment = crate::Segment {
        avg_logprob: -0.25,
        tokens: vec![1, 2, 3],
        ..Default::default()
    };
    let language = Some(stt_schema::Language::from_tag("mr").unwrap());
    let text = "\u{930}\u{935}\u{940} \u{932}\u{93e} \u{91a}\u{93e}\u{930}".to_owned();
    let transcript = Transcript {
        text,
        language,
        segments: vec![segment],
        ..Default::default()
    };
    let completed = |transcript: &Transcript, detail| {
        let [result] = job
            .completed(transcript, detail, Form::Full, "small", wall())
            .try_into()
            .unwrap();
        let OutcomeRecord { payload, .. } = result;
        payload
    };
    golden(
        "result-completed.json",
        &completed(&transcript, DetailLevel::None),
        include_bytes!("../../../../../fixtures/wire/result-completed.json"),
    );
    golden(
        "result-detail.json",
        &completed(&timed(transcript), DetailLevel::Words),
        include_bytes!("../../../../../fixtures/wire/result-detail.json"),
    );
    let failure = Failure::permanent(ErrorCode::AudioTooLarge, "more than 26214400 bytes");
    let [result, letter] = failed(&job, &failure, Form::Full);
    golden(
        "result-failed.json",
        &result.payload,
        include_bytes!("../../../../../fixtures/wire/result-failed.json"),
    );
    golden(
        "dead-letter.json",
        &letter.payload,
        include_bytes!("../../../../../fixtures/wire/dead-letter.json"),
    );
    let junk = parse(b"not a job", &[]);
    let [_, letter] = failed(&junk, &junk.job().unwrap_err(), Form::Full);
    golden(
        "dead-letter-junk.json",
        &letter.payload,
        include_bytes!("../../../../../fixtures/wire/dead-letter-junk.json"),
    );
}

/// The transcript with all that detail tells.
fn timed(mut transcript: Transcript) -> Transcript {
    transcript.language_probability = Some(0.93);
    transcript.duration_sec = 2.5;
    let segment = &mut transcript.segments[0];
    (segment.start_sec, segment.end_sec) = (0.32, 2.119_999);
    segment.text = format!(" {}", transcript.text);
    segment.no_speech_prob = 0.012_345_67;
    let ends = [(0.32, 0.86, 0.97), (0.86, 1.1, 0.5), (1.28, 2.12, 0.912_345_678)];
    let texts = segment.text.split_inclusive(' ').skip(1);
    segment.words = texts
        .zip(ends)
        .map(|(text, (start_sec, end_sec, probability))| crate::Word {
            start_sec,
            end_sec,
            text: format!(" {}", text.trim_end()),
            probability,
        })
        .collect();
    transcript
}

fn golden(name: &str, found: &[u8], expected: &[u8]) {
    let [found, expected] = [found, expected.trim_ascii_end()].map(String::from_utf8_lossy);
    assert_eq!(found, expected, "fixtures/wire/{name}");
}

#[test]
fn the_reduced_dead_letter_fits_whatever_the_record_was() {
    let huge = Delivery {
        key: Some(vec![b'k'; 300_000]),
        ..delivery(&[0xff; 780_000], &[("original-topic", &"x".repeat(500_000))])
    };
    let job = IncomingJob::parse(huge, &Limits::default());
    let failure = Failure::permanent(ErrorCode::JobTooLarge, "y".repeat(100_000));
    let records = failed(&job, &failure, Form::Reduced);
    assert!(records.iter().all(|record| record.size() < 10_000), "{records:?}");
    let letter = DeadLetter::parse(&records[1].payload).unwrap();
    let omitted = letter.omitted.unwrap();
    assert_eq!(
        (letter.payload, omitted.bytes, omitted.sha256.len()),
        (None, 780_000, 64)
    );
}

#[test]
fn a_job_that_ended_so_many_processes_is_not_run_again() {
    let limits = Limits::default();
    for (crashes, code) in [
        (0, None),
        (2, None),
        (3, Some(ErrorCode::WorkerCrashed)),
        (9, Some(ErrorCode::WorkerCrashed)),
    ] {
        let job = parse(JOB, &[]).with_crashes(crashes, &limits);
        assert_eq!(job.job().err().map(|failure| failure.code), code, "{crashes}");
        let any = Failure::permanent(ErrorCode::AudioEmpty, "no sample");
        let failure = job.job().err().unwrap_or(any);
        let [result, letter] = failed(&job, &failure, Form::Full);
        let result: JobResult = serde_json::from_slice(&result.payload).unwrap();
        assert_eq!(result.correlation_id, parse(JOB, &[]).job().unwrap().correlation_id);
        let letter = DeadLetter::parse(&letter.payload).unwrap();
        assert_eq!(letter.payload.as_deref(), Some(JOB));
    }
    let once = Limits {
        crashes_max: 1,
        ..limits.clone()
    };
    let job = parse(JOB, &[]).with_crashes(1, &once);
    assert!(job.job().is_ok(), "one kill is no proof, whatever is set");
    let junk = parse(b"{", &[]).with_crashes(3, &limits);
    assert_eq!(junk.job().unwrap_err().code, ErrorCode::InvalidJson);
}

#[test]
fn the_same_job_has_the_same_key_unless_dedup_is_off() {
    let key = |payload: &[u8], headers: &[(&str, &str)]| parse(payload, headers).job_key();
    let plain = key(JOB, &[]);
    assert!(plain.is_some());
    assert_eq!(plain, key(JOB, &[("attempt", "2"), ("dedup", "on")]));
    assert_ne!(plain, key(JOB.trim_ascii_end(), &[]), "other bytes");
    assert_eq!(key(JOB, &[("dedup", "off")]), None);
    assert_eq!(key(b"not a job", &[]), None);
}
