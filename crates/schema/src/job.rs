//! The job: what a producer asks for.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{AudioUrl, ErrorCode, Language, Timestamp, is_hidden};

/// A valid job. Made only by [`Job::parse`]; unknown keys in the message are tolerated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Identity of the job; the Kafka key of everything said about it.
    pub job_id: Uuid,
    /// What the job belongs to, on the producer's side.
    pub task_id: Uuid,
    /// Where the audio is.
    pub audio_url: AudioUrl,
    /// The language spoken, when the producer knows; otherwise it is detected.
    pub language_hint: Option<Language>,
    /// When the producer made the job.
    pub created_at: Timestamp,
    /// Ties the job to a trace: a UUID or a trace id, as the producer wrote it.
    pub correlation_id: String,
}

/// Why a message is no job, with what could be read of its identity.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct JobError {
    /// The code that goes on the wire.
    pub code: ErrorCode,
    /// All problems found, in the order of the fields. Quotes no values but language tags and moments.
    pub reason: String,
    /// What the FAILED result can still say about whose job it was.
    pub salvaged: Salvaged,
}

/// The identity fields of a message that is no valid job, each where it is a string of 1 to 128 bytes without characters that
/// change how a line is shown ([`is_hidden`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// `jobId`, valid or not.
    pub job_id: Option<String>,
    /// `taskId`, valid or not.
    pub task_id: Option<String>,
    /// `correlationId`, valid or not.
    pub correlation_id: Option<String>,
}

/// Longest `correlationId`, and longest identity text that is salvaged, in bytes.
const ID_BYTES_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    job_id: Option<Value>,
    task_id: Option<Value>,
    audio_url: Option<Value>,
    language_hint: Option<Value>,
    created_at: Option<Value>,
    correlation_id: Option<Value>,
}

impl Job {
    /// Reads a message value.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidJson`] for what is no JSON, [`ErrorCode::InvalidJob`] for JSON of another form,
    /// [`ErrorCode::InvalidAudioUrl`] and [`ErrorCode::UnsupportedLanguage`] when that field is the only problem.
    pub fn parse(payload: &[u8]) -> Result<Self, JobError> {
        let is_object = payload.trim_ascii_start().starts_with(b"{");
        let raw = match serde_json::from_slice::<Raw>(payload) {
            Err(error) if !error.is_data() => Err((ErrorCode::InvalidJson, format!("not JSON: {error}"))),
            // Serde would take a list of the fields, and quote anything else: a job that was encoded twice, say, with its URL.
            _ if !is_object => Err((ErrorCode::InvalidJob, "not a job: no JSON object".to_owned())),
            Err(error) => Err((ErrorCode::InvalidJob, format!("not a job: {error}"))),
            Ok(raw) => Ok(raw),
        };
        let raw = raw.map_err(|(code, reason)| JobError {
            code,
            reason,
            salvaged: Salvaged::default(),
        })?;
        let salvaged = Salvaged {
            job_id: salvage(raw.job_id.as_ref()),
            task_id: salvage(raw.task_id.as_ref()),
            correlation_id: salvage(raw.correlation_id.as_ref()),
        };
        let mut problems = Problems::default();
        let job_id = problems.required("jobId", raw.job_id, uuid);
        let task_id = problems.required("taskId", raw.task_id, uuid);
        let audio_url = problems.required("audioUrl", raw.audio_url, |text| {
            text.parse::<AudioUrl>()
                .map_err(|error| (ErrorCode::InvalidAudioUrl, error.to_string()))
        });
        let language_hint = problems.optional("languageHint", raw.language_hint, |text| {
            Language::from_tag(text).map_err(|error| (ErrorCode::UnsupportedLanguage, error.to_string()))
        });
        let created_at = problems.required("createdAt", raw.created_at, |text| {
            text.parse::<Timestamp>()
                .map_err(|error| (ErrorCode::InvalidJob, error.to_string()))
        });
        let correlation_id = problems.required("correlationId", raw.correlation_id, correlation);
        match (job_id, task_id, audio_url, created_at, correlation_id) {
            (Some(job_id), Some(task_id), Some(audio_url), Some(created_at), Some(correlation_id))
                if problems.0.is_empty() =>
            {
                Ok(Self {
                    job_id,
                    task_id,
                    audio_url,
                    language_hint,
                    created_at,
                    correlation_id,
                })
            }
            _ => Err(problems.into_error(salvaged)),
        }
    }
}

type Problem = (ErrorCode, String);

/// What is wrong with the fields, collected so that a producer learns all of it at once.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn required<T>(
        &mut self,
        key: &str,
        value: Option<Value>,
        read: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        if matches!(value, None | Some(Value::Null)) {
            self.0.push((ErrorCode::InvalidJob, format!("{key} is missing")));
            return None;
        }
        self.optional(key, value, read)
    }

    fn optional<T>(
        &mut self,
        key: &str,
        value: Option<Value>,
        read: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let found = match value? {
            Value::Null => return None,
            Value::String(text) => read(&text),
            _ => Err((ErrorCode::InvalidJob, "not a string".to_owned())),
        };
        found
            .map_err(|(code, reason)| self.0.push((code, format!("{key}: {reason}"))))
            .ok()
    }

    fn into_error(self, salvaged: Salvaged) -> JobError {
        let code = match self.0.as_slice() {
            [(code, _)] => *code,
            _ => ErrorCode::InvalidJob,
        };
        let reason = self
            .0
            .into_iter()
            .map(|(_, reason)| reason)
            .collect::<Vec<_>>()
            .join("; ");
        JobError { code, reason, salvaged }
    }
}

fn uuid(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| (ErrorCode::InvalidJob, "not a UUID".to_owned()))
}

fn correlation(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > ID_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err((
            ErrorCode::InvalidJob,
            format!("not a UUID or trace id of at most {ID_BYTES_MAX} characters"),
        ));
    }
    Ok(text.to_owned())
}

fn salvage(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    (!text.is_empty() && text.len() <= ID_BYTES_MAX && !text.contains(is_hidden)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Result<Job, JobError> {
        let mut job = serde_json::json!({
            "jobId": "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01", "taskId": "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b02",
            "audioUrl": "https://media.example/note.ogg", "languageHint": null,
            "createdAt": "2026-01-02T03:04:05Z", "correlationId": "4bf92f3577b34da6a3ce929d0e0e4736",
        });
        change(job.as_object_mut().unwrap());
        Job::parse(job.to_string().as_bytes())
    }

    #[test]
    fn a_bad_field_is_named_with_its_own_code() {
        for (key, value, code, reason) in [
            ("jobId", "job-1".into(), ErrorCode::InvalidJob, "jobId: not a UUID"),
            ("taskId", Value::Null, ErrorCode::InvalidJob, "taskId is missing"),
            ("taskId", 7.into(), ErrorCode::InvalidJob, "taskId: not a string"),
            (
                "audioUrl",
                "file:///etc/passwd".into(),
                ErrorCode::InvalidAudioUrl,
                "audioUrl: only http and https URLs are taken",
            ),
            (
                "languageHint",
                "tlh-QO".into(),
                ErrorCode::UnsupportedLanguage,
                "languageHint: \"tlh-QO\" names no language that Whisper knows",
            ),
            (
                "createdAt",
                "now".into(),
                ErrorCode::InvalidJob,
                "createdAt: \"now\" is not an ISO-8601 date and time",
            ),
            (
                "correlationId",
                "a b".into(),
                ErrorCode::InvalidJob,
                "correlationId: not a UUID or trace id of at most 128 characters",
            ),
        ] {
            let error = with(|job| drop(job.insert(key.to_owned(), value))).unwrap_err();
            assert_eq!((error.code, error.reason.as_str()), (code, reason));
        }
    }

    #[test]
    fn all_problems_are_told_at_once_and_the_identity_is_salvaged() {
        let error = with(|job| {
            job.insert("jobId".into(), "job-1".into());
            job.remove("audioUrl");
        })
        .unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidJob);
        assert_eq!(error.reason, "jobId: not a UUID; audioUrl is missing");
        assert_eq!(error.salvaged.job_id.as_deref(), Some("job-1"));
        assert_eq!(
            error.salvaged.correlation_id.as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
    }

    #[test]
    fn junk_is_told_from_json_of_another_form() {
        let deep = [b"{\"x\":".repeat(200), b"1".to_vec(), b"}".repeat(200)].concat();
        for (payload, code) in [
            (&b""[..], ErrorCode::InvalidJson),
            (b"{", ErrorCode::InvalidJson),
            (b"\xff\xfe{}", ErrorCode::InvalidJson),
            (b"[]", ErrorCode::InvalidJob),
            (b"null", ErrorCode::InvalidJob),
            (b"{\"jobId\":\"a\",\"jobId\":\"b\"}", ErrorCode::InvalidJob),
            (b"{}", ErrorCode::InvalidJob),
            (&deep, ErrorCode::InvalidJob),
        ] {
            assert_eq!(
                Job::parse(payload).unwrap_err().code,
                code,
                "{:?}",
                String::from_utf8_lossy(payload)
            );
        }
    }

    #[test]
    fn a_job_that_was_encoded_twice_or_as_a_list_is_no_job_and_keeps_its_secrets() {
        let fields = serde_json::json!([
            "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01",
            "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b02",
            "https://media.example/note.ogg?sig=s3cret",
            null,
            "2026-01-02T03:04:05Z",
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ]);
        let encoded = Value::String(fields.to_string());
        for payload in [fields.to_string(), encoded.to_string(), format!(" \n{encoded}")] {
            let error = Job::parse(payload.as_bytes()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidJob, "{payload}");
            assert_eq!(error.reason, "not a job: no JSON object", "{payload}");
        }
    }

    #[test]
    fn an_identity_that_would_not_be_shown_as_it_is_is_not_salvaged() {
        for id in ["a\u{202e}b", "a\u{2028}b", "a\nb", ""] {
            let error = with(|job| drop(job.insert("jobId".into(), id.into()))).unwrap_err();
            assert_eq!(error.salvaged.job_id, None, "{id:?}");
        }
    }

    #[test]
    fn a_url_in_another_field_is_not_quoted() {
        for key in ["createdAt", "languageHint", "jobId", "taskId", "correlationId"] {
            let url = "https://h/bot1:s3cret/a";
            let error = with(|job| drop(job.insert(key.into(), url.into()))).err();
            let reason = error.map(|error| error.reason).unwrap_or_default();
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }

    #[test]
    fn a_hint_may_be_absent_and_unknown_keys_are_tolerated() {
        let job = with(|job| {
            job.remove("languageHint");
            job.insert("priority".into(), 3.into());
        })
        .unwrap();
        assert_eq!(job.language_hint, None);
        assert_eq!(
            with(|job| drop(job.insert("languageHint".into(), "hi-IN".into())))
                .unwrap()
                .language_hint
                .unwrap()
                .code(),
            "hi"
        );
    }
}
