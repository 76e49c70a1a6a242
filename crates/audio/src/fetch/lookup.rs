//! From a host name to addresses.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Looks a host up.
pub trait Lookup: Send + Sync + std::fmt::Debug {
    /// All addresses of `host`, which is as a URL writes it: a name, or an address in any of the spellings that the
    /// system's resolver takes, IPv6 in brackets.
    ///
    /// # Errors
    /// `TimedOut` when there is no answer within `timeout`; anything else when there are no addresses.
    fn lookup(&self, host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver. It cannot be interrupted: a lookup that outlives its time goes on in a thread of its own, and
/// at most [`SystemLookup::THREADS_MAX`] of them do.
#[derive(Clone, Debug, Default)]
pub struct SystemLookup {
    running: Arc<AtomicUsize>,
}

impl SystemLookup {
    /// Most lookups at a time.
    pub const THREADS_MAX: usize = 32;
}

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
        let slot = Slot::take(&self.running)
            .ok_or_else(|| io::Error::other("too many lookups of other hosts have not ended yet"))?;
        let (answer, answers) = mpsc::sync_channel(1);
        let target = format!("{host}:{port}");
        std::thread::Builder::new().name("lookup".into()).spawn(move || {
            let found = target.to_socket_addrs().map(Vec::from_iter);
            drop(slot);
            // Nobody waits any more when the time is over.
            let _ = answer.send(found);
        })?;
        answers.recv_timeout(timeout).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(io::ErrorKind::TimedOut.into()),
            RecvTimeoutError::Disconnected => Err(io::Error::other("the lookup ended without an answer")),
        })
    }
}

/// One of the lookups that may run.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(running: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(running.clone());
        let before = running.fetch_add(1, Ordering::Relaxed);
        (before < SystemLookup::THREADS_MAX).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_that_hang_do_not_pile_up() {
        let running = Arc::default();
        let mut slots: Vec<Slot> = (0..SystemLookup::THREADS_MAX)
            .map(|_| Slot::take(&running).unwrap())
            .collect();
        assert!(Slot::take(&running).is_none());
        slots.pop();
        slots.push(Slot::take(&running).unwrap());
        assert!(Slot::take(&running).is_none());
    }
}
