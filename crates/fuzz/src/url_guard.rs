//! Whom a stranger's URL may lead to, whatever a name server answers.
//!
//! An input is lines of text: the URL; then, one a line, what its host is looked up as. A line that begins with `+` is a
//! rule that allows, with `-` one that denies. An address may also stand as 4 or 16 raw bytes.
//!
//! Nothing is looked up or dialled: the judge is [`Guard`], which `HttpFetch` asks at every hop about exactly the addresses
//! that it dials.

mod libc_reads;
mod oracle;

use std::net::{IpAddr, SocketAddr};

use stt_audio::{AddressRule, EgressProxy, FetchConfig, Guard, classify};
use stt_core::{AudioUrl, UrlParts};

use self::oracle::{Rule, is_public};

/// Holds URLs, rules and the guard to what is promised about them.
///
/// # Panics
/// When a promise is broken.
pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let url = first.parse::<AudioUrl>();
    proxy_shows_no_secrets(&first);
    let (host, port) = match &url {
        Ok(url) => {
            shows_no_secrets(&first, url);
            (url.host(), url.port())
        }
        Err(error) => {
            assert!(error.to_string().len() <= 64, "{error}");
            (first.as_str(), 80)
        }
    };

    let mut case = Case {
        host,
        addresses: vec![],
        allow: vec![],
        deny: vec![],
    };
    let mut config = FetchConfig::default();
    for line in lines {
        match line {
            [b'+', rule @ ..] => read_rule(rule, &mut config.allow, &mut case.allow),
            [b'-', rule @ ..] => read_rule(rule, &mut config.deny, &mut case.deny),
            _ => case.addresses.extend(address(line, port)),
        }
    }
    let guard = config.guard();
    case.admits_nothing_else(&guard);
    if url.is_ok() {
        case.judges_spellings_as_the_resolver_reads_them(&guard, port);
    }
}

/// What may be dialled, told independently of the guard.
struct Case<'a> {
    host: &'a str,
    addresses: Vec<SocketAddr>,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

impl Case<'_> {
    fn admits_nothing_else(&self, guard: &Guard) {
        let admitted = guard.admit(self.host, &self.addresses);
        if admitted.is_ok() {
            for address in &self.addresses {
                self.may_be_dialled(*address);
            }
        }
        for address in &self.addresses {
            self.neighbours_are_judged_too(guard, *address);
            if let Err(denied) = guard.admit(self.host, &[*address]) {
                assert!(admitted.is_err(), "{address} is admitted among others");
                let told = denied.to_string();
                assert!(!told.contains(&address.ip().to_string()), "{told}");
            }
        }
    }

    /// Ranges end at a bit, and chance seldom comes to their ends: so with each address go those that differ in one.
    fn neighbours_are_judged_too(&self, guard: &Guard, address: SocketAddr) {
        for neighbour in neighbours(address.ip()) {
            assert!(classify(neighbour).is_err() || is_public(neighbour), "{neighbour}");
            let neighbour = SocketAddr::new(neighbour, address.port());
            if guard.admit(self.host, &[neighbour]).is_ok() {
                self.may_be_dialled(neighbour);
            }
        }
    }

    #[track_caller]
    fn may_be_dialled(&self, address: SocketAddr) {
        let ip = address.ip();
        let is_closed = self.deny.iter().any(|rule| rule.closes(self.host, address));
        assert!(!is_closed, "{} at {address} is closed", self.host);
        if !self.allow.iter().any(|rule| rule.opens(self.host, address)) {
            assert!(is_public(ip), "{} at {address} is not public", self.host);
            assert!([80, 443].contains(&address.port()), "{} at {address}", self.host);
        }
    }

    /// Behind a proxy only the URL can be judged. What the C library takes for an address must be judged as that one.
    fn judges_spellings_as_the_resolver_reads_them(&self, guard: &Guard, port: u16) {
        let judged = guard.admit_unresolved(self.host, port);
        if let Some(ip) = libc_reads::address(self.host) {
            let address = SocketAddr::new(ip, port);
            assert_eq!(judged, guard.admit(self.host, &[address]), "{} is {ip}", self.host);
            if judged.is_ok() {
                self.may_be_dialled(address);
            }
        }
    }
}

fn address(line: &[u8], port: u16) -> Option<SocketAddr> {
    let text = || std::str::from_utf8(line).ok();
    let ip: Option<IpAddr> = match line.len() {
        4 => <[u8; 4]>::try_from(line).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(line).ok().map(IpAddr::from),
        _ => None,
    };
    let written = || text()?.parse().ok().map(|ip| SocketAddr::new(ip, port));
    let with_port = || text()?.parse().ok();
    written()
        .or_else(with_port)
        .or_else(|| ip.map(|ip| SocketAddr::new(ip, port)))
}

fn neighbours(address: IpAddr) -> Vec<IpAddr> {
    let mut found = vec![address];
    match address {
        IpAddr::V4(v4) => found.extend((0..32).map(|bit| IpAddr::V4((v4.to_bits() ^ (1 << bit)).into()))),
        IpAddr::V6(v6) => found.extend((0..128).map(|bit| IpAddr::V6((v6.to_bits() ^ (1 << bit)).into()))),
    }
    found
}

/// A rule that is taken shows itself as a text that is taken for the same.
fn read_rule(text: &[u8], theirs: &mut Vec<AddressRule>, ours: &mut Vec<Rule>) {
    let text = String::from_utf8_lossy(text);
    let Ok(rule) = text.parse::<AddressRule>() else { return };
    let shown = rule.to_string();
    assert_eq!(shown.parse().as_ref(), Ok(&rule), "{text:?} is {shown}");
    ours.push(Rule::read(&shown).unwrap_or_else(|| panic!("{text:?} is {shown}")));
    theirs.push(rule);
}

fn shows_no_secrets(text: &str, url: &AudioUrl) {
    let whole = url.expose().to_string();
    let before_query = whole.split('?').next().unwrap_or_default();
    let authority = before_query.split('/').nth(2).unwrap_or_default();
    let scheme = before_query.split(':').next().unwrap_or_default();
    let shown = format!("{scheme}://{authority}");
    assert!(!authority.contains(['@', '#', '?']), "{text:?} has credentials");
    assert_eq!(url.to_string(), shown, "{text:?}");
    assert_eq!(format!("{url:?}"), format!("AudioUrl({shown})"));
    assert_eq!(url.shown(UrlParts::Host).to_string(), shown);
    let with_path = url.shown(UrlParts::Path).to_string();
    assert!(with_path.bytes().all(|byte| byte.is_ascii_graphic()), "{with_path:?}");
    assert!(
        !with_path.contains(['?', '#']) && with_path.starts_with(&shown),
        "{with_path:?}"
    );
    let nothing = url.shown(UrlParts::None).to_string();
    assert_eq!(nothing, "a URL");
    assert_eq!(whole.parse().as_ref(), Ok(url), "{text:?} is {whole}");
}

fn proxy_shows_no_secrets(text: &str) {
    match text.parse::<EgressProxy>() {
        Ok(proxy) => {
            let shown = proxy.to_string();
            assert!(!shown.contains('@'), "{text:?} is {shown}");
            assert_eq!(format!("{proxy:?}"), format!("EgressProxy({shown})"));
            let again: Option<EgressProxy> = shown.parse().ok();
            assert_eq!(again.map(|again| again.to_string()).as_ref(), Some(&shown), "{text:?}");
        }
        Err(error) => assert!(error.to_string().len() <= 128, "{error}"),
    }
}
