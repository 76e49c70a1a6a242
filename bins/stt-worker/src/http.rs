//! The least of an HTTP server: it answers GET, with everything bounded.
//!
//! By hand, as the servers at hand take any number of connections, a thread each, and wait for them without limit. Here a
//! fixed few threads give each connection two seconds; further ones wait in the system's queue.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stt_core::{Clock as _, SystemClock};

/// Connections served at once.
const THREADS: usize = 4;
/// Time for a request to arrive; and again for its answer to leave.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Largest request head.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Pause when no connection can be taken, for want of file descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }
}

/// Serves on all interfaces until the process ends; nothing waits for its threads. The port, as 0 takes a free one.
pub(crate) fn serve(
    name: &'static str,
    port: u16,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> io::Result<u16> {
    // The first also takes IPv4, where the system has IPv6 at all.
    let addresses = [
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
    ];
    let listener = Arc::new(TcpListener::bind(&addresses[..])?);
    let port = listener.local_addr()?.port();
    let answer = Arc::new(answer);
    for number in 0..THREADS {
        let (listener, answer) = (Arc::clone(&listener), Arc::clone(&answer));
        std::thread::Builder::new()
            .name(format!("{name}-{number}"))
            .spawn(move || {
                loop {
                    match listener.accept() {
                        // A client that goes away, or sends what is no request, is no concern of ours.
                        Ok((stream, _)) => drop(converse(stream, &*answer)),
                        Err(_) => SystemClock.sleep(ACCEPT_PAUSE),
                    }
                }
            })?;
    }
    Ok(port)
}

/// One request, one answer.
fn converse(mut stream: TcpStream, answer: impl Fn(&str) -> Answer) -> io::Result<()> {
    let head = read_head(&mut stream)?;
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let answer = match method {
        _ if !path.starts_with('/') => Answer::text(400, "not an HTTP request\n"),
        "GET" | "HEAD" => answer(path),
        _ => Answer::text(405, "only GET is answered\n"),
    };
    let reason = match answer.status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let (status, content_type, body) = (answer.status, answer.content_type, answer.body);
    let length = body.len();
    let mut text = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    if method != "HEAD" {
        text.push_str(&body);
    }
    stream.set_write_timeout(Some(TIME_MAX))?;
    stream.write_all(text.as_bytes())
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let deadline = Instant::now() + TIME_MAX;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > HEAD_BYTES_MAX {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&piece[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn what_is_no_get_is_refused_and_does_not_stop_the_next() {
        let port = serve("test", 0, |path| Answer::text(200, format!("you asked for {path}"))).unwrap();
        // More than there are threads: connected, silent, and gone.
        (0..THREADS + 2).for_each(|_| drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()));
        for (request, status, body) in [
            ("POST /live HTTP/1.1\r\n\r\n", "405", "only GET is answered\n"),
            ("\u{1}\u{2}\r\n\r\n", "400", "not an HTTP request\n"),
            (
                "GET /live?verbose HTTP/1.1\r\nHost: h\r\n\r\n",
                "200",
                "you asked for /live",
            ),
            ("HEAD / HTTP/1.0\r\n\r\n", "200", ""),
        ] {
            let answer = ask(port, request);
            let (head, found) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert_eq!(found, body);
        }
        assert!(
            serve("test", port, |_| Answer::text(200, "")).is_err(),
            "the port is taken"
        );
    }
}
