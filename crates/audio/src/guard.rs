//! Which hosts a stranger's URL may lead to.

mod literal;
mod ranges;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::Ipv6Net;

use self::literal::{Literal, literal};
use self::ranges::{embedded, translated};
use crate::AddressRule;

pub use self::ranges::classify;
pub(crate) use self::ranges::is_sensitive;

/// Why a host must not be reached. Names no address, so that job results do not tell strangers what internal names
/// resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The operator closed the host, or one of its addresses.
    #[error("the host is closed by the operator")]
    Closed,
    /// One of the host's addresses is not of the public internet.
    #[error("an address of the host is {0}")]
    Address(&'static str),
    /// The host looks like an address and is none.
    #[error("the host is a misspelt address")]
    Misspelt,
    /// Not a port for media.
    #[error("port {0} is not one that audio is fetched from")]
    Port(u16),
}

/// What may be dialled: the public internet at some ports, and what the operator opened at any; never what he closed.
///
/// [`crate::HttpFetch`] asks it at every hop. So can another client: with all addresses of a host, of which it then dials
/// none but these.
///
/// ```
/// use stt_audio::{Denied, FetchConfig};
///
/// let guard = FetchConfig::default().guard();
/// assert_eq!(guard.admit("media.example", &["1.1.1.1:443".parse()?]), Ok(()));
/// let found = guard.admit("media.example", &["1.1.1.1:443".parse()?, "10.0.0.1:443".parse()?]);
/// assert_eq!(found, Err(Denied::Address("private")));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Guard {
    pub(crate) allow: Vec<AddressRule>,
    pub(crate) deny: Vec<AddressRule>,
    pub(crate) ports: Vec<u16>,
    pub(crate) nat64_prefixes: Vec<Ipv6Net>,
}

impl Guard {
    /// Passes only when every address may be dialled: a name that mixes public and private ones is an attack. `host` is as
    /// a URL writes it.
    ///
    /// # Errors
    /// Why none of them may be.
    pub fn admit(&self, host: &str, addresses: &[SocketAddr]) -> Result<(), Denied> {
        let is_closed = |address: &SocketAddr| self.closes(host, *address);
        if self.deny.iter().any(|rule| rule.names(host)) || addresses.iter().any(is_closed) {
            return Err(Denied::Closed);
        }
        for address in addresses {
            // What a NAT64 gateway of ours dials is the IPv4 address.
            let dialled = self
                .translated(address.ip())
                .map_or(*address, |inner| SocketAddr::new(inner.into(), address.port()));
            if self.opens(host, *address) || self.opens(host, dialled) {
                continue;
            }
            classify(dialled.ip()).map_err(Denied::Address)?;
            self.admit_port(dialled.port())?;
        }
        Ok(())
    }

    /// As far as can be told of a host that somebody else looks up: an address in any spelling is judged as one, a name
    /// by the operator's rules alone.
    ///
    /// # Errors
    /// Why it must not be reached.
    pub fn admit_unresolved(&self, host: &str, port: u16) -> Result<(), Denied> {
        let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        match literal(host) {
            Literal::Address(ip) => self.admit(host, &[SocketAddr::new(ip, port)]),
            _ if self.deny.iter().any(|rule| rule.closes_unresolved(host, port)) => Err(Denied::Closed),
            Literal::Loopback if self.opens(host, loopback) => Ok(()),
            Literal::Loopback => Err(Denied::Address("loopback")),
            _ if self.allow.iter().any(|rule| rule.names(host)) => Ok(()),
            Literal::Misspelt => Err(Denied::Misspelt),
            Literal::Name => self.admit_port(port),
        }
    }

    fn opens(&self, host: &str, address: SocketAddr) -> bool {
        self.allow.iter().any(|rule| rule.opens(host, address))
    }

    /// An IPv6 address that stands for an IPv4 one leads to both.
    fn closes(&self, host: &str, address: SocketAddr) -> bool {
        let ip = address.ip();
        let inner = embedded(ip).or_else(|| self.translated(ip));
        let inner = inner.map(|inner| SocketAddr::new(inner.into(), address.port()));
        let closes =
            |rule: &AddressRule| rule.closes(host, address) || inner.is_some_and(|inner| rule.closes(host, inner));
        self.deny.iter().any(closes)
    }

    fn translated(&self, address: IpAddr) -> Option<Ipv4Addr> {
        self.nat64_prefixes
            .iter()
            .find_map(|prefix| translated(*prefix, address))
    }

    fn admit_port(&self, port: u16) -> Result<(), Denied> {
        if self.ports.contains(&port) {
            Ok(())
        } else {
            Err(Denied::Port(port))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<AddressRule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn guard(allow: &[&str], deny: &[&str]) -> Guard {
        Guard {
            allow: rules(allow),
            deny: rules(deny),
            ports: vec![80, 443],
            nat64_prefixes: vec!["64:ff9b:1::/96".parse().unwrap()],
        }
    }

    #[track_caller]
    fn check(allow: &[&str], deny: &[&str], host: &str, addresses: &[&str], admitted: Result<(), Denied>) {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let found = guard(allow, deny).admit(host, &addresses);
        assert_eq!(found, admitted, "{host} at {addresses:?}");
    }

    #[test]
    fn one_private_address_among_public_ones_refuses_them_all() {
        let private = Err(Denied::Address("private"));
        check(&[], &[], "media.example", &["1.1.1.1:443", "10.0.0.1:443"], private);
        check(&[], &[], "media.example", &["1.1.1.1:443", "[2606::1]:443"], Ok(()));
    }

    #[test]
    fn odd_ports_are_for_what_the_operator_named() {
        check(&[], &[], "media.example", &["1.1.1.1:22"], Err(Denied::Port(22)));
        check(&["media.example"], &[], "Media.Example.", &["1.1.1.1:22"], Ok(()));
        check(&["1.1.1.0/24"], &[], "media.example", &["1.1.1.1:22"], Ok(()));
    }

    #[test]
    fn what_is_closed_stays_closed_whatever_is_open() {
        let closed = Err(Denied::Closed);
        for (allow, deny, host, address) in [
            (&[][..], "evil.example", "Evil.Example.", "1.1.1.1:443"),
            (&[], ".evil.example", "evil.example", "1.1.1.1:443"),
            (&[], ".evil.example", "a.b.evil.example", "1.1.1.1:443"),
            (&[], "1.1.1.0/24", "media.example", "1.1.1.1:443"),
            (&["media.internal"], "10.0.0.1", "media.internal", "10.0.0.1:80"),
            (&["media.internal"], "media.internal", "media.internal", "10.0.0.1:80"),
            (&["10.0.0.0/8"], "10.9.0.0/16", "10.9.1.1", "10.9.1.1:80"),
            (
                &["media.internal"],
                "10.0.0.0/8",
                "media.internal",
                "[::ffff:10.0.0.1]:80",
            ),
            (
                &["64:ff9b::/96"],
                "8.8.8.8",
                "[64:ff9b::808:808]",
                "[64:ff9b::808:808]:80",
            ),
        ] {
            check(allow, &[deny], host, &[address], closed);
        }
        check(&[], &["evil.example"], "a.evil.example", &["1.1.1.1:443"], Ok(()));
        check(&[], &[".evil.example"], "notevil.example", &["1.1.1.1:443"], Ok(()));
        check(&["10.0.0.0/8"], &["10.9.0.0/16"], "a", &["10.8.1.1:80"], Ok(()));
    }

    #[test]
    fn a_rule_opens_what_it_names_and_no_more() {
        let loopback = Err(Denied::Address("loopback"));
        check(&["127.0.0.1/32"], &[], "a", &["127.0.0.1:8000"], Ok(()));
        check(&["127.0.0.1"], &[], "a", &["127.0.0.1:8000"], Ok(()));
        check(&["127.0.0.1"], &[], "a", &["127.0.0.2:80"], loopback);
        check(&["127.0.0.1"], &[], "a", &["127.0.0.1:80", "[::1]:80"], loopback);
        check(&["internal"], &[], "media.internal", &["127.0.0.1:80"], loopback);
        check(&["media.internal"], &[], "media.internal", &["10.0.0.1:8080"], Ok(()));
        check(&[".internal"], &[], "media.internal", &["10.0.0.1:80"], Ok(()));
        let embedded = Err(Denied::Address("an embedded IPv4 address"));
        check(&["127.0.0.0/8"], &[], "a", &["[::ffff:127.0.0.1]:80"], embedded);
    }

    #[test]
    fn of_a_host_that_a_proxy_looks_up_the_spelling_is_judged() {
        let unresolved = |allow: &[&str], deny: &[&str], host, port| guard(allow, deny).admit_unresolved(host, port);
        let address = |kind| Err(Denied::Address(kind));
        for (host, found) in [
            ("127.0.0.1", address("loopback")),
            ("0177.1", address("loopback")),
            ("2852039166", address("link-local")),
            ("[::ffff:a00:1]", address("an embedded IPv4 address")),
            ("LocalHost.", address("loopback")),
            ("a.localhost", address("loopback")),
            ("1.2.3.4.5", Err(Denied::Misspelt)),
            ("1.1.1.1", Ok(())),
            ("media.example", Ok(())),
        ] {
            assert_eq!(unresolved(&[], &[], host, 443), found, "{host}");
        }
        assert_eq!(unresolved(&[], &[], "media.example", 22), Err(Denied::Port(22)));
        assert_eq!(unresolved(&["media.internal"], &[], "media.internal", 8080), Ok(()));
        assert_eq!(unresolved(&["localhost=127.0.0.1"], &[], "localhost", 8080), Ok(()));
        assert_eq!(unresolved(&["127.0.0.0/8"], &[], "127.1", 8080), Ok(()));
        let closed = Err(Denied::Closed);
        assert_eq!(unresolved(&["a.internal"], &[".internal"], "a.internal", 80), closed);
        assert_eq!(unresolved(&[], &["1.1.0.0/16"], "0x01010101", 80), closed);
    }

    #[test]
    fn a_name_alone_leads_neither_to_this_machine_nor_to_its_cloud() {
        for address in [
            "127.0.0.1:80",
            "[::1]:80",
            "0.0.0.0:80",
            "169.254.169.254:80",
            "[fe80::1]:80",
            "168.63.129.16:80",
            "100.100.100.200:80",
            "192.0.0.192:80",
            "[fd00:ec2::254]:80",
            "[fd20:ce::254]:80",
            "[::ffff:127.0.0.1]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:7f00:1::]:80",
        ] {
            let parsed: SocketAddr = address.parse().unwrap();
            let found = guard(&["a.internal", ".internal"], &[]).admit("a.internal", &[parsed]);
            assert!(matches!(found, Err(Denied::Address(_))), "{address}: {found:?}");
            let place = format!("a.internal={}", parsed.ip());
            check(&[&place], &[], "a.internal", &[address], Ok(()));
        }
    }

    #[test]
    fn a_place_is_a_name_at_an_address_and_a_port() {
        let (allow, private) = (
            &["a.internal=10.0.0.0/8:8080", ".b=10.1.2.3"][..],
            Err(Denied::Address("private")),
        );
        check(allow, &[], "a.internal", &["10.9.9.9:8080"], Ok(()));
        check(allow, &[], "a.internal", &["10.9.9.9:80"], private);
        check(allow, &[], "a.internal", &["192.168.0.1:8080"], private);
        check(allow, &[], "b.internal", &["10.9.9.9:8080"], private);
        check(allow, &[], "c.b", &["10.1.2.3:9"], Ok(()));
        check(allow, &[], "a.internal", &["1.1.1.1:8080"], Err(Denied::Port(8080)));
        let closed = Err(Denied::Closed);
        check(&["10.0.0.0/8"], &["a=10.0.0.1:22"], "a", &["10.0.0.1:22"], closed);
        check(&["10.0.0.0/8"], &["a=10.0.0.1:22"], "a", &["10.0.0.1:80"], Ok(()));
        check(&["10.0.0.0/8"], &["a=10.0.0.1:22"], "b", &["10.0.0.1:22"], Ok(()));
        let unresolved = |allow: &[&str], deny: &[&str], host, port| guard(allow, deny).admit_unresolved(host, port);
        assert_eq!(
            unresolved(&["localhost"], &[], "localhost", 80),
            Err(Denied::Address("loopback"))
        );
        assert_eq!(
            unresolved(&["localhost=127.0.0.0/8:8080"], &[], "localhost", 8080),
            Ok(())
        );
        assert_eq!(unresolved(&[], &["a.example=10.0.0.0/8"], "a.example", 80), closed);
        assert_eq!(
            unresolved(&["a.internal=10.0.0.0/8:8080"], &[], "a.internal", 8080),
            Err(Denied::Port(8080))
        );
    }

    #[test]
    fn behind_our_own_nat64_the_ipv4_address_is_judged() {
        let (private, closed) = (Err(Denied::Address("private")), Err(Denied::Closed));
        check(&[], &[], "a.example", &["[64:ff9b:1::1.1.1.1]:443"], Ok(()));
        check(&[], &[], "a.example", &["[64:ff9b:1::10.0.0.1]:443"], private);
        check(
            &[],
            &[],
            "a.example",
            &["[64:ff9b:1::127.0.0.1]:443"],
            Err(Denied::Address("loopback")),
        );
        check(
            &[],
            &[],
            "a.example",
            &["[64:ff9b:1::1.1.1.1]:22"],
            Err(Denied::Port(22)),
        );
        check(&["10.0.0.0/8"], &[], "a", &["[64:ff9b:1::10.0.0.1]:9000"], Ok(()));
        check(&[], &["1.1.1.0/24"], "a.example", &["[64:ff9b:1::1.1.1.1]:443"], closed);
        let other = Err(Denied::Address("an embedded IPv4 address"));
        check(&[], &[], "a.example", &["[64:ff9b::1.1.1.1]:443"], other);
    }
}
