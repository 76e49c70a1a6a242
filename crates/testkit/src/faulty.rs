//! An HTTP server on loopback that misbehaves as told, and a resolver that does.
//!
//! [`FaultyServer`] gives one [`Reply`] to each connection, in order. Replies are made by the functions here, each of which
//! is one way to misbehave (or, for comparison, none). [`site`] replies to any number of connections, by path.
//!
//! ```
//! use stt_testkit::faulty::{FaultyServer, body, redirect};
//!
//! let server = FaultyServer::start(vec![redirect("/there"), body(b"audio")]);
//! let url = server.url("/here");
//! # use std::io::Write as _;
//! # for _ in 0..2 {
//! #     std::net::TcpStream::connect(server.address)?.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
//! # }
//! // ... a client is sent to url ...
//! assert_eq!(server.requests().len(), 2);
//! # Ok::<(), std::io::Error>(())
//! ```

mod reply;
mod resolver;
mod site;

use std::io::{BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use reply::{
    Connection, Reply, asked_first, body, cut, endless_body, endless_chunks, endless_headers, gzip_bomb, huge, raw,
    redirect, silence, slow_body, slow_headers, status, too_short, tunnel, unavailable,
};
pub use resolver::ScriptedResolver;
pub use site::{site, site_at};

/// Serves one connection per reply, on loopback, and ends.
#[derive(Debug)]
pub struct FaultyServer {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<()>,
}

impl FaultyServer {
    /// Starts it.
    ///
    /// # Panics
    /// When loopback has no port left.
    #[must_use]
    pub fn start(replies: Vec<Reply>) -> Self {
        Self::listen(replies, read_head)
    }

    /// Starts one that leaves reading the request to its replies (see [`asked_first`]); [`FaultyServer::requests`] then has
    /// an empty head for each.
    ///
    /// # Panics
    /// When loopback has no port left.
    #[must_use]
    pub fn start_unasked(replies: Vec<Reply>) -> Self {
        Self::listen(replies, |_| String::new())
    }

    fn listen(replies: Vec<Reply>, read: fn(&mut dyn Read) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
        let address = listener.local_addr().expect("it listens");
        let requests = Arc::new(Mutex::new(vec![]));
        let heard = Arc::clone(&requests);
        let thread = std::thread::spawn(move || {
            for reply in replies {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let head = read(&mut stream);
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                reply(&mut stream);
            }
        });
        Self {
            address,
            requests,
            thread,
        }
    }

    /// A plain http URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until every reply was given; the heads of the requests, without line ends of their own.
    ///
    /// # Panics
    /// When the server panicked.
    #[must_use]
    pub fn requests(self) -> Vec<String> {
        self.thread.join().expect("replies do not panic");
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The head of a request, byte by byte, so that nothing behind it is lost.
fn read_head(stream: &mut dyn Read) -> String {
    let mut head = String::new();
    let mut bytes = BufReader::with_capacity(1, stream);
    loop {
        let mut line = String::new();
        match bytes.read_line(&mut line) {
            Ok(count) if count > 2 => head = head + line.trim_end() + "\n",
            _ => return head,
        }
    }
}

/// A listener that nobody must connect to.
#[derive(Debug)]
pub struct Forbidden(TcpListener);

impl Forbidden {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When loopback has no port left.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
        listener.set_nonblocking(true).expect("a listener can be asked");
        Self(listener)
    }

    /// Its port.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("it listens").port()
    }

    /// Whether somebody connected since it was asked last.
    #[must_use]
    pub fn was_touched(&self) -> bool {
        self.0.accept().is_ok()
    }
}
