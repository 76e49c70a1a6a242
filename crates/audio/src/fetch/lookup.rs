//! From a host name to addresses.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
/// at most [`SystemLookup::THREADS_MAX`] of them do, of which [`SystemLookup::DOMAIN_THREADS_MAX`] are for the hosts of one
/// domain: a name server that does not answer takes no more than that from others.
///
/// A lookup that fails as it does when no name server answers is followed by one of a name that does not exist
/// (`invalid`, RFC 6761), which any resolver that works refuses. When that fails too, the fault is a [`LocalFault`].
#[derive(Clone)]
pub struct SystemLookup(Arc<Shared>);

struct Shared {
    running: Mutex<HashMap<String, usize>>,
    probed: Mutex<Option<(Instant, bool)>>,
    resolve: Box<Resolve>,
}

type Resolve = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl SystemLookup {
    /// Most lookups at a time.
    pub const THREADS_MAX: usize = 32;

    /// Most lookups at a time of the hosts of one domain.
    pub const DOMAIN_THREADS_MAX: usize = 8;

    const PROBE: &str = "invalid:80";
    const PROBE_WAIT: Duration = Duration::from_secs(5);
    /// How long the answer to a probe counts.
    const PROBE_AGE_MAX: Duration = Duration::from_secs(10);

    fn with(resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            running: Mutex::default(),
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
        let served = match Slot::take(&self.0, Self::PROBE) {
            // The last probe hangs still.
            None => false,
            Some(slot) => match self.resolve(slot, Self::PROBE.to_owned(), Self::PROBE_WAIT) {
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
        let slot = Slot::take(&self.0, host)
            .ok_or_else(|| io::Error::other("too many lookups have not ended yet, of this domain or of all"))?;
        let found = self.resolve(slot, format!("{host}:{port}"), timeout);
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

/// The domain whose name servers answer for a host: its last two labels; three where the second is of the kind of
/// `co.uk`. A guess that serves to share lookups out, and for nothing else.
fn domain(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let labels: Vec<&str> = host.rsplit('.').collect();
    let count = match labels[..] {
        [top, second, _, ..] if top.len() == 2 && second.len() <= 3 => 3,
        _ => 2,
    };
    let labels = &labels[..count.min(labels.len())];
    labels.iter().rev().copied().collect::<Vec<_>>().join(".")
}

/// One of the lookups that may run.
struct Slot {
    shared: Arc<Shared>,
    domain: String,
}

impl Slot {
    fn take(shared: &Arc<Shared>, host: &str) -> Option<Self> {
        let domain = domain(host);
        let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_probe = host == SystemLookup::PROBE; // has a place of its own
        let all: usize = running.values().sum();
        let most = if is_probe { 1 } else { SystemLookup::DOMAIN_THREADS_MAX };
        if (all >= SystemLookup::THREADS_MAX && !is_probe) || running.get(&domain).is_some_and(|count| *count >= most) {
            return None;
        }
        *running.entry(domain.clone()).or_default() += 1;
        Some(Self {
            shared: Arc::clone(shared),
            domain,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.domain) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.domain);
            }
        }
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
        for number in 0..SystemLookup::DOMAIN_THREADS_MAX {
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

    #[test]
    fn hosts_of_one_zone_are_of_one_domain() {
        for (host, found) in [
            ("a.b.evil.example", "evil.example"),
            ("Evil.Example.", "evil.example"),
            ("a.co.uk", "a.co.uk"),
            ("b.a.co.uk", "a.co.uk"),
            ("media.example.de", "example.de"),
            ("localhost", "localhost"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(domain(host), found, "{host}");
        }
    }
}
