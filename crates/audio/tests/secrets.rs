//! What a URL has behind its host is told to its server, and to nobody else unless asked for; its query never.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::sync::Mutex;
use std::time::Duration;

use common::{config, fetch};
use log::{LevelFilter, Log, Metadata, Record};
use stt_audio::{FetchConfig, HttpFetch};
use stt_core::UrlParts;
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

/// Words in the URLs below, by where they stand.
const PATH: &str = "pathsecret";
const QUERY: &str = "querysecret";

fn stories() -> Vec<Vec<Reply>> {
    let redirects = [
        "http://169.254.169.254/bot1:pathsecret/?token=querysecret",
        "http://user:querysecret@127.0.0.1/pathsecret",
        "ftp://127.0.0.1/pathsecret?token=querysecret",
        "http://no.such.host.invalid/pathsecret?token=querysecret",
        "http://127.0.0.1:1/pathsecret?token=querysecret",
    ];
    let mut stories = vec![
        vec![body(b"audio")],
        vec![
            redirect("/pathsecret/b?token=querysecret"),
            redirect("?token=querysecret"),
            status(404, ""),
        ],
        (0..4).map(|_| redirect("/pathsecret?token=querysecret")).collect(),
        vec![status(503, "")],
        vec![too_short(9, b"short")],
        vec![endless_body()],
        vec![silence("HTTP/1.1 200 OK\r\n")],
        vec![raw("nonsense\r\n\r\n")],
        // TLS to a port that has none.
        vec![redirect("https://localhost:1/pathsecret?token=querysecret")],
    ];
    stories.extend(redirects.map(|location| vec![redirect(location)]));
    stories
}

#[test]
fn no_failure_and_no_line_of_the_log_has_more_of_a_url_than_it_may() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Debug);
    let dir = tempdir().unwrap();
    for (urls_shown, hidden) in [
        (UrlParts::Host, &[PATH, QUERY][..]),
        (UrlParts::Path, &[QUERY]),
        (
            UrlParts::None,
            &[PATH, QUERY, "no.such.host", "169.254.169.254", "127.0.0.1:"],
        ),
    ] {
        let fetcher = HttpFetch::new(FetchConfig {
            silence_max: Duration::from_millis(100),
            urls_shown,
            ..config(dir.path())
        })
        .unwrap();
        let mut failed = 0;
        for replies in stories() {
            let server = FaultyServer::start(replies);
            if let Err(failure) = fetch(&fetcher, &server.url("/file/bot1:pathsecret/a?token=querysecret")) {
                let told = format!("{}\n{failure:?}", failure.error_chain());
                assert!(!hidden.iter().any(|text| told.contains(text)), "{urls_shown:?}: {told}");
                failed += 1;
            }
            let heard = server.requests();
            let target = "GET /file/bot1:pathsecret/a?token=querysecret ";
            assert!(heard[0].starts_with(target), "{heard:?}");
        }
        assert_eq!(failed, stories().len() - 1);
        let lines = std::mem::take(&mut *LINES.0.lock().unwrap());
        assert!(lines.iter().any(|line| line.contains("redirects to")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("ureq")), "{lines:#?}");
        let ours = |line: &&String| !line.starts_with("ureq") || !hidden.contains(&"127.0.0.1:");
        let told: Vec<_> = lines
            .iter()
            .filter(ours)
            .filter(|line| hidden.iter().any(|text| line.contains(text)))
            .collect();
        assert!(told.is_empty(), "{urls_shown:?}: {told:#?}");
    }
}
