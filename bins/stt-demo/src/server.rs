//! The clips over HTTP on loopback, and nothing else.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use stt_serve::{Limits, Reply, Request};

use crate::clips::Clip;

/// Serves until it is dropped.
pub(crate) struct Server(stt_serve::Server);

impl Server {
    /// Serves the `clips` of `folder` at a port that the system chooses.
    pub(crate) fn start(folder: &Path, clips: &[Clip]) -> io::Result<Self> {
        let files: BTreeSet<String> = clips.iter().map(|clip| clip.file.clone()).collect();
        let folder = folder.to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let answer = move |request: &Request| answer(request, &folder, &files);
        Ok(Self(stt_serve::Server::start(
            "audio",
            listener,
            Limits::default(),
            answer,
        )?))
    }

    /// Where the clips are, with the slash at its end.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/", self.0.address())
    }
}

fn answer(request: &Request, folder: &Path, files: &BTreeSet<String>) -> Reply {
    let listed = request.target().strip_prefix('/').filter(|name| files.contains(*name));
    match (request.method(), listed) {
        ("GET" | "HEAD", Some(name)) => File::open(folder.join(name))
            .and_then(|file| Reply::file(file, "application/octet-stream"))
            .unwrap_or_else(|_| Reply::empty(500)),
        (_, Some(_)) => Reply::empty(405).with_header("Allow", "GET, HEAD"),
        (_, None) => Reply::empty(404),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::clips::Expected;

    fn get(server: &Server, path: &str) -> String {
        let mut stream = TcpStream::connect(server.0.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn only_what_is_listed_is_served_and_dropping_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wav"), "RIFF").unwrap();
        std::fs::write(folder.path().join("transcripts.json"), "{}").unwrap();
        let clip = |file: &str| Clip {
            file: file.to_owned(),
            hint: None,
            expected: Expected {
                text: String::new(),
                language: "en".to_owned(),
            },
            seconds: 0.0,
        };
        let server = Server::start(folder.path(), &[clip("a.wav"), clip("gone.wav")]).unwrap();
        for (path, status) in [
            ("/transcripts.json", "404"),
            ("/../a.wav", "404"),
            ("/", "404"),
            ("/gone.wav", "500"),
            ("/a.wav", "200"),
        ] {
            assert!(get(&server, path).starts_with(&format!("HTTP/1.1 {status}")), "{path}");
        }
        let found = get(&server, "/a.wav");
        assert!(
            found.contains("Content-Length: 4\r\n") && found.ends_with("\r\n\r\nRIFF"),
            "{found}"
        );

        let address = server.0.address();
        drop(server);
        assert!(TcpStream::connect(address).is_err(), "still served");
    }
}
