//! Jobs as they go on the wire.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use stt_schema::{Job, Timestamp};
use uuid::Uuid;

/// The keys of a job, in the order of the wire.
const KEYS: [&str; 6] = [
    "jobId",
    "taskId",
    "audioUrl",
    "languageHint",
    "createdAt",
    "correlationId",
];

/// What a job is given where it does not say so itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// Otherwise a new one.
    pub(crate) job_id: Option<String>,
    /// Otherwise a new one.
    pub(crate) task_id: Option<String>,
    /// Otherwise a new one.
    pub(crate) correlation_id: Option<String>,
    /// Otherwise null: the language is detected.
    pub(crate) language_hint: Option<String>,
}

/// A job to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// Key of the record: the text of `jobId`.
    pub(crate) key: String,
    /// Value of the record.
    pub(crate) payload: Vec<u8>,
    /// What people call it, when that is not its id.
    pub(crate) label: Option<String>,
}

/// Makes jobs. The clock and the source of ids are arguments.
pub(crate) struct Maker<'a, I> {
    pub(crate) given: &'a Given,
    pub(crate) created_at: Timestamp,
    pub(crate) new_id: I,
}

type Fields = BTreeMap<String, Box<RawValue>>;

impl<I: FnMut() -> Uuid> Maker<'_, I> {
    /// The job for the audio at this URL.
    pub(crate) fn at_url(&mut self, url: &str) -> Outgoing {
        self.complete(BTreeMap::from([("audioUrl".to_owned(), raw(&json!(url)))]))
    }

    /// The job of a line: an object with all keys of a job, or some of them. What it says is sent as it is written, its
    /// other keys behind those of a job. What is no object is sent as it is, under a new key.
    pub(crate) fn of_line(&mut self, line: &[u8]) -> Outgoing {
        match serde_json::from_slice(line) {
            Ok(fields) => self.complete(fields),
            Err(_) => Outgoing {
                key: (self.new_id)().to_string(),
                payload: line.to_vec(),
                label: None,
            },
        }
    }

    fn complete(&mut self, mut fields: Fields) -> Outgoing {
        let mut pairs = Vec::new();
        let mut job_id = None;
        for key in KEYS {
            let Some(value) = fields.remove(key).or_else(|| self.given_for(key)) else {
                continue;
            };
            if key == "jobId" {
                job_id = serde_json::from_str::<String>(value.get()).ok();
            }
            pairs.push((key.to_owned(), value));
        }
        pairs.extend(fields);
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{}:{}", json!(key), value.get()))
            .collect();
        Outgoing {
            key: job_id.unwrap_or_else(|| (self.new_id)().to_string()),
            payload: format!("{{{}}}", pairs.join(",")).into_bytes(),
            label: None,
        }
    }

    /// The value of a key that a job does not have; `None` where nobody can guess it.
    fn given_for(&mut self, key: &str) -> Option<Box<RawValue>> {
        let given = match key {
            "jobId" => &self.given.job_id,
            "taskId" => &self.given.task_id,
            "correlationId" => &self.given.correlation_id,
            "languageHint" => return Some(raw(&json!(self.given.language_hint))),
            "createdAt" => return Some(raw(&json!(self.created_at))),
            _ => return None,
        };
        let id = given.clone().unwrap_or_else(|| (self.new_id)().to_string());
        Some(raw(&json!(id)))
    }
}

impl Outgoing {
    /// Whether a worker would take it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        Job::parse(&self.payload).map(|_| ()).map_err(|error| error.reason)
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("a value is written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = include_str!("../../../fixtures/wire/job.json");

    fn maker(given: &Given) -> Maker<'_, impl FnMut() -> Uuid> {
        let mut last = 0;
        Maker {
            given,
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            new_id: move || {
                last += 1;
                Uuid::from_u128(last)
            },
        }
    }

    fn check(line: &str, payload: &str, key: &str) {
        let given = Given {
            task_id: Some("task".into()),
            ..Given::default()
        };
        let job = maker(&given).of_line(line.as_bytes());
        assert_eq!(
            (job.key.as_str(), std::str::from_utf8(&job.payload).unwrap()),
            (key, payload)
        );
    }

    #[test]
    fn what_is_no_object_is_sent_as_it_is_and_is_no_job() {
        for line in ["oops", "[]", "null", "{\"jobId\":"] {
            check(line, line, "00000000-0000-0000-0000-000000000001");
            let job = maker(&Given::default()).of_line(line.as_bytes());
            assert!(job.check().unwrap_err().starts_with("not "), "{line}");
        }
        let job = maker(&Given::default()).of_line(b"\xff");
        assert_eq!(job.payload, b"\xff");
    }

    #[test]
    fn a_null_is_not_replaced_and_nobody_guesses_where_the_audio_is() {
        let payload = r#"{"jobId":null,"taskId":"task","languageHint":null,"createdAt":"2026-01-02T03:04:05.000Z","correlationId":"00000000-0000-0000-0000-000000000001"}"#;
        check(r#"{"jobId":null}"#, payload, "00000000-0000-0000-0000-000000000002");
        let error = maker(&Given::default())
            .of_line(br#"{"jobId":null}"#)
            .check()
            .unwrap_err();
        assert_eq!(error, "jobId is missing; audioUrl is missing");
    }

    #[test]
    fn a_whole_job_is_sent_as_it_is_written() {
        let job = JOB.trim_end();
        check(job, job, "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01");
        assert_eq!(maker(&Given::default()).of_line(job.as_bytes()).check(), Ok(()));
    }

    #[test]
    fn other_keys_are_kept_behind_those_of_a_job() {
        check(
            r#"{ "priority": 1.50e3, "audioUrl":"https://h/\u0061", "languageHint": "mr-IN","createdAt":"2026", "correlationId":"c","jobId":"j", "a": [ 1 ] }"#,
            r#"{"jobId":"j","taskId":"task","audioUrl":"https://h/\u0061","languageHint":"mr-IN","createdAt":"2026","correlationId":"c","a":[ 1 ],"priority":1.50e3}"#,
            "j",
        );
    }

    #[test]
    fn a_url_makes_the_golden_job() {
        let given = Given {
            job_id: Some("7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01".into()),
            task_id: Some("7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b02".into()),
            correlation_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            language_hint: Some("mr-IN".into()),
        };
        let job = maker(&given).at_url("https://media.example/notes/a.ogg?sig=s3cret");
        let golden = JOB.trim_end().replace("03:04:05Z", "03:04:05.000Z");
        assert_eq!(String::from_utf8(job.payload).unwrap(), golden);

        let job = maker(&Given::default()).at_url("https://h/a\"b");
        assert_eq!(
            String::from_utf8(job.payload).unwrap(),
            r#"{"jobId":"00000000-0000-0000-0000-000000000001","taskId":"00000000-0000-0000-0000-000000000002","audioUrl":"https://h/a\"b","languageHint":null,"createdAt":"2026-01-02T03:04:05.000Z","correlationId":"00000000-0000-0000-0000-000000000003"}"#
        );
    }
}
