//! The standard library's opinion of addresses, and rules read anew, so that the guard is not held to itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
        || v4.is_documentation()
        || v4.octets() == [168, 63, 129, 16];
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
pub(super) struct Rule {
    /// A host, or a domain with its leading dot.
    name: Option<String>,
    /// The first address, and how many of its bits count.
    range: Option<(IpAddr, u32)>,
    port: Option<u16>,
}

impl Rule {
    pub(super) fn read(shown: &str) -> Option<Self> {
        let (name, place) = match shown.split_once('=') {
            Some((name, place)) => (Some(name.to_owned()), Some(place)),
            None if shown.contains('/') || shown.parse::<IpAddr>().is_ok() => (None, Some(shown)),
            None => (Some(shown.to_owned()), None),
        };
        let Some(place) = place else {
            let (range, port) = (None, None);
            return Some(Self { name, range, port });
        };
        let (network, port) = match place.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").map(|(network, port)| (network, Some(port)))?,
            None if place.matches(':').count() == 1 => {
                place.split_once(':').map(|(network, port)| (network, Some(port)))?
            }
            None => (place, None),
        };
        let port = port.map(str::parse).transpose().ok()?;
        let (first, bits) = network.split_once('/').unwrap_or((network, ""));
        let first: IpAddr = first.parse().ok()?;
        let bits = match bits {
            "" => {
                if first.is_ipv4() {
                    32
                } else {
                    128
                }
            }
            bits => bits.parse().ok()?,
        };
        let range = Some((first, bits));
        Some(Self { name, range, port })
    }

    /// Whether it says that this is open, as a rule that allows.
    pub(super) fn opens(&self, host: &str, address: SocketAddr) -> bool {
        self.closes(host, address) && (self.range.is_some() || !is_near(address.ip()))
    }

    /// Whether it says that this is closed, as a rule that denies.
    pub(super) fn closes(&self, host: &str, address: SocketAddr) -> bool {
        self.name.as_ref().is_none_or(|name| names(name, host))
            && self.range.is_none_or(|range| covers(range, address.ip()))
            && self.port.is_none_or(|port| port == address.port())
    }
}

/// This machine, its link, its cloud.
fn is_near(address: IpAddr) -> bool {
    const CLOUDS: [&str; 5] = [
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    ];
    let is_cloud = CLOUDS.iter().any(|cloud| cloud.parse() == Ok(address));
    let is_ours = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || embedded(v6).is_some_and(|v4| v4.is_loopback() || v4.is_link_local())
        }
    };
    is_cloud || is_ours
}

fn names(name: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name.starts_with('.') {
        format!(".{host}").ends_with(name)
    } else {
        name == host
    }
}

fn covers((first, bits): (IpAddr, u32), address: IpAddr) -> bool {
    match (first, address) {
        (IpAddr::V4(first), IpAddr::V4(v4)) => (first.to_bits() ^ v4.to_bits()).leading_zeros() >= bits,
        (IpAddr::V6(first), IpAddr::V6(v6)) => (first.to_bits() ^ v6.to_bits()).leading_zeros() >= bits,
        _ => false,
    }
}
