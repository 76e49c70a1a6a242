use super::*;
use crate::{Fault, Partition};

const JOB: &[u8] = include_bytes!("../../../../fixtures/wire/job.json");

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

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_106_789)
}

#[test]
fn an_attempt_header_is_never_trusted_to_be_a_number() {
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
        let case = Case::open(delivery(JOB, &[("attempt", text)]), &Limits::default());
        assert_eq!(case.number(), number, "{text:?}");
    }
    assert_eq!(Case::open(delivery(JOB, &[]), &Limits::default()).number(), 1);
}

#[test]
fn a_retry_remembers_where_the_job_came_from_and_keeps_foreign_headers() {
    let limits = Limits::default();
    let case = Case::open(delivery(JOB, &[("traceparent", "00-a-b-01")]), &limits);
    let because = Failure::transient(ErrorCode::DownloadHttpStatus, "status 503");
    let OutcomeKind::Retry { payload, headers } = case.retry(Duration::from_millis(700), &because, wall()) else {
        panic!("not a retry")
    };
    assert_eq!(payload, JOB);
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
    let again = Case::open(again, &limits);
    assert_eq!((again.number(), again.origin()), (2, ("stt.jobs".into(), 2, 41)));
    assert_eq!(again.wait(wall(), &limits), Duration::from_millis(700));
    assert_eq!(
        again.wait(wall() + Duration::from_millis(500), &limits),
        Duration::from_millis(200)
    );
    assert_eq!(
        again.wait(wall() + Duration::from_secs(86_400), &limits),
        Duration::ZERO
    );
    assert_eq!(
        again.wait(wall() - Duration::from_secs(86_400), &limits),
        Duration::from_millis(700),
        "a skewed clock"
    );
}

#[test]
fn a_message_that_is_no_job_still_gets_its_failed_result() {
    let limits = Limits {
        job_bytes_max: 100,
        ..Limits::default()
    };
    for (payload, key, code, job_id) in [
        (
            &b"{"[..],
            None,
            ErrorCode::InvalidJson,
            "00000000-0000-0000-0000-000000000000",
        ),
        (
            b"{",
            Some("7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01"),
            ErrorCode::InvalidJson,
            "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01",
        ),
        (b"{\"jobId\":\"job-1\"}", Some("key"), ErrorCode::InvalidJob, "job-1"),
        (
            &[b' '; 101],
            None,
            ErrorCode::JobTooLarge,
            "00000000-0000-0000-0000-000000000000",
        ),
    ] {
        let case = Case::open(
            Delivery {
                key: key.map(Into::into),
                ..delivery(payload, &[])
            },
            &limits,
        );
        let failure = case.job().unwrap_err();
        assert_eq!((failure.code, failure.fault), (code, Fault::Permanent));
        let OutcomeKind::Failed {
            result, dead_letter, ..
        } = case.failed(&failure, "small", wall())
        else {
            panic!()
        };
        let result: JobResult = serde_json::from_slice(&result).unwrap();
        assert_eq!(
            (result.status, result.error_code, result.job_id.as_str()),
            (Status::Failed, Some(code), job_id)
        );
        let letter = DeadLetter::parse(&dead_letter).unwrap();
        assert_eq!(letter.payload.as_deref(), Some(payload));
        assert_eq!(case.key(), key.unwrap_or(job_id).as_bytes());
    }
}

/// The golden messages of `fixtures/wire`, byte for byte but for their last newline.
#[test]
fn what_is_written_is_what_the_golden_files_hold() {
    let case = Case::open(delivery(JOB.trim_ascii_end(), &[]), &Limits::default());
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
    golden(
        "result-completed.json",
        &completed(&case, &transcript, DetailLevel::None),
        include_bytes!("../../../../fixtures/wire/result-completed.json"),
    );
    golden(
        "result-detail.json",
        &completed(&case, &timed(transcript), DetailLevel::Words),
        include_bytes!("../../../../fixtures/wire/result-detail.json"),
    );
    let failure = Failure::permanent(ErrorCode::AudioTooLarge, "more than 26214400 bytes");
    let OutcomeKind::Failed {
        result, dead_letter, ..
    } = case.failed(&failure, "small", wall())
    else {
        panic!()
    };
    golden(
        "result-failed.json",
        &result,
        include_bytes!("../../../../fixtures/wire/result-failed.json"),
    );
    golden(
        "dead-letter.json",
        &dead_letter,
        include_bytes!("../../../../fixtures/wire/dead-letter.json"),
    );
    let junk = Case::open(delivery(b"not a job", &[]), &Limits::default());
    let OutcomeKind::Failed { dead_letter, .. } = junk.failed(&junk.job().unwrap_err(), "small", wall()) else {
        panic!()
    };
    golden(
        "dead-letter-junk.json",
        &dead_letter,
        include_bytes!("../../../../fixtures/wire/dead-letter-junk.json"),
    );
}

fn completed(case: &Case, transcript: &Transcript, detail: DetailLevel) -> Vec<u8> {
    let OutcomeKind::Completed { result } = case.completed(transcript, detail, "small", wall()) else {
        panic!("not completed")
    };
    result
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
fn a_job_that_ended_so_many_processes_is_not_begun_again() {
    let limits = Limits::default();
    for (crashes, code) in [
        (0, None),
        (2, None),
        (3, Some(ErrorCode::WorkerCrashed)),
        (9, Some(ErrorCode::WorkerCrashed)),
    ] {
        let case = Case::open(delivery(JOB, &[]), &limits).begun_before(crashes, &limits);
        assert_eq!(case.job().err().map(|failure| failure.code), code, "{crashes}");
        assert_eq!(case.is_suspect(), crashes == 2);
        let OutcomeKind::Failed {
            result, dead_letter, ..
        } = case.failed(&failure_of(&case), "small", wall())
        else {
            panic!("not failed")
        };
        let result: JobResult = serde_json::from_slice(&result).unwrap();
        assert_eq!(
            result.correlation_id,
            Case::open(delivery(JOB, &[]), &limits).job().unwrap().correlation_id
        );
        let letter = DeadLetter::parse(&dead_letter).unwrap();
        assert_eq!(letter.payload.as_deref(), Some(JOB));
    }
    let junk = Case::open(delivery(b"{", &[]), &limits).begun_before(3, &limits);
    assert_eq!(
        junk.job().unwrap_err().code,
        ErrorCode::InvalidJson,
        "what is no job is still told as that"
    );
}

fn failure_of(case: &Case) -> Failure {
    let any = || Failure::permanent(ErrorCode::AudioEmpty, "no sample");
    case.job().err().unwrap_or_else(any)
}

#[test]
fn records_of_the_same_job_have_the_same_key_unless_they_ask_to_be_done_anyway() {
    let limits = Limits::default();
    let key = |payload: &[u8], headers: &[(&str, &str)]| Case::open(delivery(payload, headers), &limits).job_key();
    let plain = key(JOB, &[]);
    assert!(plain.is_some());
    assert_eq!(plain, key(JOB, &[("attempt", "2"), ("dedup", "on")]));
    assert_ne!(plain, key(JOB.trim_ascii_end(), &[]), "other bytes");
    assert_eq!(key(JOB, &[("dedup", "off")]), None);
    assert_eq!(key(b"not a job", &[]), None);
}
