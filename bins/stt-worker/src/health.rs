//! What the health port tells.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stt_pipeline::{NotReady, Status};

use crate::http::Answer;

/// The poll thread may be silent for so long; then it hangs, and only a restart helps.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const GUIDE: &str = "/live   200 while the process works, 503 when it should be restarted\n\
                     /ready  200 while jobs are taken and worked on, 503 with the reason otherwise\n";

/// How the process is doing.
#[derive(Debug)]
pub(crate) struct Health(Mutex<Phase>);

#[derive(Debug)]
enum Phase {
    Starting(&'static str),
    Running(Arc<Status>),
}

impl Health {
    /// Alive, but not ready, because of `step`.
    pub(crate) fn starting(step: &'static str) -> Self {
        Self(Mutex::new(Phase::Starting(step)))
    }

    /// The next step of the start.
    pub(crate) fn step(&self, step: &'static str) {
        log::info!("{step}");
        self.set(Phase::Starting(step));
    }

    /// From now on the pipeline tells.
    pub(crate) fn running(&self, now: Instant) -> Arc<Status> {
        let status = Arc::new(Status::new(now));
        self.set(Phase::Running(Arc::clone(&status)));
        status
    }

    /// The answer to a request for `path`.
    pub(crate) fn answer(&self, path: &str, now: Instant) -> Answer {
        match path {
            "/live" => verdict("live", self.live(now)),
            "/ready" => verdict("ready", self.ready(now)),
            "/" => Answer::text(200, GUIDE),
            _ => Answer::text(404, GUIDE),
        }
    }

    /// Loading a model may take minutes: a start is not measured.
    fn live(&self, now: Instant) -> Result<(), String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Running(status) if status.silence(now) >= SILENCE_MAX => {
                Err(format!("kafka was not polled for {} s", status.silence(now).as_secs()))
            }
            _ => Ok(()),
        }
    }

    fn ready(&self, now: Instant) -> Result<(), String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Phase::Starting(step) => Err((*step).to_owned()),
            Phase::Running(status) => status.ready(now).map_err(|why| reason(&why)),
        }
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

/// Anyone may ask. The pipeline gives codes, and what Kafka says; a URL would be a job's.
fn reason(why: &NotReady) -> String {
    match why {
        NotReady::Blocked(text) if text.contains("://") => "blocked: the log has the reason".to_owned(),
        _ => why.to_string(),
    }
}

fn verdict(name: &str, verdict: Result<(), String>) -> Answer {
    let (status, body) = match verdict {
        Ok(()) => (200, serde_json::json!({ name: true })),
        Err(reason) => (503, serde_json::json!({ name: false, "reason": reason })),
    };
    Answer {
        status,
        content_type: "application/json",
        body: format!("{body}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_start_is_alive_and_a_silent_poll_thread_is_not() {
        let start = Instant::now();
        let later = |sec| start + Duration::from_secs(sec);
        let health = Health::starting("loading the model");
        assert_eq!(health.answer("/live", later(600)).status, 200);
        let ready = health.answer("/ready", start);
        assert_eq!(
            (ready.status, ready.body.as_str()),
            (503, "{\"ready\":false,\"reason\":\"loading the model\"}\n")
        );

        health.running(start);
        assert_eq!(health.answer("/live", later(29)).status, 200);
        let live = health.answer("/live", later(30));
        assert_eq!(
            live.body,
            "{\"live\":false,\"reason\":\"kafka was not polled for 30 s\"}\n"
        );
        assert!(health.answer("/ready", start).body.contains("consumer group"));
        assert_eq!(health.answer("/metrics", start).status, 404);
    }

    #[test]
    fn readiness_shows_no_url_of_a_job() {
        for (why, shown) in [
            ("DOWNLOAD_FAILED", "blocked: DOWNLOAD_FAILED"),
            (
                "topic stt.results does not exist",
                "blocked: topic stt.results does not exist",
            ),
            (
                "no room for what came from https://h.example/bot123:token/a",
                "blocked: the log has the reason",
            ),
        ] {
            assert_eq!(reason(&NotReady::Blocked(why.to_owned())), shown);
        }
        assert_eq!(reason(&NotReady::Draining), "shutting down");
    }
}
