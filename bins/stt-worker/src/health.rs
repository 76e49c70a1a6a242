//! What the health port says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use stt_pipeline::StatusBoard;

use crate::http::Answer;

const GUIDE: &str = "/livez   200 while the process works, 503 when it should be restarted\n\
                     /readyz  200 while jobs are taken and worked on, 503 with the reason otherwise; the state as JSON\n";

/// How the process is doing.
pub(crate) struct Health(Mutex<Phase>);

enum Phase {
    Starting(&'static str),
    Running(Arc<StatusBoard>, Box<Hosts>),
}

/// What is known of the hosts that audio comes from.
type Hosts = dyn Fn() -> Value + Send + Sync;

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

    /// From now on the pipeline's status is served.
    pub(crate) fn running(&self, now: Instant, hosts: impl Fn() -> Value + Send + Sync + 'static) -> Arc<StatusBoard> {
        let board = Arc::new(StatusBoard::new(now));
        self.set(Phase::Running(Arc::clone(&board), Box::new(hosts)));
        board
    }

    /// The answer to a request for `path`.
    pub(crate) fn answer(&self, path: &str, now: Instant) -> Answer {
        match path {
            "/livez" | "/live" => answer(self.live(now)),
            "/readyz" | "/ready" => answer(self.ready()),
            "/" => Answer::text(200, GUIDE),
            _ => Answer::text(404, GUIDE),
        }
    }

    /// Loading a model may take minutes: a start has no time limit here.
    fn live(&self, now: Instant) -> (bool, Value) {
        match &*self.lock() {
            Phase::Running(board, _) => match board.live(now) {
                Ok(()) => (true, json!({ "live": true })),
                Err(reason) => (false, json!({ "live": false, "reason": reason.to_string() })),
            },
            Phase::Starting(_) => (true, json!({ "live": true })),
        }
    }

    fn ready(&self) -> (bool, Value) {
        match &*self.lock() {
            Phase::Starting(step) => (false, json!({ "ready": false, "reason": step })),
            Phase::Running(board, hosts) => {
                let (status, hosts) = (board.status(), hosts());
                let state = serde_json::to_value(&*status).unwrap_or_default();
                match status.not_ready.first() {
                    None => (true, json!({ "ready": true, "state": state, "hosts": hosts })),
                    Some(reason) => {
                        let (reason, meaning) = (reason.as_str(), reason.to_string());
                        let body = json!({
                            "ready": false, "reason": reason, "meaning": meaning, "state": state, "hosts": hosts
                        });
                        (false, body)
                    }
                }
            }
        }
    }

    fn set(&self, phase: Phase) {
        *self.lock() = phase;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer((good, body): (bool, Value)) -> Answer {
    Answer {
        status: if good { 200 } else { 503 },
        content_type: "application/json",
        body: format!("{body}\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slow_start_is_alive_and_a_silent_polling_thread_is_not() {
        let start = Instant::now();
        let later = |sec| start + Duration::from_secs(sec);
        let health = Health::starting("loading the model");
        assert_eq!(health.answer("/livez", later(600)).status, 200);
        let ready = health.answer("/readyz", start);
        assert_eq!(
            (ready.status, ready.body.as_str()),
            (503, "{\"ready\":false,\"reason\":\"loading the model\"}\n")
        );

        health.running(start, || json!({ "paused": 1 }));
        assert_eq!(health.answer("/live", later(30)).status, 200);
        let live = health.answer("/livez", later(31));
        assert_eq!(
            live.body,
            "{\"live\":false,\"reason\":\"the polling thread has been silent for 31 s\"}\n"
        );
        let ready = health.answer("/ready", start);
        assert_eq!(ready.status, 503);
        let body: Value = serde_json::from_str(&ready.body).unwrap();
        assert_eq!(
            (&body["reason"], &body["state"]["member"], &body["hosts"]["paused"]),
            (&json!("not-member"), &json!(false), &json!(1))
        );
        assert_eq!(health.answer("/metrics", start).status, 404);
    }
}
