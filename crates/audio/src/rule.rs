//! What the operator opens and closes.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::guard::is_sensitive;

/// Targets that the operator names: a host by its exact name, a domain with all that is in it (`.example.com`), an IP
/// address, or a range of them (CIDR); or a host or domain at certain addresses, `name=network` or `name=network:port`.
///
/// As a rule that allows, a name alone opens neither loopback, nor link-local addresses, nor the metadata services of
/// clouds: whoever may write to its zone could lead it there. A network opens them.
///
/// ```
/// use stt_audio::AddressRule;
///
/// for text in ["media.internal", ".internal", "10.1.2.3", "10.0.0.0/8", "fd00::/8"] {
///     text.parse::<AddressRule>()?;
/// }
/// for text in ["media.internal=10.0.0.0/8", ".internal=10.1.2.3:8080", "a.internal=[fd00::/8]:8080"] {
///     text.parse::<AddressRule>()?;
/// }
/// assert!("https://media.internal/".parse::<AddressRule>().is_err());
/// # Ok::<(), stt_audio::BadRule>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRule(Target);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Name(Name),
    Range(IpNet),
    /// Hosts of these names where they are at these addresses.
    Place {
        name: Name,
        range: IpNet,
        port: Option<u16>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Host(String),
    Domain(String),
}

/// Why a text is no [`AddressRule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither a host name, nor a domain like .example.com, nor an IP address, nor a range like 10.0.0.0/8, nor \
     name=network:port: {0:?}"
)]
pub struct BadRule(String);

impl AddressRule {
    /// Whether the rule, as one that allows, opens this address of a host.
    pub(crate) fn opens(&self, host: &str, address: SocketAddr) -> bool {
        match &self.0 {
            Target::Name(name) => name.is(host) && !is_sensitive(address.ip()),
            Target::Range(range) => range.contains(&address.ip()),
            Target::Place { .. } => self.is_place_of(host, address),
        }
    }

    /// Whether the rule, as one that denies, closes this address of a host.
    pub(crate) fn closes(&self, host: &str, address: SocketAddr) -> bool {
        match &self.0 {
            Target::Name(name) => name.is(host),
            Target::Range(range) => range.contains(&address.ip()),
            Target::Place { .. } => self.is_place_of(host, address),
        }
    }

    fn is_place_of(&self, host: &str, address: SocketAddr) -> bool {
        match &self.0 {
            Target::Place { name, range, port } => {
                name.is(host) && range.contains(&address.ip()) && port.is_none_or(|port| port == address.port())
            }
            _ => false,
        }
    }

    /// Whether the rule names the host alone, at whatever addresses it is.
    pub(crate) fn names(&self, host: &str) -> bool {
        matches!(&self.0, Target::Name(name) if name.is(host))
    }

    /// Whether the rule, as one that denies, closes such a host: also where only some addresses of it are closed.
    pub(crate) fn closes_unresolved(&self, host: &str, port: u16) -> bool {
        match &self.0 {
            Target::Name(name) => name.is(host),
            Target::Range(_) => false,
            Target::Place { name, port: at, .. } => name.is(host) && at.is_none_or(|at| at == port),
        }
    }
}

impl Name {
    /// Whether the host of a URL is meant, compared as names are: without case and the last dot.
    fn is(&self, host: &str) -> bool {
        let host = canonical(host);
        match self {
            Self::Host(name) => *name == host,
            Self::Domain(name) => {
                let inside = host.strip_suffix(name.as_str());
                inside.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (name, is_domain) = match text.strip_prefix('.') {
            Some(name) => (canonical(name), true),
            None => (canonical(text), false),
        };
        let is_label = |label: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty() && label.bytes().all(known)
        };
        // A name that ends in a number is a misspelt address: resolvers would read it as one.
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_name = name.split('.').all(is_label) && !last.starts_with(|first: char| first.is_ascii_digit());
        is_name.then_some(if is_domain {
            Self::Domain(name)
        } else {
            Self::Host(name)
        })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Domain(name) => write!(f, ".{name}"),
        }
    }
}

impl std::str::FromStr for AddressRule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let text = text.trim();
        let bad = || BadRule(text.to_owned());
        if let Some((name, place)) = text.split_once('=') {
            let (range, port) = place_of(place.trim()).ok_or_else(bad)?;
            let name = Name::read(name.trim()).ok_or_else(bad)?;
            return Ok(Self(Target::Place { name, range, port }));
        }
        if let Some(range) = range(text) {
            return Ok(Self(Target::Range(range)));
        }
        Name::read(text).map(|name| Self(Target::Name(name))).ok_or_else(bad)
    }
}

/// `network` or `network:port`; with a port IPv6 is in brackets, as in URLs.
fn place_of(text: &str) -> Option<(IpNet, Option<u16>)> {
    if let Some(range) = range(text) {
        return Some((range, None));
    }
    let (network, port) = text.rsplit_once(':')?;
    let bare = network.strip_prefix('[').and_then(|network| network.strip_suffix(']'));
    let range = range(bare.unwrap_or(network))?;
    let port: u16 = port.parse().ok()?;
    (port > 0 && bare.is_some() == matches!(range, IpNet::V6(_))).then_some((range, Some(port)))
}

fn range(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
    address().or_else(|| text.parse::<IpNet>().map(|range| range.trunc()).ok())
}

struct Shown(IpNet);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            range if range.prefix_len() == range.max_prefix_len() => range.addr().fmt(f),
            range => range.fmt(f),
        }
    }
}

impl std::fmt::Display for AddressRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Target::Name(name) => name.fmt(f),
            Target::Range(range) => Shown(*range).fmt(f),
            Target::Place { name, range, port } => {
                let range = Shown(*range);
                match (port, range.0) {
                    (None, _) => write!(f, "{name}={range}"),
                    (Some(port), IpNet::V4(_)) => write!(f, "{name}={range}:{port}"),
                    (Some(port), IpNet::V6(_)) => write!(f, "{name}=[{range}]:{port}"),
                }
            }
        }
    }
}

fn canonical(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_target_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "..a",
            ".10.0.0.1",
            "a..b",
            "*",
            "*.internal",
            "http://a",
            "a/24",
            "a:80",
            "10.0.0",
            "10.0.0.256",
            "10.0.0.0/33",
            "0x7f.1",
            "a b",
            "=10.0.0.0/8",
            "a=",
            "a=b",
            "10.0.0.1=10.0.0.1",
            "a=10.0.0.0/8:0",
            "a=10.0.0.0/8:99999",
            "a=fd00::/8:80",
            "a=[10.0.0.0/8]:80",
            "a=[fd00::/8]",
        ] {
            let refused = text.parse::<AddressRule>().unwrap_err();
            assert!(refused.to_string().contains(&format!("{text:?}")), "{refused}");
        }
    }

    #[test]
    fn rules_read_back_as_they_show() {
        for (text, shown) in [
            ("Media.Internal.", "media.internal"),
            (".Internal.", ".internal"),
            ("10.1.2.3", "10.1.2.3"),
            (" 10.1.2.3/32", "10.1.2.3"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::1", "::1"),
            ("fd00::1/8", "fd00::/8"),
            ("localhost", "localhost"),
            ("A.internal. = 10.1.2.3/8", "a.internal=10.0.0.0/8"),
            (".internal=10.1.2.3:8080", ".internal=10.1.2.3:8080"),
            ("a=fd00::1", "a=fd00::1"),
            ("a=[fd00::1/8]:80", "a=[fd00::/8]:80"),
        ] {
            let rule: AddressRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rule));
        }
    }
}
