//! Serves files over HTTP while their jobs are under way.

use std::fs::File;
use std::net::TcpListener;

use stt_serve::{Limits, Reply, Request, Server};

use crate::address::Address;
use crate::site::{Answer, Site};

/// An open port. It closes when this is dropped.
pub(crate) struct Serving {
    /// The port, also when the system picked it.
    pub(crate) port: u16,
    #[expect(dead_code, reason = "dropping it closes the port")]
    server: Server,
}

impl Serving {
    /// Takes the port and answers requests from now on.
    pub(crate) fn start(address: &Address, site: Site) -> Result<Self, String> {
        let server = TcpListener::bind((address.host.as_str(), address.port)).and_then(|listener| {
            Server::start("audio", listener, Limits::default(), move |request| {
                answer(&site, request)
            })
        });
        let server = server.map_err(|error| format!("cannot serve at {}: {error}", address.host))?;
        Ok(Self {
            port: server.address().port(),
            server,
        })
    }
}

fn answer(site: &Site, request: &Request) -> Reply {
    match site.answer(request.method(), request.target()) {
        // Gone or closed since it was looked at.
        Answer::File { path, content_type } => File::open(path)
            .and_then(|file| Reply::file(file, content_type))
            .unwrap_or_else(|_| Reply::empty(404)),
        Answer::NotFound => Reply::empty(404),
        Answer::BadMethod => Reply::empty(405).with_header("Allow", "GET, HEAD"),
    }
}
