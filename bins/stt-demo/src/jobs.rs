//! One job for each clip, as the lines that `stt-produce --jsonl -` reads.

use std::time::SystemTime;

use stt_schema::Timestamp;
use uuid::Uuid;

use crate::clips::Clip;

/// A job that is published: whose, and when it was made.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) id: Uuid,
    pub(crate) clip: &'a Clip,
    pub(crate) created_at: Timestamp,
}

impl<'a> Job<'a> {
    pub(crate) fn new(clip: &'a Clip, now: SystemTime) -> Self {
        Self {
            id: random_id(),
            clip,
            created_at: now.into(),
        }
    }

    /// The message, with the clip at `base_url`.
    pub(crate) fn line(&self, base_url: &str) -> String {
        serde_json::json!({
            "jobId": self.id.to_string(),
            "taskId": random_id().to_string(),
            "audioUrl": format!("{base_url}{}", self.clip.file),
            "languageHint": self.clip.hint,
            "createdAt": self.created_at,
            "correlationId": random_id().to_string(),
        })
        .to_string()
    }
}

fn random_id() -> Uuid {
    uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clips::Expected;

    #[test]
    fn a_line_is_a_job_that_the_worker_takes() {
        let mut clip = Clip {
            file: "mr-008.wav".to_owned(),
            hint: Some("mr-IN".to_owned()),
            expected: Expected {
                text: String::new(),
                language: "mr".to_owned(),
            },
            seconds: 1.0,
        };
        let job = Job::new(&clip, SystemTime::UNIX_EPOCH);
        let read = stt_schema::Job::parse(job.line("http://127.0.0.1:80/").as_bytes()).unwrap();
        assert_eq!((read.job_id, read.created_at.unix_ms()), (job.id, 0));
        assert_eq!(read.audio_url.expose().to_string(), "http://127.0.0.1:80/mr-008.wav");
        assert_eq!(read.language_hint.unwrap().code(), "mr");

        clip.hint = None;
        let line = Job::new(&clip, SystemTime::UNIX_EPOCH).line("http://127.0.0.1:80/");
        assert_eq!(stt_schema::Job::parse(line.as_bytes()).unwrap().language_hint, None);
    }
}
