//! Downloads over TLS, with a certificate authority made here.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::Write as _;
use std::sync::Arc;

use common::{LATER, assert_failed, config, fetch};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use stt_audio::{BadRoots, FetchConfig, HttpFetch, PrivateRoots};
use stt_core::ErrorCode::DownloadFailed;
use stt_core::{Failure, Fault, Fetched};
use stt_testkit::faulty::{FaultyServer, Reply, asked_first, body, raw, redirect, too_short, tunnel};
use tempfile::tempdir;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> PrivateRoots {
        PrivateRoots::from_pem(self.0.pem().as_bytes()).unwrap()
    }

    /// A server's side of TLS, as `name`.
    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let chain = vec![CertificateDer::from(certificate)];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .unwrap();
        Arc::new(config)
    }
}

/// The reply within TLS.
fn tls(config: &Arc<ServerConfig>, reply: Reply) -> Reply {
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    Box::new(move |mut stream| {
        let mut inner = Stream::new(&mut connection, &mut stream);
        asked_first(reply)(&mut inner);
    })
}

/// Downloads from loopback, trusting an authority or only the system's.
fn fetch_trusting(roots: Option<PrivateRoots>, url: &str) -> Result<Fetched, Failure> {
    let dir = tempdir().unwrap();
    let config = FetchConfig {
        private_roots: roots,
        ..config(dir.path())
    };
    fetch(&HttpFetch::new(config).unwrap(), url)
}

#[track_caller]
fn assert_not_trusted(roots: Option<PrivateRoots>, server: &Arc<ServerConfig>, why: &str) {
    let server = FaultyServer::start_unasked(vec![tls(server, body(b"audio"))]);
    let url = format!("https://{}/note.ogg?token=secret", server.address);
    let failure = assert_failed(fetch_trusting(roots, &url), DownloadFailed, LATER);
    let story = failure.error_chain();
    assert!(story.contains(why) && !story.contains("secret"), "{story}");
}

#[test]
fn an_authority_that_is_not_known_is_not_trusted() {
    let (known, other) = (Authority::new(), Authority::new());
    let server = other.server("127.0.0.1", |_| {});
    assert_not_trusted(None, &server, "UnknownIssuer");
    assert_not_trusted(Some(known.roots()), &server, "invalid peer certificate");
}

#[test]
fn a_certificate_of_another_time_or_name_is_not_trusted() {
    let authority = Authority::new();
    let roots = || Some(authority.roots());
    let expired = authority.server("127.0.0.1", |params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_not_trusted(roots(), &expired, "certificate expired");
    let early = authority.server("127.0.0.1", |params| params.not_before = date_time_ymd(4000, 1, 1));
    assert_not_trusted(roots(), &early, "certificate not valid yet");
    let other = authority.server("media.example", |_| {});
    assert_not_trusted(roots(), &other, "certificate not valid for name");
}

#[test]
fn a_private_authority_is_trusted_for_the_whole_download() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", |_| {});
    let long: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let replies = vec![tls(&server, redirect("/there")), tls(&server, body(&long))];
    let listening = FaultyServer::start_unasked(replies);
    let url = format!("https://{}/here", listening.address);
    let media = fetch_trusting(Some(authority.roots()), &url).unwrap();
    assert!(matches!(media, Fetched::Memory(bytes) if bytes == long));
}

#[test]
fn a_body_that_breaks_within_tls_may_work_later() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", |_| {});
    let listening = FaultyServer::start_unasked(vec![tls(&server, too_short(9, b"short"))]);
    let url = format!("https://{}/", listening.address);
    assert_failed(fetch_trusting(Some(authority.roots()), &url), DownloadFailed, LATER);
}

#[test]
fn a_redirect_from_https_to_http_is_not_followed() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", |_| {});
    let plain = stt_testkit::faulty::Forbidden::start();
    let to = format!("http://127.0.0.1:{}/", plain.port());
    let listening = FaultyServer::start_unasked(vec![tls(&server, redirect(&to))]);
    let url = format!("https://{}/", listening.address);
    let refused = fetch_trusting(Some(authority.roots()), &url);
    let failure = assert_failed(refused, DownloadFailed, Fault::Permanent);
    assert!(
        failure.message.starts_with("a redirect leads from https to http"),
        "{failure}"
    );
    assert!(!plain.was_touched());
}

#[test]
fn https_goes_through_a_proxy_end_to_end() {
    let authority = Authority::new();
    let server = authority.server("media.example", |_| {});
    let proxy = FaultyServer::start(vec![tunnel(tls(&server, body(b"audio")))]);
    let dir = tempdir().unwrap();
    let config = FetchConfig {
        private_roots: Some(authority.roots()),
        proxy: Some(proxy.url("").parse().unwrap()),
        ..config(dir.path())
    };
    let media = fetch(
        &HttpFetch::new(config).unwrap(),
        "https://media.example/note.ogg?token=secret",
    )
    .unwrap();
    assert_eq!(media.len(), 5);
    let requests = proxy.requests();
    assert!(
        requests[0].starts_with("CONNECT media.example:443 HTTP/1.1"),
        "{requests:?}"
    );
    assert!(!requests[0].contains("secret"), "{requests:?}");
}

#[test]
fn a_bundle_of_authorities_is_read_whole() {
    let (first, second) = (Authority::new(), Authority::new());
    let key = KeyPair::generate().unwrap().serialize_pem();
    let bundle = format!("# ours\n{}\n{key}\n{}", first.0.pem(), second.0.pem());
    let roots = PrivateRoots::from_pem(bundle.as_bytes()).unwrap();
    assert_eq!(format!("{roots:?}"), "PrivateRoots(2 certificates)");
    assert_eq!(PrivateRoots::from_pem(key.as_bytes()).unwrap_err(), BadRoots::None);
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let refused = PrivateRoots::from_pem(format!("{bundle}{damaged}").as_bytes()).unwrap_err();
    assert_eq!(refused, BadRoots::Certificate(3));
}

/// Anyone between can end TCP; only the server can end TLS.
#[test]
fn a_body_that_ends_without_the_end_of_tls_is_no_whole_one() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", |_| {});
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    for (ends_tls, whole) in [(true, true), (false, false)] {
        let mut connection = ServerConnection::new(Arc::clone(&server)).unwrap();
        let reply: Reply = Box::new(move |mut stream| {
            asked_first(raw(format!("{head}half of it")))(&mut Stream::new(&mut connection, &mut stream));
            if ends_tls {
                connection.send_close_notify();
                let _ = Stream::new(&mut connection, &mut stream).flush();
            }
        });
        let listening = FaultyServer::start_unasked(vec![reply]);
        let url = format!("https://{}/", listening.address);
        let fetched = fetch_trusting(Some(authority.roots()), &url);
        if whole {
            assert!(matches!(fetched.unwrap(), Fetched::Memory(bytes) if bytes == b"half of it"));
        } else {
            assert_failed(fetched, DownloadFailed, LATER);
        }
    }
}
