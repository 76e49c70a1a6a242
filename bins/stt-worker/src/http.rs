//! The two ports: a thread each.

use std::net::{IpAddr, TcpListener};

use stt_serve::{Limits, Reply, Server};

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

/// Serves at `host`, or on all interfaces, until the process ends. The port, as 0 takes a free one.
pub(crate) fn serve(
    name: &'static str,
    host: Option<IpAddr>,
    port: u16,
    answer: impl Fn(&str) -> Answer + Send + 'static,
) -> Result<u16, Cause> {
    let listener = match host {
        Some(host) => TcpListener::bind((host, port))?,
        None => stt_serve::listen_on_all(port)?,
    };
    let server = Server::start(name, listener, Limits::default(), move |request| {
        let answer = match request.method() {
            "GET" | "HEAD" => answer(request.path()),
            _ => return Reply::text(405, "only GET is answered\n").with_header("Allow", "GET, HEAD"),
        };
        Reply::of_type(answer.status, answer.content_type, answer.body)
    })?;
    let port = server.address().port();
    server.detach();
    Ok(port)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpStream};

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
        let port = serve("test", None, 0, |path| {
            Answer::text(200, format!("you asked for {path}"))
        })
        .unwrap();
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
            serve("test", None, port, |_| Answer::text(200, "")).is_err(),
            "the port is taken"
        );
    }

    #[test]
    fn a_port_is_opened_at_the_chosen_interface_only() {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let port = serve("test", Some(loopback), 0, |_| Answer::text(200, "here")).unwrap();
        assert!(ask(port, "GET / HTTP/1.1\r\n\r\n").ends_with("here"));
        assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).is_err());
        let elsewhere = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        assert!(serve("test", Some(elsewhere), 0, |_| Answer::text(200, "")).is_err());
    }
}
