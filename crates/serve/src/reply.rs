//! What is answered.

use std::fs::File;
use std::io::{self, Read, Take};

use tiny_http::{HTTPVersion, Header, Response, StatusCode};

/// An answer: a text, or a file of a known length.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text(String),
    File(File, u64),
}

impl Reply {
    /// A text for people.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::of_type(status, "text/plain; charset=utf-8", text)
    }

    /// A text of a media type.
    pub fn of_type(status: u16, content_type: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", content_type)],
            body: Body::Text(text.into()),
        }
    }

    /// No body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: vec![],
            body: Body::Text(String::new()),
        }
    }

    /// A whole file with its length, from where it stands; should it shrink meanwhile, the connection breaks off.
    ///
    /// # Errors
    /// When its length cannot be read.
    pub fn file(file: File, content_type: &'static str) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self {
            status: 200,
            headers: vec![("Content-Type", content_type)],
            body: Body::File(file, length),
        })
    }

    /// With a header besides.
    ///
    /// # Panics
    /// At the time of writing, when it is not ASCII.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Its status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The text; empty for a file.
    #[must_use]
    pub fn body(&self) -> &str {
        match &self.body {
            Body::Text(text) => text,
            Body::File(..) => "",
        }
    }

    /// What is written first, and the file that follows it.
    pub(crate) fn into_parts(self, is_head: bool) -> (Vec<u8>, Option<Take<File>>) {
        let length = match &self.body {
            Body::Text(text) => text.len() as u64,
            Body::File(_, length) => *length,
        };
        let mut bytes = self.head(length);
        match self.body {
            _ if is_head => (bytes, None),
            Body::Text(text) => {
                bytes.extend_from_slice(text.as_bytes());
                (bytes, None)
            }
            Body::File(file, length) => (bytes, Some(file.take(length))),
        }
    }

    fn head(&self, length: u64) -> Vec<u8> {
        let header = |name: &str, value: &str| Header::from_bytes(name, value).expect("our headers are ASCII");
        let mut headers = vec![header("Server", "stt")];
        headers.extend(self.headers.iter().map(|(name, value)| header(name, value)));
        let length = usize::try_from(length).expect("a file's length fits where the file does");
        // Chunks would hide the length, by which a client refuses what is too large before it loads it.
        let response = Response::new(StatusCode(self.status), headers, io::empty(), Some(length), None)
            .with_chunked_threshold(usize::MAX);
        let mut bytes = Vec::new();
        response
            .raw_print(&mut bytes, HTTPVersion(1, 1), &[], true, None)
            .expect("a vector takes all");
        // tiny_http sets this header itself, and only for 1.0.
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_states_its_length_and_that_the_connection_ends() {
        let (bytes, file) = Reply::empty(405).with_header("Allow", "GET, HEAD").into_parts(false);
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.split("\r\n").filter(|line| !line.starts_with("Date: ")).collect();
        assert_eq!(
            lines,
            [
                "HTTP/1.1 405 Method Not Allowed",
                "Server: stt",
                "Allow: GET, HEAD",
                "Content-Length: 0",
                "Connection: close",
                "",
                ""
            ]
        );
        assert!(file.is_none());

        let (bytes, _) = Reply::text(200, "four").into_parts(true);
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.contains("Content-Length: 4\r\n") && text.ends_with("\r\n\r\n"),
            "{text}"
        );
    }
}
