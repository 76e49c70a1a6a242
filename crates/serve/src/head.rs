//! The head of a request: its first line, and lines of headers that are only checked for their form.

use std::str::FromStr as _;

use tiny_http::Method;

/// A request of which the head has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: Method,
    target: String,
}

/// Why bytes are no request that can be answered; each has its status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// 400: not HTTP, such as a TLS handshake on a port that speaks none.
    Malformed,
    /// 431: the head is longer than the limit.
    TooLarge,
    /// 505: HTTP, but not 1.0 or 1.1.
    Version,
}

impl BadRequest {
    /// Its status code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::TooLarge => 431,
            Self::Version => 505,
        }
    }
}

impl Request {
    /// Reads the head at the start of `bytes`; what follows it is a body, and ignored. `None` while it is incomplete.
    ///
    /// # Errors
    /// As soon as no further bytes could make it a request: a TLS handshake is refused at its first byte.
    pub fn parse(bytes: &[u8], head_bytes_max: usize) -> Result<Option<Self>, BadRequest> {
        let mut lines = Lines(bytes);
        // RFC 9112, 2.2: empty lines before the request are to be ignored.
        let first = loop {
            match lines.next() {
                Some(b"") => {}
                Some(line) => break Ok(line),
                None => break Err(lines.0),
            }
        };
        let request = match first {
            Ok(line) => Self::from_line(line)?,
            Err(part) => {
                if !part.iter().all(|&byte| is_line_byte(byte) || byte == b'\r')
                    || part
                        .first()
                        .is_some_and(|byte| !byte.is_ascii_uppercase() && *byte != b'\r')
                {
                    return Err(BadRequest::Malformed);
                }
                return incomplete(bytes, head_bytes_max);
            }
        };
        loop {
            match lines.next() {
                Some(b"") => return Ok(Some(request)),
                Some(line) => check_header(line)?,
                None => return incomplete(bytes, head_bytes_max),
            }
        }
    }

    fn from_line(line: &[u8]) -> Result<Self, BadRequest> {
        if !line.iter().copied().all(is_line_byte) {
            return Err(BadRequest::Malformed);
        }
        let line = std::str::from_utf8(line).map_err(|_| BadRequest::Malformed)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(BadRequest::Malformed);
        };
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(BadRequest::Malformed);
        }
        match version {
            "HTTP/1.0" | "HTTP/1.1" => {}
            other if other.starts_with("HTTP/") => return Err(BadRequest::Version),
            _ => return Err(BadRequest::Malformed),
        }
        Ok(Self {
            method: Method::from_str(method).map_err(|()| BadRequest::Malformed)?,
            target: origin_form(target).ok_or(BadRequest::Malformed)?.to_owned(),
        })
    }

    /// The method, `GET` for instance.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// Whether the reply has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// Path and query as the client wrote them: encoded, and starting with `/` (or `*`).
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

fn incomplete(bytes: &[u8], head_bytes_max: usize) -> Result<Option<Request>, BadRequest> {
    if bytes.len() >= head_bytes_max {
        return Err(BadRequest::TooLarge);
    }
    Ok(None)
}

/// RFC 9112, 3.2.2: a server must also accept a target with scheme and authority.
fn origin_form(target: &str) -> Option<&str> {
    if target.starts_with('/') || target == "*" {
        return Some(target);
    }
    let rest = target.strip_prefix("http://")?;
    Some(rest.find('/').map_or("/", |path| &rest[path..]))
}

/// RFC 9112, 5.1: no space before the colon; no folded lines.
fn check_header(line: &[u8]) -> Result<(), BadRequest> {
    let colon = line.iter().position(|&byte| byte == b':');
    let name = colon.map(|colon| &line[..colon]).unwrap_or_default();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(is_token) || line.contains(&0) {
        return Err(BadRequest::Malformed);
    }
    Ok(())
}

fn is_line_byte(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// Complete lines without their ends; what is left over stays.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == b'\n')?;
        let line = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 200;

    #[track_caller]
    fn check(bytes: &[u8], found: Result<Option<(&str, &str)>, BadRequest>) {
        let request = Request::parse(bytes, MAX);
        let told = request
            .as_ref()
            .map(|request| request.as_ref().map(|request| (request.method(), request.target())));
        assert_eq!(
            told.map_err(|error| *error),
            found,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }

    #[test]
    fn what_can_become_no_request_is_refused_at_once() {
        for bytes in [
            &b"\x16\x03\x01\x02\0\x01"[..],
            b"\x01\x02\r\n\r\n",
            b"get / HTTP/1.1\r\n\r\n",
            b"GET /a\0",
            b"GET / \xff",
            b"GET  / HTTP/1.1\r\n",
            b"GET /\r\n\r\n",
            b"GET / FTP/1.1\r\n",
            b"GET /a b HTTP/1.1\r\n",
            b"GET a HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n",
            b"GET / HTTP/1.1\r\n folded: a\r\n",
            b"GET / HTTP/1.1\r\na: \0\r\n",
        ] {
            check(bytes, Err(BadRequest::Malformed));
        }
        check(b"PRI * HTTP/2.0\r\n", Err(BadRequest::Version));
        let long = [b"GET / HTTP/1.1\r\na: ".as_slice(), &[b'x'; MAX]].concat();
        check(&long, Err(BadRequest::TooLarge));
        check(&[b'G'; MAX], Err(BadRequest::TooLarge));
        check(&b"\r\n".repeat(MAX), Err(BadRequest::TooLarge));
    }

    #[test]
    fn a_head_is_read_however_it_is_cut() {
        let whole = b"\r\nGET http://h/live?verbose HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000000\r\n\r\nbody";
        let end = whole.len() - "body".len();
        for cut in 0..end {
            check(&whole[..cut], Ok(None));
        }
        for cut in end..=whole.len() {
            check(&whole[..cut], Ok(Some(("GET", "/live?verbose"))));
        }
        let request = Request::parse(whole, MAX).unwrap().unwrap();
        assert_eq!((request.path(), request.is_head()), ("/live", false));
        check(b"HEAD / HTTP/1.0\n\n", Ok(Some(("HEAD", "/"))));
        check(b"OPTIONS * HTTP/1.1\r\n\r\n", Ok(Some(("OPTIONS", "*"))));
        check(b"BREW http://h HTTP/1.1\r\n\r\n", Ok(Some(("BREW", "/"))));
    }
}
