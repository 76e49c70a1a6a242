//! Where audio may come from, and how it is reached.

use std::fmt;
use std::path::PathBuf;

use stt_schema::UrlParts;

use crate::read::Reader;

/// Where audio may come from, and how it is reached. What the rules and URLs mean is for `stt-audio` to check.
#[derive(Clone, PartialEq, Eq)]
pub struct EgressSettings {
    /// `AUDIO_URL_ALLOW`, one rule each.
    pub allow: Vec<String>,
    /// `AUDIO_URL_DENY`, one rule each.
    pub deny: Vec<String>,
    /// `AUDIO_URL_PORTS`.
    pub ports: Vec<u16>,
    /// `AUDIO_HOST_CONCURRENCY`; `None` is all places but one.
    pub site_downloads_max: Option<usize>,
    /// `AUDIO_NAT64_PREFIX`, one prefix each.
    pub nat64_prefixes: Vec<String>,
    /// `EGRESS_PROXY`, which may hold a password.
    pub proxy: Option<String>,
    /// `AUDIO_CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// `URL_IN_LOGS`.
    pub urls_shown: UrlParts,
}

impl EgressSettings {
    pub(crate) fn read_with(read: &mut Reader<'_>) -> Self {
        Self {
            allow: read.list("AUDIO_URL_ALLOW"),
            deny: read.list("AUDIO_URL_DENY"),
            ports: read.ports("AUDIO_URL_PORTS"),
            site_downloads_max: read.optional_whole("AUDIO_HOST_CONCURRENCY"),
            nat64_prefixes: read.list("AUDIO_NAT64_PREFIX"),
            proxy: read.optional("EGRESS_PROXY"),
            ca_file: read.optional("AUDIO_CA_FILE").map(PathBuf::from),
            urls_shown: read.url_parts("URL_IN_LOGS"),
        }
    }
}

impl fmt::Debug for EgressSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EgressSettings")
            .field("allow", &self.allow)
            .field("deny", &self.deny)
            .field("ports", &self.ports)
            .field("site_downloads_max", &self.site_downloads_max)
            .field("nat64_prefixes", &self.nat64_prefixes)
            .field("has_proxy", &self.proxy.is_some())
            .field("ca_file", &self.ca_file)
            .field("urls_shown", &self.urls_shown)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, WorkerSettings};

    fn read(pairs: &[(&str, &str)]) -> Result<EgressSettings, String> {
        let settings = WorkerSettings::read(&Environment::from_pairs(pairs.iter().copied()));
        settings
            .map(|settings| settings.egress)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn no_problem_shows_the_password_of_the_proxy() {
        for proxy in ["me:hunter2@proxy:3128", "socks5://me:hunter2@proxy:3128"] {
            let problem = read(&[("EGRESS_PROXY", proxy)]).unwrap_err();
            assert_eq!(problem, "EGRESS_PROXY=***: must be an http or https URL");
        }
        let settings = read(&[("EGRESS_PROXY", "http://me:hunter2@proxy:3128")]).unwrap();
        assert_eq!(settings.proxy.as_deref(), Some("http://me:hunter2@proxy:3128"));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_not_set_closes_nothing_and_opens_two_ports() {
        let settings = read(&[("AUDIO_URL_ALLOW", " , "), ("AUDIO_URL_DENY", "")]).unwrap();
        assert_eq!(settings, read(&[]).unwrap());
        assert_eq!((settings.allow.len(), settings.deny.len()), (0, 0));
        assert_eq!(settings.urls_shown, UrlParts::Host);
        assert_eq!((settings.ports.as_slice(), settings.proxy), (&[80, 443][..], None));
    }

    #[test]
    fn lists_are_taken_item_by_item() {
        let settings = read(&[
            ("AUDIO_URL_ALLOW", "127.0.0.1/32, media.internal"),
            ("AUDIO_URL_DENY", ".evil.example,10.0.0.1"),
            ("AUDIO_URL_PORTS", "443, 8443"),
            ("AUDIO_CA_FILE", "/etc/ca.pem"),
            ("AUDIO_HOST_CONCURRENCY", "3"),
        ])
        .unwrap();
        assert_eq!(settings.allow, ["127.0.0.1/32", "media.internal"]);
        assert_eq!(settings.deny, [".evil.example", "10.0.0.1"]);
        assert_eq!(settings.ports, [443, 8443]);
        assert_eq!(settings.site_downloads_max, Some(3));
        assert_eq!(settings.ca_file, Some("/etc/ca.pem".into()));
    }
}
