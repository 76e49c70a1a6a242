//! Servers that send too slowly or too much.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::time::Duration;

use common::{Change, LATER, answer, assert_failed, fetch, fetch_within, setup};
use stt_audio::FetchConfig;
use stt_core::ErrorCode::{AudioTooLarge, DownloadTimeout};
use stt_core::{Fault, Fetched};
use stt_testkit::faulty::{
    FaultyServer as Server, Reply, body, endless_body, endless_chunks, gzip_bomb, huge, raw, silence, slow_body,
    slow_headers,
};

#[test]
fn a_slow_server_costs_no_more_than_the_time_allowed() {
    let pause = Duration::from_millis(5);
    let stalls = [
        silence(""),
        silence("HTTP/1.1 200 OK\r\nContent-Le"),
        silence("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow"),
        slow_headers(pause),
        slow_body(pause),
        endless_chunks(),
    ];
    for reply in stalls {
        let server = Server::start(vec![reply]);
        let fetcher = setup(|config| config.bytes_max = u64::MAX).fetch;
        let late = fetch_within(&fetcher, &server.url("/"), Duration::from_millis(150));
        let failure = assert_failed(late, DownloadTimeout, LATER);
        assert!(failure.message.starts_with("not within 150ms"), "{failure}");
    }
}

/// The download has 30 s; each of these ends before, by a limit of its own.
#[test]
fn a_slow_server_is_left_before_the_whole_time_is_lost() {
    let pause = Duration::from_millis(5);
    let silence = |config: &mut FetchConfig| config.silence_max = Duration::from_millis(100);
    let answer = |config: &mut FetchConfig| config.answer_timeout = Duration::from_millis(100);
    let pace = |config: &mut FetchConfig| config.throughput_window = Duration::from_millis(100);
    let cases: [(Reply, Change, &str); 3] = [
        (silence_after_headers(), silence, "one step of the download"),
        (slow_headers(pause), answer, "one step of the download"),
        (slow_body(pause), pace, "fewer than 1024 bytes a second over 100ms"),
    ];
    for (reply, limit, message) in cases {
        let server = Server::start(vec![reply]);
        let failure = assert_failed(fetch(&setup(limit).fetch, &server.url("/")), DownloadTimeout, LATER);
        assert!(failure.message.starts_with(message), "{failure}");
    }
    let server = Server::start(vec![slow_body(pause)]);
    let patient = setup(|config| {
        (config.throughput_min, config.throughput_window) = (0, Duration::from_millis(1));
        config.bytes_max = 20;
    });
    assert_failed(fetch(&patient.fetch, &server.url("/")), AudioTooLarge, Fault::Permanent);
}

fn silence_after_headers() -> Reply {
    silence("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow")
}

#[test]
fn too_much_is_refused_when_claimed_and_when_read() {
    let small = |config: &mut FetchConfig| config.bytes_max = 1000;
    let replies = [
        huge(1001), // refused before the missing body is noticed
        raw(format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(1001))),
        endless_body(),
        endless_chunks(),
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
fn a_gzip_bomb_stays_packed() {
    let bomb = answer(gzip_bomb()).unwrap();
    assert!(bomb.len() < 2000, "{} bytes", bomb.len());
}

#[test]
fn a_body_ends_where_its_length_says() {
    let long = raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\naudio and more");
    assert!(matches!(answer(long).unwrap(), Fetched::Memory(bytes) if bytes == b"audio"));
}
