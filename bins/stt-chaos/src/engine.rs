//! An engine that costs nothing and does what the job's URL asks for.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use stt_core::{
    AudioUrl, Budget, Decode, ErrorCode, Failure, Fetch, Fetched, Language, Pcm, Segment, Transcribe,
    TranscribeRequest, Transcript,
};

use crate::job::{self, Fate, Job};

/// The three steps of a job, without network, media or model. What is downloaded is the URL, what is decoded is a tone in
/// which every sample is a byte of it, and what is heard is a text about it: should jobs be mixed up on the way, their
/// texts show it.
pub(crate) struct Engine {
    /// One file, named by the job's number, for each flaky job that has failed once, whoever worked on it, and for each
    /// held job that was let go.
    pub(crate) tried: PathBuf,
}

/// What the log says when a job is begun; before its number.
pub(crate) const BEGUN: &str = "begun job ";

/// What the log says last when a job ends the process.
pub(crate) const POISON: &str = "poison";

impl Fetch for Engine {
    fn fetch(&self, url: &AudioUrl, _budget: &Budget<'_>) -> Result<Fetched, Failure> {
        let url = url.expose().to_string();
        let job = read(&url)?;
        log::info!("{BEGUN}{}", job.number);
        match job.fate {
            Fate::Gone => Err(Failure::permanent(
                ErrorCode::DownloadHttpStatus,
                "the server answered 410",
            )),
            Fate::Stubborn => Err(Failure::transient(ErrorCode::DownloadFailed, "the transfer broke")),
            Fate::Flaky => match File::create_new(self.tried.join(job.number.to_string())) {
                Ok(_) => Err(Failure::transient(
                    ErrorCode::DownloadFailed,
                    "the first transfer broke",
                )),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Fetched::Memory(url.into_bytes())),
                Err(error) => Err(Failure::fatal(ErrorCode::DownloadFailed, "cannot note a first try").because(error)),
            },
            Fate::Good | Fate::Junk | Fate::Poison | Fate::Held => Ok(Fetched::Memory(url.into_bytes())),
        }
    }
}

impl Decode for Engine {
    fn decode(&self, media: &Fetched, _budget: &Budget<'_>) -> Result<Pcm, Failure> {
        let Fetched::Memory(bytes) = media else {
            return Err(Failure::fatal(
                ErrorCode::AudioDecodeFailed,
                "the download is not in memory",
            ));
        };
        let samples = bytes.iter().map(|byte| f32::from(*byte) / 256.0).collect();
        Ok(Pcm { samples })
    }
}

impl Transcribe for Engine {
    fn transcribe(&self, pcm: &Pcm, request: &TranscribeRequest, budget: &Budget<'_>) -> Result<Transcript, Failure> {
        let bytes: Vec<u8> = pcm.samples.iter().map(|sample| (sample * 256.0) as u8).collect();
        let url = String::from_utf8_lossy(&bytes);
        let job = read(&url)?;
        if job.fate == Fate::Poison {
            log::error!("{POISON} in job {}", job.number);
            std::process::abort();
        }
        self.work(&job, budget)?;
        let text = job::text(&url);
        let segment = Segment {
            text: text.clone(),
            tokens: vec![1],
            avg_logprob: -0.5,
            ..Segment::default()
        };
        Ok(Transcript {
            text,
            language: request.language.or_else(|| Language::from_tag("mr").ok()),
            segments: vec![segment],
            duration_sec: pcm.duration().as_secs_f64(),
            ..Transcript::default()
        })
    }
}

impl Engine {
    /// Takes its time, and looks at its budget meanwhile as the real one does.
    fn work(&self, job: &Job, budget: &Budget<'_>) -> Result<(), Failure> {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        let clock = budget.clock();
        let until = clock.now() + job.work();
        loop {
            let left = until.saturating_duration_since(clock.now());
            let is_held = job.fate == Fate::Held && !self.tried.join(job.number.to_string()).exists();
            if left.is_zero() && !is_held {
                return Ok(());
            }
            if budget.check().is_err() {
                return Err(Failure::transient(ErrorCode::TranscribeFailed, "stopped"));
            }
            clock.sleep(if is_held { LOOK_EVERY } else { left.min(LOOK_EVERY) });
        }
    }
}

fn read(url: &str) -> Result<Job, Failure> {
    Job::read(url).ok_or_else(|| Failure::fatal(ErrorCode::TranscribeFailed, format!("{url} is of no plan")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stt_core::{Cancel, Fault, SystemClock};

    fn run(engine: &Engine, fate: Fate) -> Result<Transcript, Failure> {
        let job = Job {
            number: 17,
            fate,
            work_ms: 1,
            copies: 1,
        };
        let cancel = Cancel::default();
        let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(10));
        let url = job.url().parse().expect("a plan's URL is one");
        let pcm = engine.decode(&engine.fetch(&url, &budget)?, &budget)?;
        engine.transcribe(&pcm, &TranscribeRequest::default(), &budget)
    }

    #[test]
    fn each_job_gets_what_its_url_asks_for() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine {
            tried: directory.path().to_owned(),
        };
        let fault = |fate| run(&engine, fate).map(|_| ()).unwrap_err().fault;
        let transient = Fault::Transient { after: None };
        assert_eq!(fault(Fate::Gone), Fault::Permanent);
        assert_eq!([fault(Fate::Stubborn), fault(Fate::Stubborn)], [transient, transient]);
        assert_eq!(fault(Fate::Flaky), transient);
        assert_eq!(
            run(&engine, Fate::Flaky).unwrap().text,
            "heard http://chaos.invalid/17/flaky/1"
        );
        // It was let go by the file that the flaky one left.
        assert_eq!(
            run(&engine, Fate::Held).unwrap().text,
            "heard http://chaos.invalid/17/held/1"
        );
        assert_eq!(
            run(&engine, Fate::Good).unwrap().text,
            "heard http://chaos.invalid/17/good/1"
        );
    }
}
