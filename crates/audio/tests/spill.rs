//! Long bodies, which go to files.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{Change, LATER, assert_failed, fetch, setup};
use stt_core::ErrorCode::{AudioTooLarge, DownloadFailed, DownloadTimeout};
use stt_core::{Fault, Fetched};
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
    assert_eq!(fs::read(file.path()).unwrap(), long);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (path, private) = (file.path().to_owned(), file.path().parent().unwrap().to_owned());
    assert_eq!((mode(&path), mode(&private)), (0o600, 0o700));
    assert_eq!(private.parent(), Some(setup.dir.path()));
    let other = fetch(&setup.fetch, &server.url("/other")).unwrap();
    let Fetched::Spilled(other_file) = &other else {
        panic!("{other:?}")
    };
    assert_ne!(other_file.path().parent(), Some(private.as_path()));
    drop(media);
    assert!(!private.exists() && other_file.path().exists());
    drop(other);
    assert_empty(&setup.dir);

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
        "code: DownloadFailed, fault: WorkerLocal",
        "no room for what came from http://127.0.0.1",
        "File too large",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_this_workers_trouble() {
    let server = Server::start(vec![body(&[7; 5000])]);
    let setup = setup(|config| config.memory_max = 1000);
    let path = setup.dir.path().to_owned();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "in the way").unwrap();
    assert_failed(
        fetch(&setup.fetch, &server.url("/")),
        DownloadFailed,
        Fault::WorkerLocal,
    );
    fs::remove_file(&path).unwrap();
}
