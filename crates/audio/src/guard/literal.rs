//! Hosts that are addresses already, in the spellings that resolvers take.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the host of a URL says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// An address.
    Address(IpAddr),
    /// A name that stands for this machine wherever it is looked up (RFC 6761, section 6.3).
    Loopback,
    /// Something that some take for an address, and not all for the same.
    Misspelt,
    /// Any other name.
    Name,
}

/// Reads a host as the C library's `inet_aton` does: one to four numbers, decimal, octal or hexadecimal, the last of which
/// fills what is left.
pub(super) fn literal(host: &str) -> Literal {
    if let Some(inner) = host.strip_prefix('[') {
        let parsed = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return parsed.map_or(Literal::Misspelt, |v6| Literal::Address(v6.into()));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    if last == "localhost" {
        Literal::Loopback
    } else if !last.starts_with(|first: char| first.is_ascii_digit()) {
        Literal::Name
    } else {
        v4(&name).map_or(Literal::Misspelt, |v4| Literal::Address(v4.into()))
    }
}

fn v4(text: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, leading) = numbers.split_last()?;
    if leading.len() > 3 || leading.iter().any(|byte| *byte > 255) {
        return None;
    }
    let bits_left = 32 - 8 * leading.len();
    if u64::from(*last) >> bits_left != 0 {
        return None;
    }
    let high = (0..)
        .zip(leading)
        .fold(0, |high, (place, byte)| high | byte << (24 - 8 * place));
    Some(Ipv4Addr::from_bits(high | last))
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(""), _) => ("0", 16), // as inet_aton has it
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit()); // no sign
    plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_read() {
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("10.0.258", "10.0.1.2"),
            ("2130706433", "127.0.0.1"),
            ("4294967295", "255.255.255.255"),
            ("0x7f.1", "127.0.0.1"),
            ("0X7F000001", "127.0.0.1"),
            ("0177.0.0.01", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("0", "0.0.0.0"),
            ("0x", "0.0.0.0"),
            ("[::1]", "::1"),
            ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ] {
            assert_eq!(literal(host), Literal::Address(address.parse().unwrap()), "{host}");
        }
    }

    #[test]
    fn what_is_no_address_is_a_name_or_misspelt() {
        for host in [
            "256.0.0.1",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.65536.3",
            "4294967296",
            "08.1",
            "1..2",
            "a.1",
            "[::1",
            "[fe80::1%1]",
        ] {
            assert_eq!(literal(host), Literal::Misspelt, "{host}");
        }
        for host in ["media.example", "1.example", "xn--11b4d3a", "a"] {
            assert_eq!(literal(host), Literal::Name, "{host}");
        }
        for host in ["localhost", "LOCALHOST.", "a.localhost"] {
            assert_eq!(literal(host), Literal::Loopback, "{host}");
        }
    }
}
