//! An HTTP server that misbehaves as told, and short ways to fetch from it.
#![allow(dead_code)] // each test binary uses its part

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use stt_audio::{FetchConfig, HttpFetch};
use stt_core::{Budget, Cancel, ErrorCode, Failure, Fault, Fetch, Fetched, SystemClock};

/// What the server does with one connection, once it has read the request.
pub(crate) type Reply = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// Serves one connection per reply, in order, on loopback.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(vec![]));
        let heard = requests.clone();
        let thread = std::thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                heard.lock().unwrap().push(read_head(&stream));
                reply(&mut stream);
            }
        });
        Self {
            address,
            requests,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until every reply was given.
    pub(crate) fn requests(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap();
        self.requests.lock().unwrap().clone()
    }
}

fn read_head(stream: &TcpStream) -> String {
    let mut head = String::new();
    for line in BufReader::new(stream).lines() {
        match line {
            Ok(line) if !line.is_empty() => head = head + &line + "\n",
            _ => break,
        }
    }
    head
}

/// Sends these bytes and closes.
pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
    let bytes = bytes.into();
    Box::new(move |stream| {
        let _ = stream.write_all(&bytes);
    })
}

/// A status with headers, without a body.
pub(crate) fn status(status: u16, headers: &str) -> Reply {
    raw(format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\n\r\n"))
}

pub(crate) fn redirect(to: &str) -> Reply {
    status(302, &format!("Location: {to}\r\n"))
}

/// 200 with that body and its true length.
pub(crate) fn body(body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend(body);
    raw(bytes)
}

/// Sends these bytes, then nothing until the client gives up.
pub(crate) fn stall(bytes: &'static str) -> Reply {
    Box::new(move |stream| {
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.read(&mut [0]);
    })
}

/// Sends these bytes, then the chunk again and again until the client gives up.
pub(crate) fn endless(bytes: &'static str, chunk: &'static str) -> Reply {
    Box::new(move |stream| {
        let _ = stream.write_all(bytes.as_bytes());
        while stream.write_all(chunk.as_bytes()).is_ok() {}
    })
}

/// A listener that must not be connected to.
pub(crate) struct Forbidden(TcpListener);

impl Forbidden {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub(crate) fn assert_untouched(&self, story: &str) {
        assert!(self.0.accept().is_err(), "connected to what is forbidden: {story}");
    }
}

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
    assert_eq!((failure.code, failure.fault), (code, fault), "{}", failure.story());
    failure
}
