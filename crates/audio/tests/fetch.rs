//! Downloads from servers that misbehave.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{Reply, Server, assert_failed, body, config, endless, fetch, fetch_within, raw, redirect, stall, status};
use stt_audio::{FetchConfig, HttpFetch};
use stt_core::ErrorCode::{AudioTooLarge, DownloadFailed, DownloadHttpStatus, DownloadTimeout};
use stt_core::{Budget, Cancel, Fault, Fetch, Fetched, SystemClock};
use tempfile::{TempDir, tempdir};

const LATER: Fault = Fault::Transient { after: None };

struct Setup {
    fetch: HttpFetch,
    dir: TempDir,
}

fn setup(change: impl FnOnce(&mut FetchConfig)) -> Setup {
    let dir = tempdir().unwrap();
    let mut config = config(dir.path());
    change(&mut config);
    let fetch = HttpFetch::new(config).unwrap();
    Setup { fetch, dir }
}

/// What becomes of one reply.
fn answer(reply: Reply) -> Result<Fetched, stt_core::Failure> {
    let server = Server::start(vec![reply]);
    fetch(&setup(|_| {}).fetch, &server.url("/note.ogg?token=secret"))
}

#[test]
fn a_missing_file_is_missing_for_good() {
    let failure = assert_failed(answer(status(404, "")), DownloadHttpStatus, Fault::Permanent);
    assert!(
        failure.message.starts_with("status 404, from http://127.0.0.1:"),
        "{failure}"
    );
    assert!(!failure.story().contains("secret"), "{failure}");
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let after = Some(Duration::from_secs(7));
    let busy = status(503, "Retry-After: 7\r\n");
    assert_failed(answer(busy), DownloadHttpStatus, Fault::Transient { after });
    assert_failed(answer(status(500, "")), DownloadHttpStatus, LATER);
}

#[test]
fn a_connection_that_breaks_may_work_later() {
    let broken = [
        raw(""),
        raw("HTTP/1.1 200 OK\r\nContent-Le"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsh"),
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        raw("SSH-2.0-OpenSSH\r\n\r\n"),
    ];
    for reply in broken {
        assert_failed(answer(reply), DownloadFailed, LATER);
    }
}

#[test]
fn https_is_not_spoken_with_a_server_that_answers_in_plain_text() {
    let server = Server::start(vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\naudio")]);
    let url = format!("https://{}/note.ogg", server.address);
    let failure = assert_failed(fetch(&setup(|_| {}).fetch, &url), DownloadFailed, LATER);
    assert!(failure.story().contains("corrupt message"), "{}", failure.story());
}

#[test]
fn nobody_there_may_be_there_later() {
    let gone = Server::start(vec![]);
    let url = gone.url("/note.ogg");
    drop(gone.requests());
    assert_failed(fetch(&setup(|_| {}).fetch, &url), DownloadFailed, LATER);
    let fetcher = setup(|_| {}).fetch;
    assert_failed(fetch(&fetcher, "http://no.such.host.invalid/"), DownloadFailed, LATER);
}

#[test]
fn a_server_that_stalls_costs_no_more_than_the_time_allowed() {
    let stalls = [
        stall(""),
        stall("HTTP/1.1 200 OK\r\nContent-Le"),
        stall("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow"),
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"),
    ];
    for reply in stalls {
        let server = Server::start(vec![reply]);
        let fetcher = setup(|config| config.bytes_max = u64::MAX).fetch;
        let late = fetch_within(&fetcher, &server.url("/"), Duration::from_millis(150));
        let failure = assert_failed(late, DownloadTimeout, LATER);
        assert!(failure.message.starts_with("not within 150ms"), "{failure}");
    }
}

#[test]
fn silence_ends_a_download_before_the_whole_time_is_lost() {
    let server = Server::start(vec![stall("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow")]);
    let fetcher = setup(|config| config.silence_max = Duration::from_millis(100)).fetch;
    let failure = assert_failed(fetch(&fetcher, &server.url("/")), DownloadTimeout, LATER);
    assert!(failure.message.starts_with("one step of the download"), "{failure}");
}

#[test]
fn a_cancelled_download_says_so_without_dialling() {
    let (cancel, forbidden) = (Cancel::default(), common::Forbidden::start());
    cancel.cancel();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(30));
    let url = format!("http://127.0.0.1:{}/", forbidden.port()).parse().unwrap();
    assert_failed(setup(|_| {}).fetch.fetch(&url, &budget), DownloadFailed, LATER);
    forbidden.assert_untouched("after a cancel");
}

#[test]
fn too_much_is_refused_when_claimed_and_when_read() {
    let small = |config: &mut FetchConfig| config.bytes_max = 1000;
    let replies = [
        raw("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), // refused before the missing body is noticed
        raw(format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(1001))),
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\naaaa\r\n"),
    ];
    for reply in replies {
        let server = Server::start(vec![reply]);
        let failure = assert_failed(
            fetch(&setup(small).fetch, &server.url("/")),
            AudioTooLarge,
            Fault::Permanent,
        );
        assert!(failure.message.contains("over the limit of 1000"), "{failure}");
    }
    let server = Server::start(vec![body(&[7; 1000])]);
    assert_eq!(fetch(&setup(small).fetch, &server.url("/")).unwrap().len(), 1000);
}

#[test]
fn redirects_end() {
    let server = Server::start((0..4).map(|_| redirect("/again")).collect());
    let failure = assert_failed(
        fetch(&setup(|_| {}).fetch, &server.url("/")),
        DownloadFailed,
        Fault::Permanent,
    );
    assert!(failure.message.starts_with("more than 3 redirects"), "{failure}");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn three_redirects_are_followed() {
    let hops = vec![
        redirect("/b"),
        redirect("c?token=1"),
        redirect("?token=2"),
        body(b"audio"),
    ];
    let server = Server::start(hops);
    let media = fetch(&setup(|_| {}).fetch, &server.url("/a")).unwrap();
    assert!(matches!(media, Fetched::Memory(bytes) if bytes == b"audio"));
    let requests = server.requests();
    let first_lines: Vec<_> = requests.iter().filter_map(|head| head.lines().next()).collect();
    let gets = ["/a", "/b", "/c?token=1", "/c?token=2"].map(|path| format!("GET {path} HTTP/1.1"));
    assert_eq!(first_lines, gets);
}

#[test]
fn a_request_asks_for_plain_bytes_and_carries_nothing_else() {
    let server = Server::start(vec![body(b"audio")]);
    fetch(&setup(|_| {}).fetch, &server.url("/a?token=1")).unwrap();
    let host = format!("host: {}", server.address);
    let head = server.requests().remove(0).to_ascii_lowercase();
    let mut headers: Vec<_> = head.lines().skip(1).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            "accept-encoding: identity",
            "accept: */*",
            &host,
            "user-agent: stt-worker"
        ]
    );
}

#[test]
fn proxy_variables_change_nothing() {
    let nobody = "http://127.0.0.1:9";
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "a_request_asks_for_plain_bytes_and_carries_nothing_else"]);
    for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
        again.env(variable, nobody);
    }
    let output = again.output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{output:?}"
    );
}

#[test]
fn an_empty_body_is_the_decoders_business() {
    for reply in [body(b""), raw("HTTP/1.1 200 OK\r\n\r\n"), raw("HTTP/1.1 204 X\r\n\r\n")] {
        assert!(answer(reply).unwrap().is_empty());
    }
}

#[test]
fn long_bodies_go_to_a_private_file_that_goes_with_them() {
    let long: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let server = Server::start(vec![body(&long), body(&long[..1000])]);
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
    drop(media);
    assert!(!path.exists());

    let short = fetch(&setup.fetch, &server.url("/short")).unwrap();
    assert!(matches!(short, Fetched::Memory(_)), "{short:?}");
    drop(setup.fetch);
    assert!(!private.exists());
}

#[test]
fn a_long_body_that_breaks_leaves_no_file() {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n".to_vec();
    bytes.extend([7; 5000]);
    let server = Server::start(vec![raw(bytes)]);
    let setup = setup(|config| config.memory_max = 1000);
    assert_failed(fetch(&setup.fetch, &server.url("/")), DownloadFailed, LATER);
    let private = fs::read_dir(setup.dir.path()).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read_dir(private.path()).unwrap().count(), 0);
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

#[test]
fn settings_that_cannot_work_are_refused_at_once() {
    let dir = tempdir().unwrap();
    let refused = |change: fn(&mut FetchConfig)| {
        let mut config = config(dir.path());
        change(&mut config);
        HttpFetch::new(config).unwrap_err().to_string()
    };
    assert_eq!(refused(|config| config.bytes_max = 0), "bytes_max must be more than 0");
    let agent = refused(|config| config.user_agent = "a\r\nb".into());
    assert_eq!(agent, r#"the user agent is no header value: "a\r\nb""#);
    let nowhere = refused(|config| config.tmp_dir = "/dev/null/stt".into());
    assert_eq!(nowhere, "no directory for long downloads at /dev/null/stt");
}
