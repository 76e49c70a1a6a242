//! What a URL has after its `?` is told to its server, and to nobody else.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::sync::Mutex;
use std::time::Duration;

use common::{config, fetch};
use log::{LevelFilter, Log, Metadata, Record};
use stt_audio::{FetchConfig, HttpFetch};
use stt_testkit::faulty::{FaultyServer, Reply, body, endless_body, raw, redirect, silence, status, too_short};
use tempfile::tempdir;

/// Everything that is logged by this process, the client's lines too. Their trace has whole URLs, which is why the worker
/// never shows it.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.target(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

#[test]
fn no_failure_and_no_line_of_the_log_has_the_query() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Debug);
    let stories: Vec<Vec<Reply>> = vec![
        vec![body(b"audio")],
        vec![redirect("/b?token=secret"), redirect("?token=secret"), status(404, "")],
        vec![redirect("http://169.254.169.254/?token=secret")],
        vec![redirect("http://user:secret@127.0.0.1/")],
        vec![redirect("ftp://127.0.0.1/?token=secret")],
        vec![redirect("http://no.such.host.invalid/?token=secret")],
        (0..4).map(|_| redirect("/b?token=secret")).collect(),
        vec![status(503, "")],
        vec![too_short(9, b"short")],
        vec![endless_body()],
        vec![silence("HTTP/1.1 200 OK\r\n")],
        vec![raw("nonsense\r\n\r\n")],
    ];
    let dir = tempdir().unwrap();
    let fetcher = HttpFetch::new(FetchConfig {
        silence_max: Duration::from_millis(100),
        ..config(dir.path())
    })
    .unwrap();
    let mut failed = 0;
    for replies in stories {
        let server = FaultyServer::start(replies);
        if let Err(failure) = fetch(&fetcher, &server.url("/a?token=secret")) {
            let (story, debug) = (failure.story(), format!("{failure:?}"));
            assert!(
                !story.contains("secret") && !debug.contains("secret"),
                "{story}\n{debug}"
            );
            failed += 1;
        }
        let heard = server.requests();
        assert!(heard[0].starts_with("GET /a?token=secret "), "{heard:?}");
    }
    assert_eq!(failed, 11);
    let lines = LINES.0.lock().unwrap();
    assert!(lines.iter().any(|line| line.contains("redirects to")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("ureq")), "{lines:#?}");
    let told: Vec<_> = lines.iter().filter(|line| line.contains("secret")).collect();
    assert!(told.is_empty(), "{told:#?}");
}
