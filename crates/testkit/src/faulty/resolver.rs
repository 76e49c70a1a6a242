//! A resolver by script.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// Answers each host with its list of answers, one lookup after another and the last one for ever: a name server that says
/// one thing to whoever checks and another to whoever dials has two.
///
/// ```
/// use stt_testkit::faulty::ScriptedResolver;
///
/// let resolver = ScriptedResolver::knowing([("rebinding.example", &[&["1.1.1.1"], &["127.0.0.1"]])]);
/// assert_eq!(resolver.answer("rebinding.example", 80)?, ["1.1.1.1:80".parse().unwrap()]);
/// assert_eq!(resolver.answer("rebinding.example", 80)?, ["127.0.0.1:80".parse().unwrap()]);
/// assert!(resolver.answer("other.example", 80).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ScriptedResolver(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl ScriptedResolver {
    /// Knows these hosts, each by its answers, and no other.
    ///
    /// # Panics
    /// When an address is none, or a host has no answer.
    #[must_use]
    pub fn knowing<const N: usize>(hosts: [(&str, &[&[&str]]); N]) -> Self {
        let hosts = hosts.map(|(host, answers)| {
            assert!(!answers.is_empty(), "{host} has no answer");
            let addresses = |answer: &&[&str]| answer.iter().map(|text| text.parse().expect(text)).collect();
            (host.to_owned(), answers.iter().map(addresses).collect())
        });
        Self(Mutex::new(hosts.into()))
    }

    /// The next answer, with this port.
    ///
    /// # Errors
    /// `NotFound`: it does not know the host.
    pub fn answer(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = hosts.get_mut(host).ok_or(io::ErrorKind::NotFound)?;
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        Ok(answer.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}
