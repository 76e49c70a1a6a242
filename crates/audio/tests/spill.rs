//! Long bodies, which go to files.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use common::{Change, LATER, assert_failed, fetch, setup};
use stt_core::ErrorCode::{AudioTooLarge, DownloadFailed, DownloadTimeout};
use stt_core::{Budget, Cancel, Clock, Fault, Fetch as _, Fetched};
use stt_testkit::faulty::{FaultyServer as Server, Reply, body, endless_body, too_short};
use tempfile::TempDir;

#[test]
fn long_bodies_go_to_a_private_file_that_goes_with_them() {
    let long: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let server = Server::start(vec![body(&long), body(&long), body(&long[..1000])]);
    let setup = setup(|config| config.memory_max = 1000);
    let media = fetch(&setup.fetch, &server.url("/long")).unwrap();
    let Fetched::Spilled(file) = &media else {
        panic!("{media:?}")
    };
    assert_eq!(media.len(), 300_000);
    assert_empty(&setup.dir);
    for _ in 0..2 {
        let mut read = vec![];
        let mut opened = file.open().unwrap();
        opened.read_to_end(&mut read).unwrap();
        assert_eq!(read, long);
        assert!(opened.write_all(b"other").is_err(), "for reading only");
    }
    let found = file.open().unwrap().metadata().unwrap();
    assert_eq!((found.mode() & 0o777, found.nlink()), (0o600, 0));
    assert!(
        found.blocks() * 512 < 400_000,
        "what was reserved beyond it is given back"
    );
    let other = fetch(&setup.fetch, &server.url("/other")).unwrap();
    drop(media);
    assert!(matches!(&other, Fetched::Spilled(file) if file.open().unwrap().metadata().unwrap().len() == 300_000));

    let short = fetch(&setup.fetch, &server.url("/short")).unwrap();
    assert!(matches!(short, Fetched::Memory(_)), "{short:?}");
    assert_empty(&setup.dir);
}

#[track_caller]
fn assert_empty(dir: &TempDir) {
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "files were left behind");
}

#[test]
fn a_long_body_that_fails_leaves_no_file() {
    let part = [7; 5000];
    let cases: [(Reply, Change, _, _); 3] = [
        (too_short(9000, &part), |_| {}, DownloadFailed, LATER),
        (
            endless_body(),
            |config| config.bytes_max = 5000,
            AudioTooLarge,
            Fault::Permanent,
        ),
        (
            silence_after(&[7; 5000]),
            |config| config.silence_max = Duration::from_millis(100),
            DownloadTimeout,
            LATER,
        ),
    ];
    for (reply, limit, code, fault) in cases {
        let server = Server::start(vec![reply]);
        let setup = setup(|config| {
            config.memory_max = 1000;
            limit(config);
        });
        assert_failed(fetch(&setup.fetch, &server.url("/")), code, fault);
        assert_empty(&setup.dir);
    }
}

fn silence_after(part: &'static [u8]) -> Reply {
    Box::new(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let _ = stream.write_all(part);
        let _ = stream.read(&mut [0]);
    })
}

/// The story of long bodies again, where no file may grow beyond a few blocks.
#[test]
fn a_full_disk_is_this_workers_trouble() {
    let test = "long_bodies_go_to_a_private_file_that_goes_with_them";
    // With the signal for such a file ignored, the write fails as it does on a full disk.
    let output = std::process::Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 8; exec "$0" --exact "$1""#])
        .args([std::env::current_exe().unwrap().as_os_str(), test.as_ref()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    for part in [
        "code: DownloadFailed, fault: NoRoom",
        "no room for what came from http://127.0.0.1",
        "File too large",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// A clock that only the test moves.
struct Moved {
    start: Instant,
    by: Mutex<Duration>,
}

impl Clock for Moved {
    fn now(&self) -> Instant {
        self.start + *self.by.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep(&self, _: Duration) {}
}

#[test]
fn a_download_that_does_not_fit_is_not_downloaded_every_second() {
    let long = [7; 5000];
    let server = Server::start(vec![body(&long), body(&long)]);
    let setup = setup(|config| {
        config.memory_max = 1000;
        config.bytes_max = 5000;
    });
    // Nobody can put a file into what is no directory.
    let path = setup.dir.path().to_owned();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "in the way").unwrap();
    let clock = Moved {
        start: Instant::now(),
        by: Mutex::default(),
    };
    let cancel = Cancel::default();
    let fetch_at = |second: u64| {
        *clock.by.lock().unwrap() = Duration::from_secs(second);
        let budget = Budget::new(&clock, &cancel, Duration::from_secs(30));
        setup.fetch.fetch(&server.url("/").parse().unwrap(), &budget)
    };
    for second in 0..60 {
        assert_failed(fetch_at(second), DownloadFailed, Fault::NoRoom);
    }
    fs::remove_file(&path).unwrap();
    let mut tries = (60..180).map(&fetch_at);
    let found = tries.find(|fetched| !matches!(fetched, Err(failure) if failure.fault == Fault::NoRoom));
    assert_eq!(found.unwrap().unwrap().len(), 5000);
    assert_eq!(
        server.requests().len(),
        2,
        "whether there is room is seen without a download"
    );
}

#[test]
fn a_directory_that_cannot_be_written_is_this_workers_trouble() {
    let server = Server::start(vec![body(&[7; 5000])]);
    let setup = setup(|config| config.memory_max = 1000);
    let path = setup.dir.path().to_owned();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "in the way").unwrap();
    assert_failed(fetch(&setup.fetch, &server.url("/")), DownloadFailed, Fault::NoRoom);
    fs::remove_file(&path).unwrap();
}
