//! Short ways to fetch from a faulty server.
#![allow(dead_code)] // each test binary uses its part

use std::path::Path;
use std::time::Duration;

use stt_audio::{FetchConfig, HttpFetch};
use stt_core::{Budget, Cancel, ErrorCode, Failure, Fault, Fetch, Fetched, SystemClock};
use stt_testkit::faulty::{FaultyServer, Reply};
use tempfile::{TempDir, tempdir};

/// A passing failure, with nothing said of when to come back.
pub(crate) const LATER: Fault = Fault::Transient { after: None };

/// A change of settings.
pub(crate) type Change = fn(&mut FetchConfig);

/// Settings for loopback, with a directory of its own.
pub(crate) fn config(tmp_dir: &Path) -> FetchConfig {
    FetchConfig {
        allow: vec!["127.0.0.1".parse().unwrap()],
        tmp_dir: tmp_dir.into(),
        ..FetchConfig::default()
    }
}

pub(crate) fn fetch_within(fetch: &HttpFetch, url: &str, allowed: Duration) -> Result<Fetched, Failure> {
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, allowed);
    fetch.fetch(&url.parse().unwrap(), &budget)
}

pub(crate) fn fetch(fetch: &HttpFetch, url: &str) -> Result<Fetched, Failure> {
    fetch_within(fetch, url, Duration::from_secs(30))
}

#[track_caller]
pub(crate) fn assert_failed<T: std::fmt::Debug>(result: Result<T, Failure>, code: ErrorCode, fault: Fault) -> Failure {
    let failure = result.expect_err("it should fail");
    assert_eq!(
        (failure.code, failure.fault),
        (code, fault),
        "{}",
        failure.error_chain()
    );
    failure
}

/// Something to fetch with, and the directory that it has.
pub(crate) struct Setup {
    pub(crate) fetch: HttpFetch,
    pub(crate) dir: TempDir,
}

pub(crate) fn setup(change: impl FnOnce(&mut FetchConfig)) -> Setup {
    let dir = tempdir().unwrap();
    let mut config = config(dir.path());
    change(&mut config);
    let fetch = HttpFetch::new(config).unwrap();
    Setup { fetch, dir }
}

/// What becomes of one reply.
pub(crate) fn answer(reply: Reply) -> Result<Fetched, Failure> {
    let server = FaultyServer::start(vec![reply]);
    fetch(&setup(|_| {}).fetch, &server.url("/note.ogg?token=secret"))
}
