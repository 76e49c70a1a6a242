//! The two ports: tiny_http, a thread each.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tiny_http::{Header, Method, Response, Server};

use crate::error::Cause;

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

/// Serves on all interfaces until the process ends; nothing waits for its thread. The port, as 0 takes a free one.
pub(crate) fn serve(
    name: &'static str,
    port: u16,
    answer: impl Fn(&str) -> Answer + Send + 'static,
) -> Result<u16, Cause> {
    // The first also takes IPv4, where the system has IPv6 at all.
    let addresses = [
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
    ];
    let server = Server::http(&addresses[..])?;
    let port = server.server_addr().to_ip().map_or(port, |address| address.port());
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        for request in server.incoming_requests() {
            let path = request.url().split('?').next().unwrap_or_default();
            let answer = match request.method() {
                Method::Get | Method::Head => answer(path),
                _ => Answer::text(405, "only GET is answered\n"),
            };
            let content_type = Header::from_bytes("Content-Type", answer.content_type).expect("plain ASCII");
            let response = Response::from_string(answer.body).with_status_code(answer.status);
            // A client that goes away has no use for the answer.
            request.respond(response.with_header(content_type)).ok();
        }
    })?;
    Ok(port)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

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
        (0..6).for_each(|_| drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()));
        for (request, status, body) in [
            (
                "POST /live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                "405",
                "only GET is answered\n",
            ),
            ("\u{1}\u{2}\r\n\r\n", "400", ""),
            (
                "GET /live?verbose HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                "200",
                "you asked for /live",
            ),
            ("HEAD / HTTP/1.0\r\n\r\n", "200", ""),
        ] {
            let answer = ask(port, request);
            let (head, found) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
            assert_eq!(found, body);
        }
        assert!(
            serve("test", port, |_| Answer::text(200, "")).is_err(),
            "the port is taken"
        );
    }
}
