//! What is dialled, and what is not: a resolver and a dialer by script, and one line for each case.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stt_core::{Budget, Cancel, ErrorCode, Fetch as _, SystemClock};
use stt_testkit::faulty::ScriptedResolver;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

use super::dial::Dialer;
use super::{FetchConfig, HttpFetch, Lookup};

#[derive(Debug)]
struct Script(ScriptedResolver);

impl Lookup for Script {
    fn lookup(&self, host: &str, port: u16, _: Duration) -> io::Result<Vec<SocketAddr>> {
        self.0.answer(host, port)
    }
}

/// Dials nobody, and remembers whom it would have dialled.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Connector<()> for Recorder {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        let addresses = details.addrs.iter().map(ToString::to_string);
        self.0.lock().expect("nobody panics with it").extend(addresses);
        Err(io::Error::from(io::ErrorKind::ConnectionRefused).into())
    }
}

/// Whom a download dials when `host` of the URL is at `addresses`, and how it ends.
fn dialled(url: &str, host: &'static str, addresses: &'static [&'static str]) -> (Vec<String>, ErrorCode) {
    let dir = tempfile::tempdir().unwrap();
    let config = FetchConfig {
        tmp_dir: dir.path().to_owned(),
        ..FetchConfig::default()
    };
    let recorder = Recorder::default();
    let script = Script(ScriptedResolver::knowing([(host, &[addresses])]));
    let mut fetch = HttpFetch::with_lookup(config, script).unwrap();
    fetch.dialer = Dialer(Arc::new(recorder.clone()));
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(30));
    let failure = fetch.fetch(&url.parse().unwrap(), &budget).unwrap_err();
    let dialled = recorder.0.lock().unwrap().clone();
    (dialled, failure.code)
}

#[test]
fn nothing_is_dialled_when_one_address_of_the_host_is_denied() {
    let cases: [(&str, &[&str]); 28] = [
        ("a.example", &["0.0.0.0"]),
        ("a.example", &["10.0.0.1"]),
        ("a.example", &["100.64.0.1"]),
        ("a.example", &["127.0.0.1"]),
        ("a.example", &["169.254.169.254"]),
        ("a.example", &["172.16.0.1"]),
        ("a.example", &["192.0.2.1"]),
        ("a.example", &["192.168.0.1"]),
        ("a.example", &["198.18.0.1"]),
        ("a.example", &["224.0.0.1"]),
        ("a.example", &["240.0.0.1"]),
        ("a.example", &["::1"]),
        ("a.example", &["::7f00:1"]),
        ("a.example", &["::ffff:127.0.0.1"]),
        ("a.example", &["64:ff9b::7f00:1"]),
        ("a.example", &["64:ff9b:1::7f00:1"]),
        ("a.example", &["2001:0:1::1"]),
        ("a.example", &["2002:7f00:1::"]),
        ("a.example", &["2001:db8::1"]),
        ("a.example", &["fd00::1"]),
        ("a.example", &["fe80::1"]),
        ("a.example", &["ff02::1"]),
        ("a.example", &["1.1.1.1", "10.0.0.1"]),
        ("a.example", &["10.0.0.1", "1.1.1.1"]),
        // As the system's resolver reads such hosts.
        ("2130706433", &["127.0.0.1"]),
        ("0x7f.1", &["127.0.0.1"]),
        ("0177.0.0.1", &["127.0.0.1"]),
        ("[::ffff:a9fe:a9fe]", &["::ffff:169.254.169.254"]),
    ];
    for (host, addresses) in cases {
        for scheme in ["http", "https"] {
            let (whom, code) = dialled(&format!("{scheme}://{host}/note.ogg"), host, addresses);
            assert_eq!(
                (whom, code),
                (vec![], ErrorCode::SsrfBlocked),
                "{scheme} {host} {addresses:?}"
            );
        }
    }
    let (whom, code) = dialled("http://a.example:22/", "a.example", &["1.1.1.1"]);
    assert_eq!((whom, code), (vec![], ErrorCode::SsrfBlocked));
}

#[test]
fn exactly_the_addresses_that_were_judged_are_dialled() {
    for (url, addresses, whom) in [
        ("http://a.example/", &["1.1.1.1"][..], &["1.1.1.1:80"][..]),
        ("https://a.example/", &["1.1.1.1"], &["1.1.1.1:443"]),
        (
            "https://a.example:80/",
            &["1.1.1.1", "2606::1"],
            &["1.1.1.1:80", "[2606::1]:80"],
        ),
    ] {
        let (found, code) = dialled(url, "a.example", addresses);
        assert_eq!(
            (found, code),
            (
                whom.iter().map(ToString::to_string).collect(),
                ErrorCode::DownloadFailed
            )
        );
    }
}
