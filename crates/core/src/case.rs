//! A record read as a job, and everything that is written about it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

use stt_schema::{
    ATTEMPT_HEADER, DeadLetter, DetailLevel, Engine, ErrorCode, Job, JobError, JobResult, Salvaged, Status, Timestamp,
};

use crate::number::{places, unit};
use crate::outcome::OutcomeKind;
use crate::record::{Delivery, Header};
use crate::{Failure, JobKey, Limits, Transcript};

/// A record read as a job: who it is about, which try this is, and what can be said of it.
#[derive(Debug)]
pub struct Case {
    delivery: Delivery,
    job: Result<Job, JobError>,
    number: u32,
    crashes: u32,
}

const ORIGINAL_TOPIC: &str = "original-topic";
const ORIGINAL_PARTITION: &str = "original-partition";
const ORIGINAL_OFFSET: &str = "original-offset";
const NOT_BEFORE: &str = "retry-not-before";
const DELAY: &str = "retry-delay-ms";
const LAST_ERROR: &str = "last-error";
/// The headers that a retry writes anew, and that one who sends a job again from its dead letter leaves out.
pub const RETRY_HEADERS: [&str; 7] = [
    ATTEMPT_HEADER,
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_OFFSET,
    NOT_BEFORE,
    DELAY,
    LAST_ERROR,
];

/// `off` asks for the job to be done although it was done before, as a replay does.
const DEDUP: &str = "dedup";

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
        Self {
            delivery,
            job,
            number,
            crashes: 0,
        }
    }

    /// The job, when `crashes` processes ended while they worked on it: after too many, it is one that cannot be done.
    #[must_use]
    pub fn begun_before(mut self, crashes: u32, limits: &Limits) -> Self {
        self.crashes = crashes;
        if crashes >= limits.attempts_max.max(1)
            && let Ok(job) = &self.job
        {
            let salvaged = Salvaged {
                job_id: Some(job.job_id.to_string()),
                task_id: Some(job.task_id.to_string()),
                correlation_id: Some(job.correlation_id.clone()),
            };
            self.job = Err(JobError {
                code: ErrorCode::WorkerCrashed,
                reason: format!("the worker ended {crashes} times while it had this job in hand"),
                salvaged,
            });
        }
        self
    }

    /// Whether it may be what ended a process that had it in hand, and is to be done all the same.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.crashes > 0 && self.job.is_ok()
    }

    /// What this record has in common with others of the same job; `None` when it is none, or is to be done in any case.
    #[must_use]
    pub fn job_key(&self) -> Option<JobKey> {
        let job = self.job.as_ref().ok()?;
        if self.delivery.header(DEDUP) == Some("off") {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        self.delivery.payload.hash(&mut hasher);
        Some(JobKey {
            id: job.job_id.to_string().into(),
            fingerprint: hasher.finish(),
        })
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
        let (original_topic, original_partition, original_offset) = self.origin();
        let dead_letter = DeadLetter {
            original_topic,
            original_partition,
            original_offset,
            failed_at: wall.into(),
            failure_stage: failure.code.stage(),
            payload: self.delivery.payload.clone(),
            error_code: failure.code,
            error_message,
            attempt: self.number,
        };
        OutcomeKind::Failed {
            result: json(&result),
            dead_letter: dead_letter.to_json(),
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
            .filter(|header| !RETRY_HEADERS.contains(&header.key.as_str()))
            .cloned();
        let ours = RETRY_HEADERS.iter().zip(ours);
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
mod tests;
