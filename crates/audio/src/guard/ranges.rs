//! Which addresses are of the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::{IpNet, Ipv6Net};

/// Ranges that are not the public internet, and why. From IANA's special-purpose address registries, and every form of
/// IPv6 address that stands for an IPv4 one, public or not: there the route, not the URL, would decide what is reached.
const DENIED: [(&str, &str); 40] = [
    ("0.0.0.0/8", "of this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "of a carrier's shared range"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("168.63.129.16/32", "a cloud's own service"), // Azure's platform, beside 169.254.169.254
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "of this host"),
    ("::1/128", "loopback"),
    ("::/96", "an embedded IPv4 address"),
    ("::ffff:0:0/96", "an embedded IPv4 address"),
    ("::ffff:0:0:0/96", "an embedded IPv4 address"),
    ("64:ff9b::/96", "an embedded IPv4 address"),
    ("64:ff9b:1::/48", "an embedded IPv4 address"),
    ("2001::/32", "an embedded IPv4 address"),
    ("2002::/16", "an embedded IPv4 address"),
    ("100::/64", "reserved"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "for documentation"),
    ("3fff::/20", "for documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
    // What is left of IPv6 outside the one range of public addresses, 2000::/3.
    ("::/3", "reserved"),
    ("4000::/2", "reserved"),
    ("8000::/2", "reserved"),
    ("c000::/3", "reserved"),
    ("e000::/4", "reserved"),
    ("f000::/4", "reserved"),
];

static RANGES: LazyLock<Vec<(IpNet, &'static str)>> = LazyLock::new(|| {
    let parsed = DENIED.map(|(range, why)| (range.parse().expect("the table holds ranges"), why));
    parsed.into()
});

/// Whether an address is one of the public internet.
///
/// # Errors
/// What kind of address it is instead, to follow "the address is".
pub fn classify(address: IpAddr) -> Result<(), &'static str> {
    if let IpAddr::V6(v6) = address
        && matches!(v6.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, ..])
    {
        return Err("an embedded IPv4 address"); // ISATAP, in any network
    }
    match RANGES.iter().find(|(range, _)| range.contains(&address)) {
        Some((_, why)) => Err(why),
        None => Ok(()),
    }
}

/// Metadata services and the like, in ranges that are private or reserved: of Alibaba, Oracle, Amazon, Google.
const CLOUD_SERVICES: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address leads to this machine, its link, or its cloud's metadata, by itself or by an IPv4 address in it: there
/// a name alone must not lead.
pub(crate) fn is_sensitive(address: IpAddr) -> bool {
    let is_near = |address| matches!(classify(address), Err("loopback" | "link-local" | "of this host"));
    let sensitive = |address| is_near(address) || CLOUD_SERVICES.contains(&address);
    sensitive(address) || embedded(address).is_some_and(|inner| sensitive(inner.into()))
}

/// The IPv4 address that a NAT64 gateway makes of an IPv6 one in its prefix (RFC 6052, section 2.2). `None` when the address
/// is not in the prefix, or not of the form that the gateway takes.
pub(super) fn translated(prefix: Ipv6Net, address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let octets = v6.octets();
    let at = match prefix.prefix_len() {
        _ if !prefix.contains(&v6) => return None,
        96 => [12, 13, 14, 15],
        // Bits 64 to 71 are zero and passed over.
        _ if octets[8] != 0 => return None,
        32 => [4, 5, 6, 7],
        40 => [5, 6, 7, 9],
        48 => [6, 7, 9, 10],
        56 => [7, 9, 10, 11],
        64 => [9, 10, 11, 12],
        _ => return None,
    };
    Some(Ipv4Addr::from(at.map(|at| octets[at])))
}

/// The IPv4 address that an IPv6 one stands for, in the forms that routes or hosts carry out.
pub(super) fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        // Mapped, compatible, translated, NAT64 (also for local use), ISATAP.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(joined(high, low)),
        [0x2002, high, low, ..] => Some(joined(high, low)), // 6to4
        [0x2001, 0, _, _, _, _, high, low] => Some(joined(!high, !low)), // Teredo
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        let cases = [
            ("0.0.0.0", "of this host"),
            ("0.1.2.3", "of this host"),
            ("10.255.255.255", "private"),
            ("100.64.0.1", "of a carrier's shared range"),
            ("100.127.255.255", "of a carrier's shared range"),
            ("127.0.0.1", "loopback"),
            ("127.255.0.1", "loopback"),
            ("168.63.129.16", "a cloud's own service"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.8", "reserved"),
            ("192.0.2.1", "for documentation"),
            ("192.88.99.1", "reserved"),
            ("192.168.1.1", "private"),
            ("198.19.255.255", "for benchmarks"),
            ("198.51.100.7", "for documentation"),
            ("203.0.113.7", "for documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "of this host"),
            ("::1", "loopback"),
            ("::127.0.0.1", "an embedded IPv4 address"),
            ("::ffff:127.0.0.1", "an embedded IPv4 address"),
            ("::ffff:8.8.8.8", "an embedded IPv4 address"),
            ("::ffff:0:127.0.0.1", "an embedded IPv4 address"),
            ("64:ff9b::7f00:1", "an embedded IPv4 address"),
            ("64:ff9b:1::a00:1", "an embedded IPv4 address"),
            ("2001:0:1::1", "an embedded IPv4 address"),
            ("2002:7f00:1::", "an embedded IPv4 address"),
            ("2600:1::5efe:a00:1", "an embedded IPv4 address"),
            ("2600:1::200:5efe:a00:1", "an embedded IPv4 address"),
            ("100::1", "reserved"),
            ("2001:2::1", "reserved"),
            ("2001:20::1", "reserved"),
            ("2001:db8::1", "for documentation"),
            ("3fff::1", "for documentation"),
            ("fc00::1", "private"),
            ("fd12:3456::1", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "private"),
            ("ff02::1", "multicast"),
            ("1::1", "reserved"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("bfff::1", "reserved"),
            ("c000::1", "reserved"),
            ("efff::1", "reserved"),
            ("f800::1", "reserved"),
        ];
        for (address, why) in cases {
            assert_eq!(classify(address.parse().unwrap()), Err(why), "{address}");
        }
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "3ffe::1",
        ];
        for address in public {
            assert_eq!(classify(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_an_ipv6_address_stands_for_is_found_in_every_form() {
        for text in [
            "::10.1.2.3",
            "::ffff:10.1.2.3",
            "::ffff:0:10.1.2.3",
            "64:ff9b::10.1.2.3",
            "64:ff9b:1::10.1.2.3",
            "2002:a01:203::1",
            "2001:0:1::f5fe:fdfc",
            "2600:1::5efe:10.1.2.3",
        ] {
            let found = embedded(text.parse().unwrap());
            assert_eq!(found, Some(Ipv4Addr::new(10, 1, 2, 3)), "{text}");
        }
        for text in ["10.1.2.3", "2606:4700::1111", "fd00::a01:203"] {
            assert_eq!(embedded(text.parse().unwrap()), None, "{text}");
        }
    }

    /// The examples of RFC 6052, section 2.4.
    #[test]
    fn an_address_in_a_nat64_prefix_is_translated_as_the_gateway_does() {
        for (prefix, address) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let (prefix, address) = (prefix.parse().unwrap(), address.parse().unwrap());
            assert_eq!(
                translated(prefix, address),
                Some(Ipv4Addr::new(192, 0, 2, 33)),
                "{address}"
            );
        }
        for (prefix, address) in [
            ("64:ff9b::/96", "64:ff9c::192.0.2.33"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:1c0:2:2100::"),
        ] {
            assert_eq!(
                translated(prefix.parse().unwrap(), address.parse().unwrap()),
                None,
                "{address}"
            );
        }
    }
}
