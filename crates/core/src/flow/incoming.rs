//! A record of the jobs topic, parsed, and every message that is written about it.

use std::time::{Duration, SystemTime};

use stt_schema::{
    ATTEMPT_HEADER, DeadLetter, DetailLevel, Engine, ErrorCode, Job, JobError, JobResult, OmittedPayload, Salvaged,
    Status, Timestamp,
};

use super::dedup::JobKey;
use crate::model::number::{places, unit};
use crate::model::trace::TRACEPARENT;
use crate::{Delivery, Destination, Failure, Header, Limits, OutcomeRecord, TraceContext, Transcript};

/// A record of the jobs topic: which job it is, which attempt, and what can be published about it.
#[derive(Debug)]
pub struct IncomingJob {
    delivery: Delivery,
    job: Result<Job, JobError>,
    attempt: u32,
    crashes: u32,
}

/// How much of an outcome is written. Each form is smaller than the one before; sinks that refuse one as too large get the
/// next, so no record can block a partition for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Everything.
    Full,
    /// A result without its detail; a dead letter without payload and headers, keyed by the job's id where the record's
    /// own key is long. At most about 10 kB.
    Reduced,
}

const ORIGINAL_TOPIC: &str = "original-topic";
const ORIGINAL_PARTITION: &str = "original-partition";
const ORIGINAL_OFFSET: &str = "original-offset";
const NOT_BEFORE: &str = "retry-not-before";
const DELAY: &str = "retry-delay-ms";
const LAST_ERROR: &str = "last-error";

/// Headers that a retry sets anew, and that a replay of a dead letter leaves out.
pub const RETRY_HEADERS: [&str; 7] = [
    ATTEMPT_HEADER,
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_OFFSET,
    NOT_BEFORE,
    DELAY,
    LAST_ERROR,
];

/// With the value `off`, the job is processed although it was completed recently; replays set it.
const DEDUP: &str = "dedup";

/// Longest `errorMessage`, in characters.
const MESSAGE_CHARS_MAX: usize = 1024;

/// Other people's headers that are passed on in retries and dead letters: this many, of this many bytes in all. What
/// exceeds either is dropped, so that headers cannot make a record grow beyond what the broker takes.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Kafka's limit for topic names.
const TOPIC_CHARS_MAX: usize = 249;

/// Longest key that a [`Form::Reduced`] record keeps.
const REDUCED_KEY_BYTES_MAX: usize = 256;

impl IncomingJob {
    /// Parses a record. An `attempt` header that is not a positive number counts as 1, one past the last attempt as the
    /// last.
    #[must_use]
    pub fn parse(delivery: Delivery, limits: &Limits) -> Self {
        let payload = delivery.payload.as_deref().unwrap_or_default();
        let (bytes, bytes_max) = (payload.len(), limits.job_bytes_max);
        let job = if bytes > bytes_max {
            Err(JobError {
                code: ErrorCode::JobTooLarge,
                reason: format!("the message has {bytes} bytes; a job may have {bytes_max}"),
                salvaged: Salvaged::default(),
            })
        } else {
            Job::parse(payload)
        };
        let last = limits.attempts_max.max(1);
        let attempt = delivery
            .header(ATTEMPT_HEADER)
            .and_then(|text| text.trim().parse::<u64>().ok())
            .map_or(1, |attempt| u32::try_from(attempt).unwrap_or(u32::MAX).clamp(1, last));
        Self {
            delivery,
            job,
            attempt,
            crashes: 0,
        }
    }

    /// The job, given how many processes ended while they worked on it: from `crashes_max` on it is not run again.
    #[must_use]
    pub fn with_crashes(mut self, crashes: u32, limits: &Limits) -> Self {
        self.crashes = crashes;
        if crashes >= limits.crashes_max.max(2)
            && let Ok(job) = &self.job
        {
            let salvaged = Salvaged {
                job_id: Some(job.job_id.to_string()),
                task_id: Some(job.task_id.to_string()),
                correlation_id: Some(job.correlation_id.clone()),
            };
            self.job = Err(JobError {
                code: ErrorCode::WorkerCrashed,
                reason: format!("{crashes} worker processes ended while they ran this job, the last time alone"),
                salvaged,
            });
        }
        self
    }

    /// The job, or why it is none.
    ///
    /// # Errors
    /// As a permanent failure.
    pub fn job(&self) -> Result<&Job, Failure> {
        self.job
            .as_ref()
            .map_err(|error| Failure::permanent(error.code, error.reason.clone()))
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many processes ended while they worked on it.
    #[must_use]
    pub fn crashes(&self) -> u32 {
        self.crashes
    }

    /// The record.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The job's id, as far as it can be read.
    #[must_use]
    pub fn job_id(&self) -> String {
        self.ids().0
    }

    /// Deduplication key; `None` for invalid jobs and for `dedup: off`.
    pub(crate) fn job_key(&self) -> Option<JobKey> {
        let job = self.job.as_ref().ok()?;
        if self.delivery.header(DEDUP) == Some("off") {
            return None;
        }
        let payload = self.delivery.payload.as_deref().unwrap_or_default();
        Some(JobKey::new(&job.job_id.to_string(), payload))
    }

    /// Identity of the record across assignments of its partition: its payload, as offsets of a new log mean other records.
    pub(crate) fn fingerprint(&self) -> JobKey {
        JobKey::new("", self.delivery.payload.as_deref().unwrap_or_default())
    }

    /// How long the record must still wait when it arrives at `wall`. Only a valid job that is a retry waits; by the wait
    /// that was asked for, not by the writer's clock alone, so a skewed clock cannot make it longer. A forged header delays
    /// its own record only, and no longer than any retry may wait.
    #[must_use]
    pub fn delay(&self, wall: SystemTime, limits: &Limits) -> Duration {
        if self.attempt < 2 || self.job.is_err() {
            return Duration::ZERO;
        }
        let number = |key| self.delivery.header(key).and_then(|text| text.parse::<u64>().ok());
        let Some(delay) = number(DELAY).map(Duration::from_millis) else {
            return Duration::ZERO;
        };
        let delay = delay.min(limits.backoff.max);
        let Some(not_before) = number(NOT_BEFORE) else {
            return delay;
        };
        let now_ms = u64::try_from(Timestamp::from(wall).unix_ms()).unwrap_or(0);
        Duration::from_millis(not_before.saturating_sub(now_ms)).min(delay)
    }

    /// Key of all that is written about the job: the record's own, else the job's id.
    #[must_use]
    pub fn key(&self, form: Form) -> Vec<u8> {
        let own = self.delivery.key.as_ref().filter(|key| !key.is_empty());
        let own = own.filter(|key| form == Form::Full || key.len() <= REDUCED_KEY_BYTES_MAX);
        own.cloned().unwrap_or_else(|| self.job_id().into_bytes())
    }

    /// The records of a job with a transcript; `detail` is how much they say beyond the text.
    #[must_use]
    pub fn completed(
        &self,
        transcript: &Transcript,
        detail: DetailLevel,
        form: Form,
        model_version: &str,
        wall: SystemTime,
    ) -> Vec<OutcomeRecord> {
        let detail = if form == Form::Full { detail } else { DetailLevel::None };
        let result = JobResult {
            status: Status::Completed,
            transcript_text: Some(transcript.text.clone()),
            detected_language: transcript.language.map(|language| language.code().to_owned()),
            confidence: places(unit(transcript.confidence())),
            detail: transcript.detail(detail),
            ..self.blank_result(model_version, wall)
        };
        vec![self.record(Destination::Results, json(&result), self.result_headers(), form)]
    }

    /// The records of a job that failed for good: result and dead letter.
    #[must_use]
    pub fn failed(&self, failure: &Failure, form: Form, model_version: &str, wall: SystemTime) -> Vec<OutcomeRecord> {
        let error_message: String = failure.error_chain().chars().take(MESSAGE_CHARS_MAX).collect();
        let result = JobResult {
            status: Status::Failed,
            error_code: Some(failure.code),
            error_message: Some(error_message.clone()),
            ..self.blank_result(model_version, wall)
        };
        let (original_topic, original_partition, original_offset) = self.origin();
        let payload = self.delivery.payload.clone();
        let (payload, omitted) = match form {
            Form::Full => (payload, None),
            Form::Reduced => (None, payload.as_deref().map(omitted)),
        };
        let dead_letter = DeadLetter {
            original_topic,
            original_partition,
            original_offset,
            failed_at: wall.into(),
            failure_stage: failure.code.stage(),
            payload,
            omitted,
            error_code: failure.code,
            error_message,
            attempt: self.attempt,
        };
        let headers = match form {
            Form::Full => bounded(self.delivery.headers.iter()),
            Form::Reduced => vec![],
        };
        vec![
            self.record(Destination::Results, json(&result), self.result_headers(), form),
            self.record(Destination::DeadLetters, dead_letter.to_json(), headers, form),
        ]
    }

    /// The trace that the job belongs to, if its record names one.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        TraceContext::parse(self.delivery.header(TRACEPARENT)?)
    }

    fn result_headers(&self) -> Vec<Header> {
        let header = |trace: TraceContext| Header {
            key: TRACEPARENT.to_owned(),
            value: Some(trace.header().into_bytes()),
        };
        self.trace().map(header).into_iter().collect()
    }

    /// The job again, for its next attempt.
    #[must_use]
    pub fn retry(&self, wait: Duration, because: &Failure, wall: SystemTime) -> Vec<OutcomeRecord> {
        let (topic, partition, offset) = self.origin();
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let not_before = Timestamp::from(wall + wait).unix_ms();
        let values = [
            (self.attempt + 1).to_string(),
            topic,
            partition.to_string(),
            offset.to_string(),
            not_before.to_string(),
            wait_ms.to_string(),
            because.code.to_string(),
        ];
        let is_foreign = |header: &&Header| !RETRY_HEADERS.contains(&header.key.as_str());
        let mut headers = bounded(self.delivery.headers.iter().filter(is_foreign));
        headers.extend(RETRY_HEADERS.iter().zip(values).map(|(key, value)| Header {
            key: (*key).to_owned(),
            value: Some(value.into_bytes()),
        }));
        let payload = self.delivery.payload.clone().unwrap_or_default();
        vec![self.record(Destination::Retries, payload, headers, Form::Full)]
    }

    fn record(&self, destination: Destination, payload: Vec<u8>, headers: Vec<Header>, form: Form) -> OutcomeRecord {
        OutcomeRecord {
            destination,
            key: self.key(form),
            payload,
            headers,
            acknowledged: false,
        }
    }

    /// Topic, partition and offset of the record in which the job first came. Anyone can write these headers, so they count
    /// only when all three have their form.
    fn origin(&self) -> (String, i32, i64) {
        let header = |key| self.delivery.header(key);
        let first = || {
            let topic = header(ORIGINAL_TOPIC).filter(|topic| is_topic_name(topic))?.to_owned();
            let partition = header(ORIGINAL_PARTITION)?.parse().ok().filter(|number| *number >= 0)?;
            let offset = header(ORIGINAL_OFFSET)?.parse().ok().filter(|number| *number >= 0)?;
            Some((topic, partition, offset))
        };
        let here = || {
            let partition = &self.delivery.partition;
            (partition.topic.to_string(), partition.id, self.delivery.offset)
        };
        first().unwrap_or_else(here)
    }

    /// `jobId`, `taskId`, `correlationId`, each as far as it is known: the record's key stands in for the job's id, the nil
    /// UUID for anything else.
    fn ids(&self) -> (String, String, String) {
        let salvaged = match &self.job {
            Ok(job) => {
                let (job_id, task_id) = (job.job_id.to_string(), job.task_id.to_string());
                return (job_id, task_id, job.correlation_id.clone());
            }
            Err(JobError { salvaged, .. }) => salvaged.clone(),
        };
        let nil = || String::from("00000000-0000-0000-0000-000000000000");
        let key = self.delivery.key.as_deref();
        let key = key
            .and_then(|key| std::str::from_utf8(key).ok())
            .filter(|key| !key.is_empty() && key.len() <= 128 && !key.contains(stt_schema::is_hidden));
        (
            salvaged.job_id.or_else(|| key.map(str::to_owned)).unwrap_or_else(nil),
            salvaged.task_id.unwrap_or_else(nil),
            salvaged.correlation_id.unwrap_or_else(nil),
        )
    }

    fn blank_result(&self, model_version: &str, wall: SystemTime) -> JobResult {
        let (job_id, task_id, correlation_id) = self.ids();
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

fn is_topic_name(name: &str) -> bool {
    let legal = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    !name.is_empty() && name.len() <= TOPIC_CHARS_MAX && name.chars().all(legal)
}

/// The first of these headers that fit [`HEADERS_MAX`] and [`HEADER_BYTES_MAX`].
fn bounded<'a>(headers: impl Iterator<Item = &'a Header>) -> Vec<Header> {
    let mut bytes = 0;
    let fits = |header: &&Header| {
        let size = header.key.len() + header.value.as_ref().map_or(0, Vec::len);
        let fits = bytes + size <= HEADER_BYTES_MAX;
        bytes += if fits { size } else { 0 };
        fits
    };
    headers.filter(fits).take(HEADERS_MAX).cloned().collect()
}

fn omitted(payload: &[u8]) -> OmittedPayload {
    let digest = ring::digest::digest(&ring::digest::SHA256, payload);
    let sha256 = digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
        hex
    });
    OmittedPayload {
        bytes: payload.len() as u64,
        sha256,
    }
}

fn json(message: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have string keys and finite numbers")
}

#[cfg(test)]
mod tests;
