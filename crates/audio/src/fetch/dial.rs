//! The guard's place in the HTTP client: what it looks up, and what it dials.

use std::io;
use std::sync::Arc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};

use super::Lookup;
use super::proxy::is_proxy;
use crate::guard::Guard;

/// Most addresses of a host that are tried: what the client's list of them holds.
const ADDRESSES_MAX: usize = 16;

/// Looks a hop up and lets it pass the guard. The client dials what this returns, and nothing else.
#[derive(Clone, Debug)]
pub(super) struct Resolve {
    pub(super) guard: Arc<Guard>,
    pub(super) lookup: Arc<dyn Lookup>,
    /// Whether the log may name hosts.
    pub(super) shows_hosts: bool,
}

impl Resolver for Resolve {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let implied = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(implied);
        let addresses = match self.lookup.lookup(host, port, *timeout.after) {
            Ok(addresses) if addresses.is_empty() => return Err(ureq::Error::HostNotFound),
            Ok(addresses) => addresses,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(ureq::Error::Timeout(timeout.reason)),
            Err(error) => return Err(error.into()),
        };
        // The proxy is the operator's choice; strangers choose what is behind it, which is judged before.
        if !is_proxy(config.proxy(), uri) {
            self.guard.admit(host, &addresses).map_err(|denied| {
                if self.shows_hosts {
                    log::debug!("refused {host}, port {port}, at {addresses:?}: {denied}");
                }
                ureq::Error::Other(denied.into())
            })?;
        }
        let mut admitted = self.empty();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            admitted.push(address);
        }
        Ok(admitted)
    }
}

/// Connects, for all agents alike: the first TLS connection reads the system's roots, the others share them.
#[derive(Clone, Debug)]
pub(super) struct Dialer(pub(super) Arc<dyn Connector<(), Out = Box<dyn Transport>>>);

impl Default for Dialer {
    fn default() -> Self {
        Self(Arc::new(DefaultConnector::default()))
    }
}

impl Connector<()> for Dialer {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        let connected = self.0.connect(details, chained)?;
        Ok(connected.map(|inner| Box::new(Strict(inner)) as Box<dyn Transport>))
    }
}

/// A connection whose break is never taken for the end of a body. The client takes a reset, and an end of TCP without TLS's
/// own (`close_notify`), for the end of a body that states no length (ureq's `BodyHandler::do_read`); RFC 9112, 9.8,
/// calls such a body incomplete.
#[derive(Debug)]
struct Strict(Box<dyn Transport>);

/// The connection broke.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke")]
pub(super) struct Broken(#[source] io::Error);

impl Transport for Strict {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
        self.0.await_input(timeout).map_err(|error| match error {
            ureq::Error::Io(error) if matches!(error.kind(), UnexpectedEof | ConnectionAborted | ConnectionReset) => {
                ureq::Error::Other(Broken(error).into())
            }
            error => error,
        })
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
