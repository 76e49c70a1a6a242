//! URLs that lead where no stranger may go. In every case a listener stands where the URL leads, and nothing comes.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use common::{assert_failed, config, fetch};
use stt_audio::{FetchConfig, HttpFetch, Lookup};
use stt_core::ErrorCode::{DownloadFailed, SsrfBlocked};
use stt_core::Fault;
use stt_testkit::faulty::{FaultyServer as Server, Forbidden, ScriptedResolver, body, redirect};
use tempfile::tempdir;

#[derive(Debug)]
struct Names(ScriptedResolver);

impl Names {
    fn knowing<const N: usize>(names: [(&str, &[&[&str]]); N]) -> Self {
        Self(ScriptedResolver::knowing(names))
    }
}

impl Lookup for Names {
    fn lookup(&self, host: &str, port: u16, _: Duration) -> io::Result<Vec<SocketAddr>> {
        self.0.answer(host, port)
    }
}

fn strict(change: impl FnOnce(&mut FetchConfig)) -> HttpFetch {
    let dir = tempdir().unwrap();
    let mut config = config(dir.path());
    config.allow = vec![];
    change(&mut config);
    HttpFetch::new(config).unwrap()
}

#[test]
fn no_spelling_of_a_private_address_is_dialled() {
    let forbidden = Forbidden::start();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00::1]",
    ];
    let port = forbidden.port();
    let fetcher = strict(|config| config.ports.push(port));
    for host in hosts {
        let url = format!("http://{host}:{port}/note.ogg?token=secret");
        let result = fetch(&fetcher, &url);
        assert!(!forbidden.was_touched(), "connected: {url}");
        let failure = result.expect_err(&url);
        // Some resolvers do not know the odd spellings; then there is nothing to dial.
        let unknown = failure.code == DownloadFailed && failure.fault == (Fault::Transient { after: None });
        let odd = !["127.0.0.1", "2130706433", "0x7f.1", "localhost"].contains(&host) && !host.starts_with('[');
        if !(odd && unknown) {
            let failure = assert_failed(Err::<(), _>(failure), SsrfBlocked, Fault::Permanent);
            assert!(!failure.error_chain().contains("secret"), "{}", failure.error_chain());
        }
    }
}

#[test]
fn ports_other_than_those_for_media_are_not_dialled() {
    let names = Names::knowing([("media.example", &[&["1.1.1.1"]])]);
    let dir = tempdir().unwrap();
    let mut config = config(dir.path());
    config.allow = vec![];
    let fetcher = HttpFetch::with_lookup(config, names).unwrap();
    for port in [22, 25, 6379, 8080] {
        let refused = fetch(&fetcher, &format!("http://media.example:{port}/"));
        let failure = assert_failed(refused, SsrfBlocked, Fault::Permanent);
        let why = format!("port {port} is not one that audio is fetched from");
        assert_eq!(
            failure.error_chain(),
            format!("http://media.example:{port} must not be reached: {why}")
        );
    }
}

#[test]
fn a_redirect_gets_no_further_than_a_url_would() {
    let forbidden = Forbidden::start();
    let port = forbidden.port();
    // The server is reached by a name that the operator opened; its address itself is not open.
    let targets = [
        format!("http://0x7f.1:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("//127.0.0.1:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        format!("gopher://127.0.0.1:{port}/"),
    ];
    for target in targets {
        let server = Server::start(vec![redirect(&target)]);
        let fetcher = strict(|config| {
            config.allow = vec![
                "localhost=127.0.0.0/8".parse().unwrap(),
                "localhost=::1".parse().unwrap(),
            ];
            config.ports.push(port);
        });
        let refused = fetch(&fetcher, &format!("http://localhost:{}/", server.address.port()));
        assert_failed(refused, SsrfBlocked, Fault::Permanent);
        assert!(!forbidden.was_touched(), "connected: {target}");
        assert_eq!(server.requests().len(), 1, "the redirect was not even seen: {target}");
    }
}

#[test]
fn a_name_that_turns_private_is_refused_at_the_next_hop() {
    let server = Server::start(vec![redirect("/again")]);
    let answers: &[&[&str]] = &[&["127.0.0.1"], &["127.0.0.2"]];
    let dir = tempdir().unwrap();
    let names = Names::knowing([("rebinding.example", answers)]);
    let fetcher = HttpFetch::with_lookup(config(dir.path()), names).unwrap();
    let url = format!("http://rebinding.example:{}/", server.address.port());
    assert_failed(fetch(&fetcher, &url), SsrfBlocked, Fault::Permanent);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_name_that_mixes_open_and_closed_addresses_is_refused() {
    let forbidden = Forbidden::start();
    let dir = tempdir().unwrap();
    let names = Names::knowing([("mixed.example", &[&["127.0.0.1", "10.0.0.1"]])]);
    let fetcher = HttpFetch::with_lookup(config(dir.path()), names).unwrap();
    let url = format!("http://mixed.example:{}/", forbidden.port());
    assert_failed(fetch(&fetcher, &url), SsrfBlocked, Fault::Permanent);
    assert!(!forbidden.was_touched(), "connected: {url}");
}

#[test]
fn what_the_operator_closed_is_not_reached_although_it_is_open() {
    for rule in ["127.0.0.1", "127.0.0.0/8", "media.internal", ".internal"] {
        let forbidden = Forbidden::start();
        let dir = tempdir().unwrap();
        let mut config = config(dir.path());
        config.allow.push("media.internal=127.0.0.1".parse().unwrap());
        config.deny = vec![rule.parse().unwrap()];
        let names = Names::knowing([("media.internal", &[&["127.0.0.1"]])]);
        let fetcher = HttpFetch::with_lookup(config, names).unwrap();
        let refused = fetch(&fetcher, &format!("http://media.internal:{}/", forbidden.port()));
        let failure = assert_failed(refused, SsrfBlocked, Fault::Permanent);
        assert!(
            failure.error_chain().ends_with("closed by the operator"),
            "{}",
            failure.error_chain()
        );
        assert!(!forbidden.was_touched(), "{rule}");
    }
}

#[test]
fn what_the_operator_names_is_reached_at_any_port() {
    for rule in ["127.0.0.1", "127.0.0.0/8", "media.internal=127.0.0.0/8"] {
        let server = Server::start(vec![body(b"audio")]);
        let dir = tempdir().unwrap();
        let mut config = config(dir.path());
        config.allow = vec![rule.parse().unwrap()];
        let names = Names::knowing([("media.internal", &[&["127.0.0.1"]])]);
        let fetcher = HttpFetch::with_lookup(config, names).unwrap();
        let url = format!("http://media.internal:{}/", server.address.port());
        assert_eq!(fetch(&fetcher, &url).unwrap().len(), 5, "{rule}");
    }
}
