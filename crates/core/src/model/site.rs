//! Whose host it is that audio comes from.

use std::sync::Arc;

/// Hosts that belong together, as one owner can have any number of them: those of one registrable domain (`a.evil.example` and
/// `b.evil.example`), by the public suffix list, in which the domains that clouds hand out count as suffixes (each bucket of
/// `s3.amazonaws.com` is a site). An address is its own site.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site(Arc<str>);

impl Site {
    /// The site of a host as a URL writes it.
    #[must_use]
    pub fn of(host: &str) -> Self {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let last = host.rsplit('.').next().unwrap_or_default();
        let is_address = host.starts_with('[') || last.starts_with(|first: char| first.is_ascii_digit());
        let domain = if is_address { None } else { psl::domain_str(&host) };
        Self(domain.unwrap_or(&host).into())
    }

    /// Its domain or address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_owner_are_one_site() {
        for (host, site) in [
            ("a.b.evil.example", "evil.example"),
            ("Evil.Example.", "evil.example"),
            ("b.a.co.uk", "a.co.uk"),
            ("media.example.de", "example.de"),
            ("notes.s3.amazonaws.com", "notes.s3.amazonaws.com"),
            ("a.notes.s3.eu-west-1.amazonaws.com", "notes.s3.eu-west-1.amazonaws.com"),
            ("s3.amazonaws.com", "s3.amazonaws.com"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("0177.0.0.0x1", "0177.0.0.0x1"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(Site::of(host).as_str(), site, "{host}");
        }
    }
}
