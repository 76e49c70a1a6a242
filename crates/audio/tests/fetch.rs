//! Downloads from servers that misbehave.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use common::{LATER, answer, assert_failed, config, fetch, setup};
use stt_audio::{FetchConfig, HttpFetch};
use stt_core::ErrorCode::{DownloadFailed, DownloadHttpStatus, DownloadTimeout};
use stt_core::{Budget, Cancel, Clock as _, Fault, Fetch, Fetched, SystemClock};
use stt_testkit::faulty::{
    FaultyServer as Server, Forbidden, body, cut, endless_headers, raw, redirect, status, too_short, unavailable,
};
use tempfile::tempdir;

#[test]
fn a_missing_file_is_missing_for_good() {
    let failure = assert_failed(answer(status(404, "")), DownloadHttpStatus, Fault::Permanent);
    assert!(
        failure.message.starts_with("status 404, from http://127.0.0.1:"),
        "{failure}"
    );
    assert!(!failure.error_chain().contains("secret"), "{failure}");
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let after = Some(Duration::from_secs(7));
    assert_failed(answer(unavailable(7)), DownloadHttpStatus, Fault::Transient { after });
    for code in [408, 425, 429, 500] {
        assert_failed(answer(status(code, "")), DownloadHttpStatus, LATER);
    }
}

#[test]
fn a_connection_that_breaks_may_work_later() {
    let broken = [
        raw(""),
        raw("HTTP/1.1 200 OK\r\nContent-Le"),
        too_short(9, b"short"),
        cut(),
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        raw("SSH-2.0-OpenSSH\r\n\r\n"),
        endless_headers(),
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
    assert!(
        failure.error_chain().contains("corrupt message"),
        "{}",
        failure.error_chain()
    );
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
fn a_cancelled_download_says_so_without_dialling() {
    let (cancel, forbidden) = (Cancel::default(), Forbidden::start());
    cancel.cancel();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(30));
    let url = format!("http://127.0.0.1:{}/", forbidden.port()).parse().unwrap();
    assert_failed(setup(|_| {}).fetch.fetch(&url, &budget), DownloadFailed, LATER);
    assert!(!forbidden.was_touched());
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

/// Sends the head and part of a body of no stated length, and resets the connection.
#[test]
fn a_body_of_no_stated_length_that_is_reset_is_no_whole_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf of it").unwrap();
        SystemClock.sleep(Duration::from_millis(50)); // it is read
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let failure = assert_failed(fetch(&setup(|_| {}).fetch, &url), DownloadFailed, LATER);
    assert!(
        failure.error_chain().contains("the connection broke before the end"),
        "{}",
        failure.error_chain()
    );
    server.join().unwrap();
}

/// What this machine is short of costs no job a try.
#[test]
fn what_this_machine_lacks_is_no_fault_of_the_job() {
    let run = |script: &str, test: &str| {
        let output = std::process::Command::new("sh")
            .args(["-c", script])
            .args([std::env::current_exe().unwrap().as_os_str(), test.as_ref()])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = run(
        r#"SSL_CERT_FILE=/nowhere SSL_CERT_DIR=/nowhere exec "$0" --ignored --exact "$1" --nocapture"#,
        "a_download_by_https",
    );
    assert!(
        said.contains("fault: WorkerLocal") && said.contains("No CA certificates"),
        "{said}"
    );
    let said = run(
        r#"exec "$0" --ignored --exact "$1" --nocapture"#,
        "a_download_without_descriptors",
    );
    assert!(said.contains("fault: WorkerLocal"), "{said}");
    let said = run(
        r#"exec "$0" --ignored --exact "$1" --nocapture"#,
        "a_download_without_threads",
    );
    assert!(
        said.contains("fault: WorkerLocal") && said.contains("no thread can be started"),
        "{said}"
    );
}

#[test]
#[ignore = "run by another test, without root certificates"]
fn a_download_by_https() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    println!("{:?}", fetch(&setup(|_| {}).fetch, &url));
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn a_download_without_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (setup, url) = (setup(|_| {}), format!("http://{}/", listener.local_addr().unwrap()));
    let held: Vec<std::fs::File> = {
        let limit = rustix::process::Rlimit {
            current: Some(64),
            ..rustix::process::getrlimit(rustix::process::Resource::Nofile)
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
    };
    let fetched = fetch(&setup.fetch, &url);
    drop(held);
    println!("{fetched:?}");
}

/// A lookup starts a thread. The limit on address space leaves none for its stack; `RLIMIT_NPROC` does not apply to root.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn a_download_without_threads() {
    let setup = setup(|_| {});
    let used = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = used.split(' ').next().unwrap().parse().unwrap();
    let limit = rustix::process::Rlimit {
        current: Some(pages * u64::try_from(rustix::param::page_size()).unwrap() + 256 * 1024),
        ..rustix::process::getrlimit(rustix::process::Resource::As)
    };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
    println!("{:?}", fetch(&setup.fetch, "http://localhost:9/"));
}

#[test]
fn a_host_that_times_out_again_and_again_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap(); // takes connections, and says nothing
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let setup = setup(|config| config.answer_timeout = Duration::from_millis(20));
    for _ in 0..5 {
        assert_failed(fetch(&setup.fetch, &url), DownloadTimeout, LATER);
    }
    let began = std::time::Instant::now();
    let failure = fetch(&setup.fetch, &url).unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(15), "{:?}", began.elapsed());
    assert_eq!(failure.code, DownloadTimeout);
    assert!(matches!(failure.fault, Fault::Transient { after: Some(wait) } if wait > Duration::from_secs(3)));
    let server = Server::start(vec![body(b"audio")]);
    assert_eq!(
        fetch(&setup.fetch, &server.url("/")).unwrap().len(),
        5,
        "another port is another host"
    );
}
