//! What servers say, without a network: for `crates/fuzz`, and no part of what this crate promises to others.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stt_core::{AudioUrl, Budget, Failure, Fetch as _, Fetched};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use super::dial::Dialer;
use super::{BadFetchConfig, FetchConfig, HttpFetch, Lookup, redirect};

thread_local! {
    /// What the next connections of this thread say.
    static SAID: RefCell<Vec<u8>> = const { RefCell::new(vec![]) };
}

/// The URL that a Location header leads to, or why it is not followed.
///
/// # Errors
/// When it is not followed.
pub fn redirected(from: &AudioUrl, location: &[u8]) -> Result<AudioUrl, String> {
    redirect::target(from, location).map_err(|astray| astray.to_string())
}

/// Downloads from servers that answer each connection with the same bytes, in pieces, and then close it. Every host is at a
/// public address, and none is dialled.
#[derive(Debug)]
pub struct Echo(HttpFetch);

impl Echo {
    /// Bodies may have `bytes_max`, all of it in memory; `tmp_dir` stays empty.
    ///
    /// # Errors
    /// As [`HttpFetch::new`].
    pub fn new(bytes_max: u64, tmp_dir: PathBuf) -> Result<Self, BadFetchConfig> {
        let config = FetchConfig {
            bytes_max,
            memory_max: bytes_max,
            tmp_dir,
            ..FetchConfig::default()
        };
        let mut fetch = HttpFetch::with_lookup(config, Everywhere)?;
        fetch.dialer = Dialer(Arc::new(Said));
        Ok(Self(fetch))
    }

    /// What becomes of a download when servers say `said`.
    ///
    /// # Errors
    /// As [`stt_core::Fetch::fetch`].
    pub fn fetch(&self, url: &AudioUrl, said: &[u8], budget: &Budget<'_>) -> Result<Fetched, Failure> {
        SAID.set(said.to_vec());
        self.0.fetch(url, budget)
    }
}

#[derive(Debug)]
struct Everywhere;

impl Lookup for Everywhere {
    fn lookup(&self, _: &str, port: u16, _: Duration) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::from(([1, 1, 1, 1], port))])
    }
}

#[derive(Debug)]
struct Said;

impl Connector<()> for Said {
    type Out = Box<dyn Transport>;

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(Some(Box::new(Pieces {
            buffers: LazyBuffers::new(16 * 1024, 16 * 1024),
            left: SAID.with_borrow(Clone::clone),
        })))
    }
}

/// A connection on which these bytes come.
#[derive(Debug)]
struct Pieces {
    buffers: LazyBuffers,
    left: Vec<u8>,
}

impl Transport for Pieces {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let room = self.buffers.input_append_buf();
        // A prime, so that pieces end anywhere.
        let count = room.len().min(self.left.len()).min(509);
        room[..count].copy_from_slice(&self.left[..count]);
        self.left.drain(..count);
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        !self.left.is_empty()
    }
}
