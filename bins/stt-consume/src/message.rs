//! What a message says, as far as it can be read.

use std::collections::HashMap;

use serde_json::value::RawValue;
use stt_kafka::Tailed;
use stt_schema::Detail;
use uuid::Uuid;

/// Which messages a topic holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Results: `stt.results`.
    Results,
    /// Dead letters: `stt.jobs.dlq`.
    DeadLetters,
}

/// A job's id in one form: upper and lower case, with hyphens or without, are the same UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(String);

impl JobId {
    /// From how it is written; what is no UUID stays as it is.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Uuid::try_parse(text).map_or_else(|_| text.to_owned(), |uuid| uuid.to_string()))
    }
}

/// A message, read leniently: keys that are not known, missing or of another type do no harm.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Its value as it came; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The job it is about: `jobId` in it, or else its key.
    pub job_id: Option<String>,
    /// What it says, or why that cannot be read.
    pub report: Result<Report, String>,
    key: Option<&'a str>,
}

/// What a message says of its job.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// There is a transcript.
    Completed {
        /// `detectedLanguage`.
        language: Option<String>,
        /// `confidence`.
        confidence: Option<f64>,
        /// `transcriptText`; empty when it is null.
        transcript: String,
    },
    /// There is none, says a result.
    Failed {
        /// `errorCode: errorMessage`.
        error: String,
    },
    /// There is none, says a dead letter.
    Dead {
        /// `failureStage`.
        stage: String,
        /// `attempt`.
        attempt: Option<u64>,
        /// `errorCode: errorMessage`.
        error: String,
    },
}

impl<'a> Message<'a> {
    /// Reads a record of a topic of this kind; what cannot be read is told with its place.
    #[must_use]
    pub fn of(kind: Kind, tailed: &'a Tailed) -> Self {
        let delivery = &tailed.delivery;
        let mut message = Self::read(kind, delivery.key.as_deref(), delivery.payload.as_deref());
        message.report = message
            .report
            .map_err(|why| format!("{} at {}: {why}", delivery.partition, delivery.offset));
        message
    }

    /// Reads a message of this kind.
    #[must_use]
    pub fn read(kind: Kind, key: Option<&'a [u8]>, payload: Option<&'a [u8]>) -> Self {
        let key = key
            .and_then(|key| std::str::from_utf8(key).ok())
            .filter(|key| !key.is_empty());
        let (told, report) = match payload.map(Fields::read) {
            None => (None, Err("it has no value".to_owned())),
            Some(Err(error)) => (None, Err(format!("it is no JSON object: {error}"))),
            Some(Ok(fields)) => match kind {
                Kind::Results => (fields.text("jobId"), fields.result()),
                Kind::DeadLetters => (fields.job().and_then(|job| job.text("jobId")), fields.dead_letter()),
            },
        };
        Self {
            payload,
            job_id: told.or_else(|| key.map(str::to_owned)),
            report,
            key,
        }
    }

    /// When what was said, of a COMPLETED result whose worker was asked for it.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn detail(&self) -> Result<Detail, String> {
        let of = |what: &str| {
            self.job_id
                .as_deref()
                .map_or_else(|| what.to_owned(), |id| format!("{what} of {id}"))
        };
        match &self.report {
            Err(why) => return Err(why.clone()),
            Ok(Report::Failed { error } | Report::Dead { error, .. }) => {
                let id = self.job_id.as_deref().unwrap_or_default();
                return Err(format!("the job {id} FAILED: {error}"));
            }
            Ok(Report::Completed { .. }) => {}
        }
        let fields = Fields::read(self.payload.unwrap_or_default()).map_err(|error| error.to_string())?;
        let told = fields
            .0
            .get("detail")
            .map(|json| json.get())
            .filter(|json| *json != "null");
        let told = told.ok_or_else(|| {
            let result = of("the result");
            format!("{result} tells no times; the worker writes them with RESULT_DETAIL=segments")
        })?;
        serde_json::from_str(told)
            .map_err(|error| format!("the detail {} cannot be read: {error}", of("of the result")))
    }

    /// The ids of the job that it is about: one, unless key and content differ.
    pub fn job_ids(&self) -> impl Iterator<Item = JobId> {
        [self.job_id.as_deref(), self.key].into_iter().flatten().map(JobId::of)
    }
}

/// An object of which nothing is read but what is asked for, so that no depth and no number in the rest can do harm.
struct Fields(HashMap<String, Box<RawValue>>);

impl Fields {
    fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json).map(Self)
    }

    fn get<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name)
    }

    fn job(&self) -> Option<Self> {
        Self::read(self.0.get("job")?.get().as_bytes()).ok()
    }

    fn error(&self) -> String {
        let parts = ["errorCode", "errorMessage"].map(|name| self.text(name));
        parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
    }

    fn result(&self) -> Result<Report, String> {
        match self.text("status").as_deref() {
            Some("COMPLETED") => Ok(Report::Completed {
                language: self.text("detectedLanguage"),
                confidence: self.get("confidence"),
                transcript: self.text("transcriptText").unwrap_or_default(),
            }),
            Some("FAILED") => Ok(Report::Failed { error: self.error() }),
            _ => Err("it is no result: status is neither COMPLETED nor FAILED".to_owned()),
        }
    }

    fn dead_letter(&self) -> Result<Report, String> {
        let stage = self.text("failureStage");
        Ok(Report::Dead {
            stage: stage.ok_or_else(|| "it is no dead letter: failureStage is missing".to_owned())?,
            attempt: self.get("attempt"),
            error: self.error(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETED: &[u8] = include_bytes!("../../../fixtures/wire/result-completed.json");
    const FAILED: &[u8] = include_bytes!("../../../fixtures/wire/result-failed.json");
    const DEAD: &[u8] = include_bytes!("../../../fixtures/wire/dead-letter.json");
    const DEAD_JUNK: &[u8] = include_bytes!("../../../fixtures/wire/dead-letter-junk.json");
    const ID: &str = "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01";

    #[test]
    fn what_is_no_message_says_why_and_is_still_its_keys() {
        for (kind, payload, why) in [
            (Kind::Results, None, "it has no value"),
            (Kind::Results, Some(&b"oops"[..]), "it is no JSON object: expected"),
            (Kind::Results, Some(b"[1]"), "it is no JSON object: invalid type"),
            (Kind::Results, Some(b"{\"status\":7}"), "it is no result: "),
            (Kind::Results, Some(DEAD), "it is no result: "),
            (Kind::DeadLetters, Some(COMPLETED), "it is no dead letter: "),
        ] {
            let message = Message::read(kind, Some(b"key-1"), payload);
            let told = message.report.clone().unwrap_err();
            assert!(told.starts_with(why), "{told}");
            assert!(message.job_ids().any(|id| id == JobId::of("key-1")));
        }
        assert_eq!(Message::read(Kind::Results, Some(b"\xff"), None).job_ids().count(), 0);
        assert_eq!(Message::read(Kind::Results, None, None).job_id, None);
    }

    #[test]
    fn the_golden_messages_are_read() {
        let error = "AUDIO_TOO_LARGE: more than 26214400 bytes".to_owned();
        for (kind, payload, id, report) in [
            (
                Kind::Results,
                COMPLETED,
                ID,
                Report::Completed {
                    language: Some("mr".into()),
                    confidence: Some(0.778_801),
                    transcript: "रवी ला चार".into(),
                },
            ),
            (Kind::Results, FAILED, ID, Report::Failed { error: error.clone() }),
            (
                Kind::DeadLetters,
                DEAD,
                ID,
                Report::Dead {
                    stage: "DOWNLOAD".into(),
                    attempt: Some(1),
                    error,
                },
            ),
            (
                Kind::DeadLetters,
                DEAD_JUNK,
                "key-1",
                Report::Dead {
                    stage: "VALIDATION".into(),
                    attempt: Some(1),
                    error: "INVALID_JSON: not JSON: expected ident at line 1 column 2".into(),
                },
            ),
        ] {
            let message = Message::read(kind, Some(b"key-1"), Some(payload));
            assert_eq!(
                (message.job_id.as_deref(), message.report.clone()),
                (Some(id), Ok(report))
            );
        }
    }

    #[test]
    fn a_job_of_any_depth_and_keys_of_any_kind_do_no_harm() {
        let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
        let letter =
            format!(r#"{{"job":{{"x":{deep},"jobId":"job-1"}},"failureStage":"VALIDATION","attempt":"many"}}"#);
        let message = Message::read(Kind::DeadLetters, None, Some(letter.as_bytes()));
        assert_eq!(message.job_id.as_deref(), Some("job-1"));
        assert!(matches!(message.report, Ok(Report::Dead { attempt: None, .. })));
    }

    #[test]
    fn a_uuid_is_the_same_in_every_spelling() {
        for spelling in [ID.to_uppercase(), ID.replace('-', "")] {
            assert_eq!(JobId::of(&spelling), JobId::of(ID));
        }
        assert_ne!(JobId::of("JOB-1"), JobId::of("job-1"));
    }
}
