//! A job of the plan: what it does to whoever works on it, written into its URL, and what must become of it.

use std::fmt;
use std::time::Duration;

use stt_schema::ErrorCode;

/// A job of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// From 0.
    pub(crate) number: usize,
    pub(crate) fate: Fate,
    /// How long the engine takes.
    pub(crate) work_ms: u64,
    /// How many records of it are published. A copy has the same id and payload.
    pub(crate) copies: usize,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It succeeds.
    Good,
    /// Its first download breaks; the next one does not.
    Flaky,
    /// Every download of it breaks.
    Stubborn,
    /// There is no such audio.
    Gone,
    /// It is no JSON.
    Junk,
    /// It ends the process that works on it.
    Poison,
    /// It goes on until it is let go, by a file.
    Held,
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has this text.
    Completed(String),
    /// It failed for good.
    Failed(ErrorCode),
}

const HOST: &str = "http://chaos.invalid";

impl Fate {
    pub(crate) const ALL: [Self; 7] = [
        Self::Good,
        Self::Flaky,
        Self::Stubborn,
        Self::Gone,
        Self::Junk,
        Self::Poison,
        Self::Held,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Flaky => "flaky",
            Self::Stubborn => "stubborn",
            Self::Gone => "gone",
            Self::Junk => "junk",
            Self::Poison => "poison",
            Self::Held => "held",
        }
    }
}

impl Job {
    /// The audio URL: all that a worker knows of it.
    pub(crate) fn url(&self) -> String {
        format!("{HOST}/{}/{}/{}", self.number, self.fate.as_str(), self.work_ms)
    }

    /// A job by its URL; copies are not told there.
    pub(crate) fn read(url: &str) -> Option<Self> {
        let mut words = url.strip_prefix(HOST)?.strip_prefix('/')?.split('/');
        let (number, fate, work_ms) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            number: number.parse().ok()?,
            fate: Fate::ALL.into_iter().find(|known| known.as_str() == fate)?,
            work_ms: work_ms.parse().ok()?,
            copies: 1,
        })
    }

    pub(crate) fn work(&self) -> Duration {
        Duration::from_millis(self.work_ms)
    }

    /// The job's id, which is the key of all its records.
    pub(crate) fn id(&self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.number)
    }

    /// The record's value. The same for every copy.
    pub(crate) fn payload(&self) -> Vec<u8> {
        if self.fate == Fate::Junk {
            return format!("{{\"jobId\": \"{}\", and then", self.id()).into_bytes();
        }
        let job = serde_json::json!({
            "jobId": self.id(),
            "taskId": self.id(),
            "audioUrl": self.url(),
            "languageHint": "mr",
            "createdAt": "2026-01-01T00:00:00Z",
            "correlationId": self.id(),
        });
        job.to_string().into_bytes()
    }

    /// What must become of it.
    pub(crate) fn end(&self) -> End {
        match self.fate {
            Fate::Good | Fate::Flaky | Fate::Held => End::Completed(text(&self.url())),
            Fate::Stubborn => End::Failed(ErrorCode::DownloadFailed),
            Fate::Gone => End::Failed(ErrorCode::DownloadHttpStatus),
            Fate::Junk => End::Failed(ErrorCode::InvalidJson),
            Fate::Poison => End::Failed(ErrorCode::WorkerCrashed),
        }
    }
}

/// What the engine hears in the audio of a URL.
pub(crate) fn text(url: &str) -> String {
    format!("heard {url}")
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(text) => write!(f, "COMPLETED {text:?}"),
            Self::Failed(code) => write!(f, "FAILED {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(fate: Fate) -> Job {
        Job {
            number: 17,
            fate,
            work_ms: 25,
            copies: 1,
        }
    }

    #[test]
    fn a_stranger_s_url_is_no_job_and_ours_tells_all_that_a_worker_must_know() {
        for url in [
            "http://elsewhere/1/good/2",
            "http://chaos.invalid/1/odd/2",
            "http://chaos.invalid/1",
        ] {
            assert_eq!(Job::read(url), None, "{url}");
        }
        for fate in Fate::ALL {
            let job = any(fate);
            assert_eq!(Job::read(&job.url()), Some(job));
        }
    }

    #[test]
    fn the_worker_takes_every_payload_but_junk_for_a_job() {
        for fate in Fate::ALL {
            let job = any(fate);
            let read = stt_schema::Job::parse(&job.payload());
            match fate {
                Fate::Junk => assert_eq!(read.unwrap_err().code, ErrorCode::InvalidJson),
                _ => assert_eq!(read.unwrap().job_id.to_string(), job.id()),
            }
        }
    }
}
