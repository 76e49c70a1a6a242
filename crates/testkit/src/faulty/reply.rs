//! Ways to misbehave.

use std::io::{Read, Write};
use std::time::Duration;

use stt_core::{Clock as _, SystemClock};

use super::read_head;

/// What a reply talks to: a socket, or TLS on one.
pub trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// What is done with one connection, once its request is read.
pub type Reply = Box<dyn FnOnce(&mut dyn Connection) + Send>;

const OK_CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// These bytes, then the end.
#[must_use]
pub fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
    let bytes = bytes.into();
    Box::new(move |stream| {
        let _ = stream.write_all(&bytes); // the client may have left
    })
}

/// A status with headers, each with its line end, and no body.
#[must_use]
pub fn status(status: u16, headers: &str) -> Reply {
    raw(format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\n\r\n"))
}

/// 503 with Retry-After, in seconds.
#[must_use]
pub fn unavailable(retry_after: u64) -> Reply {
    status(503, &format!("Retry-After: {retry_after}\r\n"))
}

/// 302 to there.
#[must_use]
pub fn redirect(to: &str) -> Reply {
    status(302, &format!("Location: {to}\r\n"))
}

/// 200 with that body and its true length.
#[must_use]
pub fn body(body: &[u8]) -> Reply {
    claiming(body.len() as u64, body)
}

/// A body that breaks off after these bytes, of `length` that were claimed.
#[must_use]
pub fn too_short(length: u64, bytes: &[u8]) -> Reply {
    claiming(length, bytes)
}

/// A claim of `length` bytes, and none of them.
#[must_use]
pub fn huge(length: u64) -> Reply {
    claiming(length, b"")
}

fn claiming(length: u64, body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    bytes.extend(body);
    raw(bytes)
}

/// A chunked body that breaks off within a chunk.
#[must_use]
pub fn cut() -> Reply {
    raw(format!("{OK_CHUNKED}5\r\nsh"))
}

/// These bytes, then nothing until the client leaves.
#[must_use]
pub fn silence(bytes: &'static str) -> Reply {
    Box::new(move |stream| {
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.read(&mut [0]);
    })
}

/// Headers without end, one byte every `pause`.
#[must_use]
pub fn slow_headers(pause: Duration) -> Reply {
    over_and_over("HTTP/1.1 200 OK\r\n", "X-Slow: a\r\n", Some(pause))
}

/// A body without end, one byte every `pause`.
#[must_use]
pub fn slow_body(pause: Duration) -> Reply {
    over_and_over("HTTP/1.1 200 OK\r\n\r\n", "a", Some(pause))
}

/// Headers without end, as fast as they are read.
#[must_use]
pub fn endless_headers() -> Reply {
    over_and_over(
        "HTTP/1.1 200 OK\r\n",
        "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
        None,
    )
}

/// A body of no stated length without end, as fast as it is read.
#[must_use]
pub fn endless_body() -> Reply {
    over_and_over("HTTP/1.1 200 OK\r\n\r\n", "aaaaaaaaaaaaaaaa", None)
}

/// Chunks without end, as fast as they are read.
#[must_use]
pub fn endless_chunks() -> Reply {
    over_and_over(OK_CHUNKED, "4\r\naaaa\r\n", None)
}

fn over_and_over(start: &'static str, again: &'static str, pause: Option<Duration>) -> Reply {
    Box::new(move |stream| {
        if stream.write_all(start.as_bytes()).is_err() {
            return;
        }
        let again = pause.map_or_else(|| again.repeat(1_000), |_| again.to_owned());
        let step = pause.map_or(again.len(), |_| 1);
        for bytes in again.as_bytes().chunks(step).cycle() {
            if stream.write_all(bytes).is_err() || stream.flush().is_err() {
                return;
            }
            if let Some(pause) = pause {
                SystemClock.sleep(pause);
            }
        }
    })
}

/// Bytes that gzip would blow up a thousandfold, marked as such although nobody asked for gzip.
#[must_use]
pub fn gzip_bomb() -> Reply {
    let bomb = include_bytes!("bomb.gz"); // a mebibyte of zeros
    let length = bomb.len();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    bytes.extend(bomb);
    raw(bytes)
}

/// Reads a request, then replies: for what comes behind a [`tunnel`], or within TLS.
#[must_use]
pub fn asked_first(reply: Reply) -> Reply {
    Box::new(move |stream| {
        read_head(&mut *stream);
        reply(stream);
    })
}

/// As an HTTP proxy: takes the CONNECT, whose head is already read, and leaves the connection to what is `behind`.
#[must_use]
pub fn tunnel(behind: Reply) -> Reply {
    Box::new(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        behind(stream);
    })
}
