//! From a host name to addresses.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stt_core::Site;

/// Looks a host up.
pub trait Lookup: Send + Sync + std::fmt::Debug {
    /// All addresses of `host`, which is as a URL writes it: a name, or an address in any of the spellings that the
    /// system's resolver takes, IPv6 in brackets.
    ///
    /// # Errors
    /// `TimedOut` when there is no answer within `timeout`; anything else when there are no addresses.
    fn lookup(&self, host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>>;
}

/// Not the host is to blame but this machine: it has no threads or descriptors left, or no name server answers.
///
/// A [`Lookup`] says so by an `io::Error` around this.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct LocalFault {
    what: &'static str,
    #[source]
    cause: io::Error,
}

impl LocalFault {
    /// An error that says so.
    #[must_use]
    pub fn error(what: &'static str, cause: io::Error) -> io::Error {
        io::Error::other(Self { what, cause })
    }
}

/// The system's resolver. It cannot be interrupted: a lookup that outlives its time goes on in a thread of its own, and
/// at most [`SystemLookup::THREADS_MAX`] of them do, of which [`SystemLookup::SITE_THREADS_MAX`] are for the hosts of one
/// domain: a name server that does not answer takes no more than that from others. When the name servers of several have taken
/// them all, a lookup waits within its time for one to end.
///
/// A lookup that fails as it does when no name server answers is followed by one of a name that does not exist
/// (`invalid`, RFC 6761), which any resolver that works refuses. When that fails too, the fault is a [`LocalFault`].
#[derive(Clone)]
pub struct SystemLookup(Arc<Shared>);

struct Shared {
    running: Mutex<HashMap<Site, usize>>,
    /// A lookup has ended.
    ended: Condvar,
    probed: Mutex<Option<(Instant, bool)>>,
    resolve: Box<Resolve>,
}

type Resolve = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl SystemLookup {
    /// Most lookups at a time.
    pub const THREADS_MAX: usize = 32;

    /// Most lookups at a time of the hosts of one domain.
    pub const SITE_THREADS_MAX: usize = 8;

    const PROBE: &str = "invalid:80";
    const PROBE_WAIT: Duration = Duration::from_secs(5);
    /// How long the answer to a probe counts.
    const PROBE_AGE_MAX: Duration = Duration::from_secs(10);

    fn with(resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            running: Mutex::default(),
            ended: Condvar::new(),
            probed: Mutex::default(),
            resolve: Box::new(resolve),
        }))
    }

    fn resolve(&self, slot: Slot, target: String, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
        let (answer, answers) = mpsc::sync_channel(1);
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("lookup".into()).spawn(move || {
            let found = (shared.resolve)(&target);
            drop(slot);
            // Nobody waits any more when the time is over.
            let _ = answer.send(found);
        });
        thread.map_err(|error| LocalFault::error("no thread can be started", error))?;
        answers.recv_timeout(timeout).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(io::ErrorKind::TimedOut.into()),
            RecvTimeoutError::Disconnected => Err(io::Error::other("the lookup ended without an answer")),
        })
    }

    /// Whether a name server answers at all.
    fn is_served(&self) -> bool {
        let mut probed = self.0.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, served)) = *probed
            && when.elapsed() < Self::PROBE_AGE_MAX
        {
            return served;
        }
        let served = match Slot::take(&self.0, Self::PROBE, Duration::ZERO) {
            // The last probe hangs still.
            Err(_) => false,
            Ok(slot) => match self.resolve(slot, Self::PROBE.to_owned(), Self::PROBE_WAIT) {
                Ok(_) => true,
                Err(error) => !is_unserved(&error),
            },
        };
        *probed = Some((Instant::now(), served));
        served
    }
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self::with(|target| target.to_socket_addrs().map(Vec::from_iter))
    }
}

impl std::fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemLookup").finish_non_exhaustive()
    }
}

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
        let began = Instant::now();
        let slot = Slot::take(&self.0, host, timeout).map_err(io::Error::other)?;
        let left = timeout.saturating_sub(began.elapsed());
        let found = self.resolve(slot, format!("{host}:{port}"), left);
        found.map_err(|error| {
            if is_unserved(&error) && !self.is_served() {
                return LocalFault::error("no name server answers", error);
            }
            error
        })
    }
}

/// Whether a lookup failed as it does where no name server answers. The standard library passes on the text of
/// `getaddrinfo`'s error alone, which is that of EAI_AGAIN: glibc's and musl's.
fn is_unserved(error: &io::Error) -> bool {
    let text = error.to_string();
    error.kind() == io::ErrorKind::TimedOut
        || text.contains("Temporary failure in name resolution")
        || text.contains("Try again")
}

/// One of the lookups that may run.
struct Slot {
    shared: Arc<Shared>,
    site: Site,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NoSlot {
    #[error("too many lookups of this domain have not ended yet")]
    Site,
    #[error("too many lookups have not ended yet")]
    All,
}

impl Slot {
    fn take(shared: &Arc<Shared>, host: &str, wait: Duration) -> Result<Self, NoSlot> {
        let site = Site::of(host);
        let is_probe = host == SystemLookup::PROBE; // has a place of its own
        let most = if is_probe { 1 } else { SystemLookup::SITE_THREADS_MAX };
        let running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |running: &mut HashMap<Site, usize>| {
            !is_probe && running.values().sum::<usize>() >= SystemLookup::THREADS_MAX
        };
        let waited = shared.ended.wait_timeout_while(running, wait, is_full);
        let (mut running, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if is_full(&mut running) {
            return Err(NoSlot::All);
        }
        let count = running.entry(site.clone()).or_default();
        if *count >= most {
            return Err(NoSlot::Site);
        }
        *count += 1;
        drop(running);
        Ok(Self {
            shared: Arc::clone(shared),
            site,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.site) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.site);
            }
        }
        self.shared.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn error(text: &'static str) -> io::Error {
        io::Error::other(text)
    }

    fn is_local(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<LocalFault>())
    }

    #[test]
    fn a_domain_that_hangs_leaves_lookups_to_others_and_none_pile_up() {
        let (hold, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let lookup = SystemLookup::with(move |target| {
            if target.starts_with("hang") {
                let _ = held.lock().unwrap().recv();
            }
            Ok(vec!["1.1.1.1:80".parse().unwrap()])
        });
        let now = Duration::ZERO;
        for number in 0..SystemLookup::SITE_THREADS_MAX {
            // Whoever has it in hand may have any number of names.
            let timed_out = lookup
                .lookup(&format!("hang{number}.evil.example"), 80, now)
                .unwrap_err();
            assert_eq!(timed_out.kind(), io::ErrorKind::TimedOut);
        }
        let refused = lookup.lookup("hang.EVIL.example.", 80, now).unwrap_err();
        assert!(refused.to_string().starts_with("too many lookups"), "{refused}");
        assert_eq!(lookup.lookup("media.example", 80, SOON).unwrap().len(), 1);
        for number in 0..100 {
            let _ = lookup.lookup(&format!("hang.evil{number}.example"), 80, now);
        }
        let running: usize = lookup.0.running.lock().unwrap().values().sum();
        assert_eq!(running, SystemLookup::THREADS_MAX);
        let refused = lookup.lookup("media.example", 80, now).unwrap_err();
        assert_eq!(refused.to_string(), NoSlot::All.to_string());
        // Whoever comes while all hang has its turn when one ends.
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lookup.lookup("media.example", 80, SOON));
            hold.send(()).unwrap();
            assert_eq!(waiting.join().unwrap().unwrap().len(), 1);
        });
        drop(hold);
    }

    #[test]
    fn it_is_this_machines_fault_only_when_no_name_server_answers() {
        const AGAIN: &str = "failed to lookup address information: Temporary failure in name resolution";
        const UNKNOWN: &str = "failed to lookup address information: Name or service not known";
        for (of_host, of_probe, local) in [(AGAIN, UNKNOWN, false), (AGAIN, AGAIN, true), (UNKNOWN, AGAIN, false)] {
            let lookup = SystemLookup::with(move |target| {
                Err(error(if target == SystemLookup::PROBE {
                    of_probe
                } else {
                    of_host
                }))
            });
            let failed = lookup.lookup("a.example", 80, SOON).unwrap_err();
            assert_eq!(is_local(&failed), local, "{of_host}, {of_probe}: {failed}");
        }
    }
}
