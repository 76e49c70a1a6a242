//! The clips over HTTP on loopback, and nothing else.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tiny_http::{Request, Response};

use crate::clips::Clip;

/// Serves until it is dropped.
pub(crate) struct Server {
    http: Arc<tiny_http::Server>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves the `clips` of `folder` at a port that the system chooses.
    pub(crate) fn start(folder: &Path, clips: &[Clip]) -> io::Result<Self> {
        let http = Arc::new(tiny_http::Server::http("127.0.0.1:0").map_err(io::Error::other)?);
        let address = http.server_addr().to_ip().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let files: BTreeSet<String> = clips.iter().map(|clip| clip.file.clone()).collect();
        let (folder, serving) = (folder.to_owned(), Arc::clone(&http));
        let thread = std::thread::Builder::new().name("audio".to_owned()).spawn(move || {
            for request in serving.incoming_requests() {
                // A client that went away is its own affair.
                let _ = answer(request, &folder, &files);
            }
        })?;
        Ok(Self {
            http,
            address,
            thread: Some(thread),
        })
    }

    /// Where the clips are, with the slash at its end.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.http.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(request: Request, folder: &Path, files: &BTreeSet<String>) -> io::Result<()> {
    let listed = request.url().strip_prefix('/').filter(|name| files.contains(*name));
    let path: Option<PathBuf> = listed.map(|name| folder.join(name));
    match path.map(File::open) {
        None => request.respond(Response::empty(404)),
        Some(Err(_)) => request.respond(Response::empty(500)),
        Some(Ok(file)) => request.respond(Response::from_file(file).with_chunked_threshold(usize::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::clips::Expected;

    fn get(server: &Server, path: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
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

        let address = server.address;
        drop(server);
        // The thread that accepts connections ends a moment later.
        let began = std::time::Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(began.elapsed().as_secs() < 10, "still served");
        }
    }
}
