//! Downloads, one hop at a time.

mod answer;
mod body;
mod config;
mod dial;
#[cfg(test)]
mod dialled;
mod dir;
mod held;
mod hosts;
pub(crate) mod inspect;
mod lookup;
mod pace;
mod proxy;
mod redirect;
mod roots;
mod trouble;

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stt_core::{AudioUrl, Budget, ErrorCode, Failure, Fault, Fetch, Fetched, UrlParts};
use ureq::Agent;
use ureq::tls::TlsConfig;

pub use self::config::{BadFetchConfig, FetchConfig};
pub use self::dir::{free_bytes, open_private_dir};
pub use self::hosts::PausedHost;
pub use self::lookup::{LocalFault, Lookup, SystemLookup};
pub use self::proxy::{BadProxy, EgressProxy};
pub use self::roots::{BadRoots, PrivateRoots};

use self::answer::Answer;
use self::body::Sink;
use self::dial::{Dialer, Resolve};
use self::held::Held;
use self::hosts::Hosts;
use self::pace::Pace;
use self::trouble::Download;

/// Downloads over HTTP/1.1, http and https.
///
/// Every hop is looked up once, all addresses of its host are judged, and exactly those are dialled, so that no second
/// answer of a name server counts. Nothing is kept between two downloads but which of them failed by this worker's fault, which hosts did not answer, and the roots of TLS: the system's, read at the
/// first use of https, or at once where there are private ones.
#[derive(Debug)]
pub struct HttpFetch {
    config: FetchConfig,
    resolve: Resolve,
    dialer: Dialer,
    tls: TlsConfig,
    sink: Sink,
    held: Held,
    hosts: Hosts,
}

impl HttpFetch {
    /// Creates `tmp_dir` where it is missing, private to this user.
    ///
    /// # Errors
    /// When a setting cannot work, or there can be no `tmp_dir`.
    pub fn new(config: FetchConfig) -> Result<Self, BadFetchConfig> {
        Self::with_lookup(config, SystemLookup::default())
    }

    /// With another source of addresses than the system's resolver; they are judged all the same.
    ///
    /// # Errors
    /// As [`HttpFetch::new`].
    pub fn with_lookup(config: FetchConfig, lookup: impl Lookup + 'static) -> Result<Self, BadFetchConfig> {
        config.check()?;
        Ok(Self {
            resolve: Resolve {
                guard: Arc::new(config.guard()),
                shows_hosts: config.urls_shown != UrlParts::None,
                lookup: Arc::new(lookup),
            },
            dialer: Dialer::default(),
            tls: roots::tls(config.private_roots.as_ref()),
            sink: Sink::new(&config)?,
            held: Held::default(),
            hosts: Hosts::default(),
            config,
        })
    }

    /// The hosts that are not asked now, as they timed out again and again; the longest pause first.
    #[must_use]
    pub fn paused_hosts(&self, now: Instant) -> Vec<PausedHost> {
        self.hosts.paused(now)
    }

    /// An agent for one hop. An agent of its own, as its time is what is left now; the dialer is shared, as it holds
    /// the roots of TLS.
    fn agent(&self, remaining: Duration) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(self.tls.clone())
            .proxy(self.config.proxy.as_ref().map(EgressProxy::proxy)) // never that of the environment
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(self.config.user_agent.as_str())
            .accept_encoding("identity")
            .max_idle_connections(0)
            .timeout_global(Some(remaining))
            .timeout_resolve(Some(self.config.connect_timeout))
            .timeout_connect(Some(self.config.connect_timeout))
            .timeout_recv_response(Some(self.config.answer_timeout))
            .timeout_per_read(Some(self.config.silence_max))
            .timeout_per_write(Some(self.config.silence_max))
            .build();
        Agent::with_parts(config, self.dialer.clone(), self.resolve.clone())
    }
}

impl Fetch for HttpFetch {
    fn fetch(&self, url: &AudioUrl, budget: &Budget<'_>) -> Result<Fetched, Failure> {
        let clock = budget.clock();
        if let Some(wait) = self.held.wait(url, clock.now()) {
            let download = self.download(url, budget);
            if !wait.is_zero() {
                return Err(download.held(wait));
            }
            if let Err(error) = self.sink.has_room() {
                self.held.failed(url, clock.now());
                return Err(download.not_kept(error));
            }
        }
        let fetched = self.follow(url.clone(), budget);
        match &fetched {
            Err(failure) if matches!(failure.fault, Fault::WorkerLocal | Fault::NoRoom) => {
                self.held.failed(url, clock.now())
            }
            _ => self.held.ended(url),
        }
        fetched
    }
}

impl HttpFetch {
    fn download<'a>(&self, url: &'a AudioUrl, budget: &'a Budget<'a>) -> Download<'a> {
        Download {
            url,
            urls_shown: self.config.urls_shown,
            budget,
        }
    }

    /// Goes where the URL leads, hop by hop.
    fn follow(&self, mut url: AudioUrl, budget: &Budget<'_>) -> Result<Fetched, Failure> {
        let urls_shown = self.config.urls_shown;
        for _ in 0..=self.config.redirects_max {
            let download = self.download(&url, budget);
            download.check()?;
            if self.config.proxy.is_some() {
                let judged = self.resolve.guard.admit_unresolved(url.host(), url.port());
                judged.map_err(|denied| download.blocked(denied))?;
            }
            let (host, port, clock) = (url.host(), url.port(), budget.clock());
            if let Some(pause) = self.hosts.pause(host, port, clock.now()) {
                return Err(download.paused(pause));
            }
            let agent = self.agent(budget.remaining());
            let response = agent.get(url.expose().clone()).call().map_err(|error| {
                if matches!(error, ureq::Error::Timeout(_)) {
                    self.hosts.timed_out(host, port, clock.now());
                }
                download.broke(error)
            })?;
            let headers = response.headers();
            match answer::read(response.status().as_u16(), headers, budget.clock().wall()) {
                Answer::Refusal(status, fault) => {
                    self.hosts.answered(host, port);
                    return Err(download.refused(status, fault));
                }
                Answer::Redirect(location) => {
                    self.hosts.answered(host, port);
                    let next = redirect::target(&url, location).map_err(|error| download.led_astray(error))?;
                    log::debug!("{} redirects to {}", url.shown(urls_shown), next.shown(urls_shown));
                    url = next;
                }
                Answer::Body => {
                    let length = answer::length(headers);
                    if let Some(length) = length.filter(|length| *length > self.config.bytes_max) {
                        return Err(download.too_large(length, self.config.bytes_max));
                    }
                    let mut body = response.into_body().into_reader();
                    let received = self.receive(&mut body, length, &download);
                    // A host that stalls in its bodies holds a place as long as one that never answers.
                    match &received {
                        Err(failure) if failure.code == ErrorCode::DownloadTimeout => {
                            self.hosts.timed_out(host, port, clock.now());
                        }
                        _ => self.hosts.answered(host, port),
                    }
                    return received;
                }
            }
        }
        let download = self.download(&url, budget);
        Err(download.redirected_too_often(self.config.redirects_max))
    }

    fn receive(&self, body: &mut dyn Read, length: Option<u64>, download: &Download<'_>) -> Result<Fetched, Failure> {
        let mut chunk = vec![0; 64 * 1024];
        let mut pile = self.sink.pile(length).map_err(|error| download.not_kept(error))?;
        let (throughput_min, window) = (self.config.throughput_min, self.config.throughput_window);
        let clock = download.budget.clock();
        let mut pace = Pace::start(throughput_min, window, clock.now());
        loop {
            download.check()?;
            let count = match body.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(download.broke(error.into())),
            };
            if !pace.keeps_up(count, clock.now()) {
                return Err(download.too_slow(throughput_min, window));
            }
            let total = pile.len() + count as u64;
            if total > self.config.bytes_max {
                return Err(download.too_large(total, self.config.bytes_max));
            }
            pile.add(&chunk[..count]).map_err(|error| download.not_kept(error))?;
        }
        pile.finish().map_err(|error| download.not_kept(error))
    }
}
