//! Downloads through the operator's proxy, which looks hosts up itself.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use common::{assert_failed, config, fetch};
use stt_audio::{FetchConfig, HttpFetch};
use stt_core::ErrorCode::{DownloadFailed, SsrfBlocked};
use stt_core::{Failure, Fault, Fetched};
use stt_testkit::faulty::{FaultyServer, Forbidden, Reply, asked_first, body, redirect, status, tunnel};
use tempfile::tempdir;

fn fetch_through(proxy: &str, url: &str) -> Result<Fetched, Failure> {
    let dir = tempdir().unwrap();
    let config = FetchConfig {
        proxy: Some(proxy.parse().unwrap()),
        allow: vec!["media.internal".parse().unwrap()],
        deny: vec![".evil.example".parse().unwrap()],
        ..config(dir.path())
    };
    fetch(&HttpFetch::new(config).unwrap(), url)
}

fn behind(reply: Reply) -> Reply {
    tunnel(asked_first(reply))
}

#[test]
fn what_a_url_says_of_a_private_target_is_enough_to_ask_no_proxy() {
    let forbidden = Forbidden::start();
    let proxy = format!("http://127.0.0.1:{}", forbidden.port());
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "localhost",
        "1.2.3.4.5",
        "evil.example",
        "a.evil.example",
        "media.example:22",
    ] {
        for scheme in ["http", "https"] {
            let refused = fetch_through(&proxy, &format!("{scheme}://{host}/"));
            assert_failed(refused, SsrfBlocked, Fault::Permanent);
            assert!(!forbidden.was_touched(), "the proxy was asked for {host}");
        }
    }
}

#[test]
fn a_redirect_behind_a_proxy_is_judged_as_well() {
    let proxy = FaultyServer::start(vec![behind(redirect("http://169.254.169.254/latest/"))]);
    let refused = fetch_through(&proxy.url(""), "http://media.example/");
    assert_failed(refused, SsrfBlocked, Fault::Permanent);
    assert_eq!(proxy.requests().len(), 1);
}

#[test]
fn a_proxy_that_refuses_is_told_without_its_password() {
    let proxy = FaultyServer::start(vec![status(407, "")]);
    let url = format!("http://me:hunter2@{}", proxy.address);
    let refused = fetch_through(&url, "http://media.example/?token=secret");
    let failure = assert_failed(refused, DownloadFailed, Fault::Transient { after: None });
    let story = failure.error_chain();
    assert!(story.contains("407"), "{story}");
    assert!(!story.contains("hunter2") && !story.contains("secret"), "{story}");
}

#[test]
fn names_and_credentials_go_to_the_proxy_and_no_further() {
    for (host, connect) in [
        ("media.example", "CONNECT media.example:80 HTTP/1.1"),
        ("media.internal:8080", "CONNECT media.internal:8080 HTTP/1.1"),
        ("1.1.1.1", "CONNECT 1.1.1.1:80 HTTP/1.1"),
    ] {
        let heard_behind: Reply = Box::new(|stream| {
            let mut head = [0; 512];
            let count = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..count]).to_ascii_lowercase();
            assert!(head.starts_with("get /a?b=c http/1.1"), "{head}");
            assert!(!head.contains("authorization"), "{head}");
            body(b"audio")(stream);
        });
        let proxy = FaultyServer::start(vec![tunnel(heard_behind)]);
        let url = format!("http://me:hunter2@{}", proxy.address);
        let media = fetch_through(&url, &format!("http://{host}/a?b=c")).unwrap();
        assert_eq!(media.len(), 5);
        let requests = proxy.requests();
        assert!(requests[0].starts_with(connect), "{requests:?}");
        assert!(requests[0].contains("Basic bWU6aHVudGVyMg=="), "{requests:?}");
    }
}
