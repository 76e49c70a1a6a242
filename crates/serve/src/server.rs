//! The thread that accepts connections and serves all of them.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::connection::{Connection, Next};
use crate::{BadRequest, Reply, Request};

/// What each connection, and all together, may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections open at once. Default 256.
    pub connections_max: usize,
    /// Longest head of a request. Default 8 KiB.
    pub head_bytes_max: usize,
    /// Time for the head to arrive. Default 5 s.
    pub head_wait: Duration,
    /// Longest time in which a client takes nothing of a reply. Default 10 s.
    pub silence_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            head_bytes_max: 8 << 10,
            head_wait: Duration::from_secs(5),
            silence_max: Duration::from_secs(10),
        }
    }
}

/// Connections accepted between two looks at those that are open.
const ACCEPTED_AT_ONCE: usize = 64;

/// After the system refuses a connection for want of descriptors or memory, how long none is accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that the kernel keeps for us (within `net.core.somaxconn`). The standard library asks for 128, which a
/// burst fills; a client that finds it full tries again only a second later.
const BACKLOG: i32 = 1024;

/// A listener on all interfaces, IPv4 and IPv6 where the system has both.
///
/// # Errors
/// As for [`TcpListener::bind`].
pub fn listen_on_all(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(
        &[
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        ][..],
    )
}

/// A running server; dropping it closes the port and all connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The thread ends when this is closed.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers the requests that come to `listener`, on a thread of this name. `answer` must not wait: it holds up all
    /// connections. A request on which it panics is answered with 500.
    ///
    /// # Errors
    /// When the system refuses a thread, or what it takes to stop it.
    pub fn start(
        name: &str,
        listener: TcpListener,
        limits: Limits,
        answer: impl FnMut(&Request) -> Reply + Send + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        let (stop, stopped) = UnixStream::pair()?;
        let mut port = Port {
            listener,
            stopped,
            limits,
            answer,
            connections: vec![],
            accept_from: Instant::now(),
            warned: None,
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || while port.turn() {})?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on until the process ends.
    pub fn detach(mut self) {
        std::mem::forget(self.stop.take());
        self.thread = None;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it has told its panic already
        }
    }
}

/// What the thread has.
struct Port<A> {
    listener: TcpListener,
    stopped: UnixStream,
    limits: Limits,
    answer: A,
    connections: Vec<Connection>,
    /// No connection is accepted before.
    accept_from: Instant,
    warned: Option<Instant>,
}

impl<A: FnMut(&Request) -> Reply> Port<A> {
    /// Waits for something to happen and does what it calls for; `false` when the port is to be closed.
    fn turn(&mut self) -> bool {
        let Some((accepts, ready)) = self.wait() else {
            return false;
        };
        let now = Instant::now();
        let (limits, answer) = (&self.limits, &mut self.answer);
        let mut reply = |request: Result<&Request, BadRequest>| match request {
            Ok(request) => catch_unwind(AssertUnwindSafe(|| answer(request)))
                .unwrap_or_else(|_| Reply::text(500, "the answer could not be made\n")),
            Err(error) => Reply::empty(error.status()),
        };
        let mut ready = ready.into_iter();
        self.connections.retain_mut(|connection| {
            if ready.next() == Some(true) {
                connection.advance(now, limits, &mut reply) == Next::Wait
            } else {
                now < connection.deadline()
            }
        });
        if accepts {
            self.accept(now);
        }
        true
    }

    /// Whether a client waits to be accepted, and which connections can go on; `None` when the server is dropped.
    fn wait(&mut self) -> Option<(bool, Vec<bool>)> {
        let now = Instant::now();
        let listens = now >= self.accept_from;
        let wake = self.connections.iter().map(Connection::deadline).min();
        let wake = [wake, (!listens).then_some(self.accept_from)]
            .into_iter()
            .flatten()
            .min();
        let timeout = wake.map(|wake| timespec(wake.saturating_duration_since(now)));
        let mut descriptors = vec![
            PollFd::new(&self.stopped, PollFlags::IN),
            PollFd::new(&self.listener, if listens { PollFlags::IN } else { PollFlags::empty() }),
        ];
        descriptors.extend(
            self.connections
                .iter()
                .map(|connection| PollFd::from_borrowed_fd(connection.stream().as_fd(), connection.interest())),
        );
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Some((false, vec![false; self.connections.len()])),
            Err(error) => {
                // Only for want of memory: all that holds some goes.
                log::warn!("port {:?}: poll: {error}; all connections closed", self.listener);
                self.connections.clear();
                self.accept_from = now + ACCEPT_PAUSE;
                return Some((false, vec![]));
            }
        }
        let happened: Vec<bool> = descriptors.iter().map(|fd| !fd.revents().is_empty()).collect();
        match happened[..] {
            [false, accepts, ref ready @ ..] => Some((accepts, ready.to_vec())),
            _ => None,
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_AT_ONCE {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if self.connections.len() >= self.limits.connections_max {
                        self.make_room();
                    }
                    if let Ok(connection) = Connection::new(stream, now, &self.limits) {
                        self.connections.push(connection);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // accept(2): errors of a connection that is gone again are to be treated like EAGAIN.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
                    ) => {}
                Err(error) => {
                    // Most often EMFILE: giving one of ours back lets the next be accepted.
                    self.make_room();
                    self.accept_from = now + ACCEPT_PAUSE;
                    self.warn(now, &error);
                    return;
                }
            }
        }
    }

    fn make_room(&mut self) {
        let ranks = self.connections.iter().map(Connection::rank).enumerate();
        if let Some((first, _)) = ranks.min_by_key(|(_, rank)| *rank) {
            self.connections.swap_remove(first);
        }
    }

    /// Once a minute.
    fn warn(&mut self, now: Instant, error: &io::Error) {
        let lately = |warned: Instant| now.saturating_duration_since(warned) < Duration::from_secs(60);
        if !self.warned.is_some_and(lately) {
            self.warned = Some(now);
            let address = self
                .listener
                .local_addr()
                .map_or_else(|_| "?".to_owned(), |address| address.to_string());
            log::warn!("connections to {address} are not accepted: {error}; trying again");
        }
    }
}

/// Rounded up to a millisecond, so that a deadline has passed when it is looked at.
fn timespec(time: Duration) -> Timespec {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX).saturating_add(1);
    Timespec {
        tv_sec: millis / 1000,
        tv_nsec: (millis % 1000) * 1_000_000,
    }
}
