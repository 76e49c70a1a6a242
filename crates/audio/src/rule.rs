//! What the operator opens and closes.

use std::net::IpAddr;

use ipnet::IpNet;

/// Targets that the operator names: a host by its exact name, a domain with all that is in it (`.example.com`), an IP
/// address, or a range of them (CIDR).
///
/// ```
/// use stt_audio::AddressRule;
///
/// for text in ["media.internal", ".internal", "10.1.2.3", "10.0.0.0/8", "fd00::/8"] {
///     text.parse::<AddressRule>()?;
/// }
/// assert!("https://media.internal/".parse::<AddressRule>().is_err());
/// # Ok::<(), stt_audio::BadRule>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRule(Target);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Host(String),
    Domain(String),
    Range(IpNet),
}

/// Why a text is no [`AddressRule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a host name, nor a domain like .example.com, nor an IP address, nor a range like 10.0.0.0/8: {0:?}")]
pub struct BadRule(String);

impl AddressRule {
    /// Whether the host of a URL is meant, compared as names are: without case and the last dot.
    pub(crate) fn names(&self, host: &str) -> bool {
        let host = canonical(host);
        match &self.0 {
            Target::Host(name) => *name == host,
            Target::Domain(name) => {
                let inside = host.strip_suffix(name.as_str());
                inside.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Target::Range(_) => false,
        }
    }

    /// Whether the address is in the range.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        matches!(self.0, Target::Range(range) if range.contains(&address))
    }
}

impl std::str::FromStr for AddressRule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(Target::Range(address.into())));
        }
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self(Target::Range(range.trunc())));
        }
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
        if name.split('.').all(is_label) && !last.starts_with(|first: char| first.is_ascii_digit()) {
            Ok(Self(if is_domain {
                Target::Domain(name)
            } else {
                Target::Host(name)
            }))
        } else {
            Err(BadRule(text.to_owned()))
        }
    }
}

impl std::fmt::Display for AddressRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Target::Host(name) => f.write_str(name),
            Target::Domain(name) => write!(f, ".{name}"),
            Target::Range(range) if range.prefix_len() == range.max_prefix_len() => range.addr().fmt(f),
            Target::Range(range) => range.fmt(f),
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
        ] {
            let rule: AddressRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rule));
        }
    }
}
