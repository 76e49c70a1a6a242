//! Serves files over HTTP while their jobs are under way.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread;

use tiny_http::{Header, Request, Response, Server};

use crate::address::Address;
use crate::site::{Answer, Site};

/// An open port. It closes when this is dropped.
pub(crate) struct Serving {
    server: Arc<Server>,
    /// The port, also when the system picked it.
    pub(crate) port: u16,
}

/// So many requests are answered at a time; a slow reader holds one place.
const THREADS: usize = 4;

impl Serving {
    /// Takes the port and answers requests from now on.
    pub(crate) fn start(address: &Address, site: Site) -> Result<Self, String> {
        let cannot = |cause: &str| format!("cannot serve at {}: {cause}", address.host);
        let server = Server::http((address.host.as_str(), address.port)).map_err(|error| cannot(&error.to_string()))?;
        let port = server.server_addr().to_ip().map(|address| address.port());
        let serving = Self {
            port: port.ok_or_else(|| cannot("no port was opened"))?,
            server: Arc::new(server),
        };
        let site = Arc::new(site);
        for _ in 0..THREADS {
            let (server, site) = (serving.server.clone(), site.clone());
            thread::spawn(move || {
                for request in server.incoming_requests() {
                    // A reader that goes away has no use for an answer; it may come again.
                    answer(&site, request).ok();
                }
            });
        }
        Ok(serving)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        for _ in 0..THREADS {
            self.server.unblock();
        }
    }
}

fn answer(site: &Site, request: Request) -> io::Result<()> {
    let (path, content_type) = match site.answer(request.method().as_str(), request.url()) {
        Answer::File { path, content_type } => (path, content_type),
        Answer::NotFound => return request.respond(Response::empty(404)),
        Answer::BadMethod => return request.respond(Response::empty(405).with_header(header("Allow", "GET, HEAD"))),
    };
    // Gone or closed since it was looked at.
    let Ok(file) = File::open(path) else {
        return request.respond(Response::empty(404));
    };
    // Chunks would hide the length, by which workers refuse what is too large before they load it.
    let response = Response::from_file(file).with_chunked_threshold(usize::MAX);
    request.respond(response.with_header(header("Content-Type", content_type)))
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("both are plain ASCII")
}
