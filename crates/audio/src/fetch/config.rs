//! Settings of downloads.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv6Net;
use stt_core::UrlParts;

use super::{EgressProxy, PrivateRoots};
use crate::{AddressRule, Guard};

/// Settings of [`crate::HttpFetch`].
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// Most bytes of a body. Default 26,214,400 (25 MiB).
    pub bytes_max: u64,
    /// Most bytes of a body kept in memory; a longer one goes to a private file. Default 8,388,608 (8 MiB).
    pub memory_max: u64,
    /// Where long bodies go, as files without names. Nobody else may write to it ([`crate::open_private_dir`]). Default `/tmp/stt`.
    pub tmp_dir: PathBuf,
    /// What may be reached besides the public internet, at any port. Default empty.
    pub allow: Vec<AddressRule>,
    /// What must not be reached, whatever is allowed. Default empty.
    pub deny: Vec<AddressRule>,
    /// Ports that may be reached where `allow` does not open all. Default 80 and 443.
    pub ports: Vec<u16>,
    /// Prefixes (RFC 6052) of NAT64 gateways between here and the internet: an address in one is judged as the IPv4 address that
    /// it stands for. Default none, so that all such addresses are refused.
    pub nat64_prefixes: Vec<Ipv6Net>,
    /// Most redirects followed. Default 3.
    pub redirects_max: u32,
    /// Most time to look a host up, and again to connect to it, TLS included. Default 10 s.
    pub connect_timeout: Duration,
    /// Most time without a byte from the server. Default 10 s.
    pub silence_max: Duration,
    /// Most time from the request to the end of the answer's headers. Default 10 s.
    pub answer_timeout: Duration,
    /// Fewest bytes of a body in a second, on average over each `throughput_window`; 0 lets a body come as it likes.
    /// Default 1,024.
    pub throughput_min: u64,
    /// How long a body may be slower before it is given up. Default 10 s.
    pub throughput_window: Duration,
    /// The proxy that everything goes through. Default none.
    pub proxy: Option<EgressProxy>,
    /// Authorities trusted besides the system's. Default none.
    pub private_roots: Option<PrivateRoots>,
    /// The `User-Agent`. Default `stt-worker`.
    pub user_agent: String,
    /// How much of URLs failures and log lines show. Default scheme, host and port.
    pub urls_shown: UrlParts,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            bytes_max: 25 * 1024 * 1024,
            memory_max: 8 * 1024 * 1024,
            tmp_dir: "/tmp/stt".into(),
            allow: vec![],
            deny: vec![],
            ports: vec![80, 443],
            nat64_prefixes: vec![],
            redirects_max: 3,
            connect_timeout: Duration::from_secs(10),
            silence_max: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            throughput_min: 1024,
            throughput_window: Duration::from_secs(10),
            proxy: None,
            private_roots: None,
            user_agent: "stt-worker".into(),
            urls_shown: UrlParts::default(),
        }
    }
}

/// Why a [`FetchConfig`] cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFetchConfig {
    /// A setting that must be more than zero is not.
    #[error("{0} must be more than 0")]
    Zero(&'static str),
    /// A NAT64 prefix of another length than RFC 6052 has.
    #[error("{0} is no NAT64 prefix: it has 32, 40, 48, 56, 64 or 96 bits")]
    Nat64Prefix(Ipv6Net),
    /// The user agent cannot be sent.
    #[error("the user agent is no header value: {0:?}")]
    UserAgent(String),
    /// The directory for long bodies cannot be made.
    #[error("no directory for long downloads at {path}")]
    TmpDir {
        /// The directory.
        path: PathBuf,
        /// Why it cannot be made.
        #[source]
        source: std::io::Error,
    },
}

impl FetchConfig {
    /// What may be dialled by these settings: by `allow`, `deny` and `ports`.
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard {
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            ports: self.ports.clone(),
            nat64_prefixes: self.nat64_prefixes.clone(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), BadFetchConfig> {
        for (name, is_zero) in [
            ("bytes_max", self.bytes_max == 0),
            ("connect_timeout", self.connect_timeout.is_zero()),
            ("silence_max", self.silence_max.is_zero()),
            ("answer_timeout", self.answer_timeout.is_zero()),
            ("throughput_window", self.throughput_window.is_zero()),
        ] {
            if is_zero {
                return Err(BadFetchConfig::Zero(name));
            }
        }
        let is_bad = |prefix: &&Ipv6Net| ![32, 40, 48, 56, 64, 96].contains(&prefix.prefix_len());
        if let Some(prefix) = self.nat64_prefixes.iter().find(is_bad) {
            return Err(BadFetchConfig::Nat64Prefix(*prefix));
        }
        match http::HeaderValue::from_str(&self.user_agent) {
            Ok(_) => Ok(()),
            Err(_) => Err(BadFetchConfig::UserAgent(self.user_agent.clone())),
        }
    }
}
