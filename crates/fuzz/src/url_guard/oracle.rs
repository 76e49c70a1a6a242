//! The standard library's opinion of addresses, and rules read anew, so that the guard is not held to itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether nothing that the standard library tells about an address speaks against the public internet; of an IPv6
/// address that carries an IPv4 one, both.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => {
            let is_special = v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast();
            !is_special && embedded(v6).is_none_or(is_public_v4)
        }
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let is_special = v4.is_unspecified()
        || v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_documentation();
    !is_special
}

/// Mapped and compatible (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = v6.octets();
    let four = |from: usize| Ipv4Addr::new(octets[from], octets[from + 1], octets[from + 2], octets[from + 3]);
    match octets {
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..] => Some(four(12)),
        [0x20, 0x02, ..] => Some(four(2)),
        _ => v6.to_ipv4(),
    }
}

/// A rule of the operator, read from what it shows.
pub(super) enum Rule {
    Host(String),
    /// With its leading dot.
    Domain(String),
    /// The first address, and how many of its bits count.
    Range(IpAddr, u32),
}

impl Rule {
    pub(super) fn read(shown: &str) -> Option<Self> {
        if let Some((first, bits)) = shown.split_once('/') {
            return Some(Self::Range(first.parse().ok()?, bits.parse().ok()?));
        }
        Some(match shown.parse::<IpAddr>() {
            Ok(first @ IpAddr::V4(_)) => Self::Range(first, 32),
            Ok(first @ IpAddr::V6(_)) => Self::Range(first, 128),
            Err(_) if shown.starts_with('.') => Self::Domain(shown.to_owned()),
            Err(_) => Self::Host(shown.to_owned()),
        })
    }

    pub(super) fn names(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self {
            Self::Host(name) => *name == host,
            Self::Domain(name) => format!(".{host}").ends_with(name),
            Self::Range(..) => false,
        }
    }

    pub(super) fn covers(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Range(IpAddr::V4(first), bits), IpAddr::V4(v4)) => {
                let differ = first.to_bits() ^ v4.to_bits();
                differ.leading_zeros() >= *bits
            }
            (Self::Range(IpAddr::V6(first), bits), IpAddr::V6(v6)) => {
                let differ = first.to_bits() ^ v6.to_bits();
                differ.leading_zeros() >= *bits
            }
            _ => false,
        }
    }
}
