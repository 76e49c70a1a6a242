//! A record read as a job, and everything that is written about it.

use std::time::{Duration, SystemTime};

use stt_schema::{
    ATTEMPT_HEADER, DeadLetter, DetailLevel, Engine, ErrorCode, Job, JobError, JobResult, Original, Salvaged, Status,
    Timestamp,
};

use crate::number::{places, unit};
use crate::outcome::OutcomeKind;
use crate::record::{Delivery, Header};
use crate::{Failure, Limits, Transcript};

/// A record read as a job: who it is about, which try this is, and what can be said of it.
#[derive(Debug)]
pub struct Case {
    delivery: Delivery,
    job: Result<Job, JobError>,
    number: u32,
}

const ORIGINAL_TOPIC: &str = "original-topic";
const ORIGINAL_PARTITION: &str = "original-partition";
const ORIGINAL_OFFSET: &str = "original-offset";
const NOT_BEFORE: &str = "retry-not-before";
const DELAY: &str = "retry-delay-ms";
const LAST_ERROR: &str = "last-error";
/// The headers that a retry writes anew.
const OURS: [&str; 7] = [
    ATTEMPT_HEADER,
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_OFFSET,
    NOT_BEFORE,
    DELAY,
    LAST_ERROR,
];

/// Longest `errorMessage`, in characters.
const MESSAGE_MAX: usize = 1024;

impl Case {
    /// Reads a record. An `attempt` header that is no number of a try counts as 1; one past the last try is the last.
    #[must_use]
    pub fn open(delivery: Delivery, limits: &Limits) -> Self {
        let payload = delivery.payload.as_deref().unwrap_or_default();
        let job = if payload.len() > limits.job_bytes_max {
            let reason = format!(
                "{} bytes are more than the {} of a job",
                payload.len(),
                limits.job_bytes_max
            );
            Err(JobError {
                code: ErrorCode::JobTooLarge,
                reason,
                salvaged: Salvaged::default(),
            })
        } else {
            Job::parse(payload)
        };
        let number = delivery
            .header(ATTEMPT_HEADER)
            .map_or(1, |text| match text.trim().parse::<u64>() {
                Ok(number) => u32::try_from(number)
                    .unwrap_or(u32::MAX)
                    .clamp(1, limits.attempts_max.max(1)),
                Err(_) => 1,
            });
        Self { delivery, job, number }
    }

    /// The job, or why it is none.
    ///
    /// # Errors
    /// As a permanent failure of the stage VALIDATION.
    pub fn job(&self) -> Result<&Job, Failure> {
        self.job
            .as_ref()
            .map_err(|error| Failure::permanent(error.code, error.reason.clone()))
    }

    /// Which try this is, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The record.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The job's id for people, as far as it is known.
    #[must_use]
    pub fn job_id(&self) -> String {
        self.identity().0
    }

    /// How long the record must still wait, for one that arrives at `wall`. By the wait that was asked for, not by the
    /// writer's clock alone: a skewed clock cannot make it longer.
    #[must_use]
    pub fn wait(&self, wall: SystemTime, limits: &Limits) -> Duration {
        let number = |key| self.delivery.header(key).and_then(|text| text.parse::<u64>().ok());
        let Some(delay) = number(DELAY).map(Duration::from_millis) else {
            return Duration::ZERO;
        };
        let delay = delay.min(limits.backoff.max.max(limits.retry_after_max));
        let Some(not_before) = number(NOT_BEFORE) else {
            return delay;
        };
        let now_ms = u64::try_from(Timestamp::from(wall).unix_ms()).unwrap_or(0);
        Duration::from_millis(not_before.saturating_sub(now_ms)).min(delay)
    }

    /// Key of all that is written about the job: the record's own, else the job's id.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        self.delivery
            .key
            .clone()
            .filter(|key| !key.is_empty())
            .unwrap_or_else(|| self.job_id().into_bytes())
    }

    /// The outcome of a job that has its transcript; `detail` is how much it tells beyond the text.
    #[must_use]
    pub fn completed(
        &self,
        transcript: &Transcript,
        detail: DetailLevel,
        model_version: &str,
        wall: SystemTime,
    ) -> OutcomeKind {
        let result = JobResult {
            status: Status::Completed,
            transcript_text: Some(transcript.text.clone()),
            detected_language: transcript.language.map(|language| language.code().to_owned()),
            confidence: places(unit(transcript.confidence())),
            detail: transcript.detail(detail),
            ..self.blank(model_version, wall)
        };
        OutcomeKind::Completed { result: json(&result) }
    }

    /// The outcome of a job that failed for good.
    #[must_use]
    pub fn failed(&self, failure: &Failure, model_version: &str, wall: SystemTime) -> OutcomeKind {
        let error_message: String = failure.story().chars().take(MESSAGE_MAX).collect();
        let result = JobResult {
            status: Status::Failed,
            error_code: Some(failure.code),
            error_message: Some(error_message.clone()),
            ..self.blank(model_version, wall)
        };
        let original = Original::of(self.delivery.payload.as_deref());
        let (original_topic, original_partition, original_offset) = self.origin();
        let dead_letter = DeadLetter {
            original_topic,
            original_partition,
            original_offset,
            failed_at: wall.into(),
            failure_stage: failure.code.stage(),
            job: original.job,
            original_b64: original.b64,
            error_code: failure.code,
            error_message,
            attempt: self.number,
        };
        OutcomeKind::Failed {
            result: json(&result),
            dead_letter: json(&dead_letter),
            headers: self.delivery.headers.clone(),
        }
    }

    /// The job again, for its next try.
    #[must_use]
    pub fn retry(&self, wait: Duration, because: &Failure, wall: SystemTime) -> OutcomeKind {
        let (topic, partition, offset) = self.origin();
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let not_before = Timestamp::from(wall + wait).unix_ms();
        let ours = [
            (self.number + 1).to_string(),
            topic,
            partition.to_string(),
            offset.to_string(),
            not_before.to_string(),
            wait_ms.to_string(),
            because.code.to_string(),
        ];
        let theirs = self
            .delivery
            .headers
            .iter()
            .filter(|header| !OURS.contains(&header.key.as_str()))
            .cloned();
        let ours = OURS.iter().zip(ours);
        let headers = theirs
            .chain(ours.map(|(key, value)| Header {
                key: (*key).to_owned(),
                value: Some(value.into_bytes()),
            }))
            .collect();
        OutcomeKind::Retry {
            payload: self.delivery.payload.clone().unwrap_or_default(),
            headers,
        }
    }

    /// Topic, partition and offset of the record in which the job first came.
    fn origin(&self) -> (String, i32, i64) {
        let header = |key| self.delivery.header(key);
        let first = || {
            let topic = header(ORIGINAL_TOPIC)?.to_owned();
            Some((
                topic,
                header(ORIGINAL_PARTITION)?.parse().ok()?,
                header(ORIGINAL_OFFSET)?.parse().ok()?,
            ))
        };
        let here = || {
            (
                self.delivery.partition.topic.to_string(),
                self.delivery.partition.id,
                self.delivery.offset,
            )
        };
        first().unwrap_or_else(here)
    }

    /// `jobId`, `taskId`, `correlationId`, each as far as it is known: the record's key stands in for the job's id, the
    /// nil UUID for anything else.
    fn identity(&self) -> (String, String, String) {
        match &self.job {
            Ok(job) => (
                job.job_id.to_string(),
                job.task_id.to_string(),
                job.correlation_id.clone(),
            ),
            Err(JobError { salvaged, .. }) => {
                let nil = || String::from("00000000-0000-0000-0000-000000000000");
                let key = self
                    .delivery
                    .key
                    .as_deref()
                    .and_then(|key| std::str::from_utf8(key).ok());
                let key = key.filter(|key| !key.is_empty() && key.len() <= 128 && !key.contains(char::is_control));
                let Salvaged {
                    job_id,
                    task_id,
                    correlation_id,
                } = salvaged.clone();
                (
                    job_id.or_else(|| key.map(str::to_owned)).unwrap_or_else(nil),
                    task_id.unwrap_or_else(nil),
                    correlation_id.unwrap_or_else(nil),
                )
            }
        }
    }

    fn blank(&self, model_version: &str, wall: SystemTime) -> JobResult {
        let (job_id, task_id, correlation_id) = self.identity();
        JobResult {
            job_id,
            task_id,
            status: Status::Failed,
            transcript_text: None,
            detected_language: None,
            confidence: 0.0,
            engine: Engine::FasterWhisper,
            model_version: model_version.to_owned(),
            error_code: None,
            error_message: None,
            completed_at: wall.into(),
            correlation_id,
            detail: None,
        }
    }
}

fn json(message: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have string keys and finite numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, Partition};

    const JOB: &[u8] = include_bytes!("../../../fixtures/wire/job.json");

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
            let letter: DeadLetter = serde_json::from_slice(&dead_letter).unwrap();
            assert_eq!(letter.payload().as_deref(), Some(payload));
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
            include_bytes!("../../../fixtures/wire/result-completed.json"),
        );
        golden(
            "result-detail.json",
            &completed(&case, &timed(transcript), DetailLevel::Words),
            include_bytes!("../../../fixtures/wire/result-detail.json"),
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
            include_bytes!("../../../fixtures/wire/result-failed.json"),
        );
        golden(
            "dead-letter.json",
            &dead_letter,
            include_bytes!("../../../fixtures/wire/dead-letter.json"),
        );
        let junk = Case::open(delivery(b"not a job", &[]), &Limits::default());
        let OutcomeKind::Failed { dead_letter, .. } = junk.failed(&junk.job().unwrap_err(), "small", wall()) else {
            panic!()
        };
        golden(
            "dead-letter-junk.json",
            &dead_letter,
            include_bytes!("../../../fixtures/wire/dead-letter-junk.json"),
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
}
