//! Where files are served, and by which name workers find that place.

use std::net::Ipv6Addr;
use std::str::FromStr;

/// `HOST` or `HOST:PORT`; an IPv6 address with a port is in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without brackets.
    pub(crate) host: String,
    /// 0 for one that the system picks.
    pub(crate) port: u16,
}

impl Default for Address {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
        }
    }
}

impl Address {
    /// Whether it stands for every address of this machine, so that workers cannot dial it.
    pub(crate) fn is_unspecified(&self) -> bool {
        let ip = self.host.parse::<std::net::IpAddr>();
        ip.is_ok_and(|ip| ip.is_unspecified())
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const RULE: &str = "must be HOST or HOST:PORT";
        let (host, port) = if text.parse::<Ipv6Addr>().is_ok() {
            (text, None)
        } else if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            host.parse::<Ipv6Addr>().map_err(|_| RULE)?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':').ok_or(RULE)?)),
            }
        } else {
            text.split_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port)))
        };
        if host.is_empty() {
            return Err(RULE);
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.map_or(Ok(0), |port| port.parse().map_err(|_| RULE))?,
        })
    }
}

/// A host as a URL writes it.
pub(crate) fn in_url(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":80",
            "host:",
            "host:http",
            "host:70000",
            "[::1",
            "[host]:80",
            "[::1]80",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_addresses_come_with_a_port_or_without() {
        for (text, host, port) in [
            ("media.internal", "media.internal", 0),
            ("10.0.0.7:8000", "10.0.0.7", 8000),
            ("::1", "::1", 0),
            ("[::1]", "::1", 0),
            ("[::1]:8000", "::1", 8000),
        ] {
            let host = host.to_owned();
            assert_eq!(text.parse::<Address>(), Ok(Address { host, port }), "{text}");
        }
        assert_eq!(
            (in_url("::1").as_str(), in_url("10.0.0.7").as_str()),
            ("[::1]", "10.0.0.7")
        );
        for (text, unspecified) in [
            ("0.0.0.0:80", true),
            ("::", true),
            ("127.0.0.1", false),
            ("host", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_unspecified(), unspecified, "{text}");
        }
    }
}
