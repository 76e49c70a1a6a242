//! The hub's protocol: what a repository holds, and the bytes of its files.

use std::io::Read;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};
use serde::Deserialize;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::limits::Limits;
use crate::{HubConfig, HubError, files};

/// Longest time to connect, and longest silence of a connected hub.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 5;
/// What is asked for first, in errors.
const LIST: &str = "its list of files";
/// Longest list of files, in bytes.
const LIST_MAX: u64 = 8 << 20;

/// A repository on the hub.
pub(crate) struct Remote<'a> {
    agent: Agent,
    config: &'a HubConfig,
    endpoint: Uri,
    repository: &'a str,
}

/// What the branch, tag or commit is.
pub(crate) struct Revision {
    pub(crate) commit: String,
    /// The model's files, the largest last.
    pub(crate) files: Vec<String>,
}

/// A file as the hub announces it.
pub(crate) struct Announced {
    /// Its name in the cache, and its hash.
    pub(crate) etag: String,
    pub(crate) hash: Hash,
    pub(crate) bytes: u64,
}

/// By what the hub names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// That of git's object, of small files.
    GitSha1,
    /// Of large files.
    Sha256,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl<'a> Remote<'a> {
    pub(crate) fn new(config: &'a HubConfig, repository: &'a str) -> Result<Self, HubError> {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("stt-worker/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity") // sizes and ranges are of the file itself
            .http_status_as_error(false)
            .max_redirects(0) // followed here, so that the token stays with the hub
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(SILENCE_MAX))
            .timeout_per_read(Some(SILENCE_MAX))
            .build();
        let endpoint = config.endpoint.trim_end_matches('/').parse::<Uri>();
        match endpoint {
            Ok(endpoint) if matches!(endpoint.scheme_str(), Some("http" | "https")) => Ok(Self {
                agent: agent.into(),
                config,
                endpoint,
                repository,
            }),
            _ => Err(HubError::Unreachable {
                endpoint: config.endpoint.clone(),
                repository: repository.to_owned(),
                source: "the endpoint is no http(s) URL".into(),
            }),
        }
    }

    /// Asks what the branch, tag or commit is.
    pub(crate) fn revision(&self, limits: &Limits<'_>) -> Result<Revision, HubError> {
        let url = self.url(&format!(
            "/api/models/{}/revision/{}",
            self.repository,
            self.config.revision()
        ));
        let mut response = self.call(&Method::GET, url, None, LIST, limits)?;
        let body = response.body_mut().with_config().limit(LIST_MAX).read_to_vec();
        let body = body.map_err(|error| self.unreachable(error))?;
        let info: Info = serde_json::from_slice(&body).map_err(|error| self.protocol(LIST, error.to_string()))?;
        if !is_token(&info.sha) {
            return Err(self.protocol(LIST, "the commit is no commit".to_owned()));
        }
        if let Some(pinned) = self.config.pinned_commit().filter(|pinned| **pinned != info.sha) {
            return Err(self.protocol(LIST, format!("it gives commit {} for {pinned}", info.sha)));
        }
        let names = info.siblings.into_iter().map(|sibling| sibling.rfilename);
        let mut files: Vec<_> = names.filter(|name| files::is_wanted(name)).collect();
        files.sort_by_key(|name| name == files::WEIGHTS);
        match files::missing(files.iter().map(String::as_str)) {
            missing if missing.is_empty() => Ok(Revision {
                commit: info.sha,
                files,
            }),
            missing => Err(HubError::NotWhisper {
                repository: self.repository.to_owned(),
                missing,
            }),
        }
    }

    /// Asks what a file is, without its bytes.
    pub(crate) fn announced(&self, commit: &str, file: &str, limits: &Limits<'_>) -> Result<Announced, HubError> {
        let response = self.call(&Method::HEAD, self.file_url(commit, file), None, file, limits)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        // Large files lie elsewhere: the hub's own answer is a redirect that tells of them in the x-linked headers.
        let etag = header("x-linked-etag").or_else(|| header("etag")).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        let is_hex = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = match etag.len() {
            40 if is_hex => Hash::GitSha1,
            64 if is_hex => Hash::Sha256,
            _ => return Err(self.protocol(file, "its etag is neither a SHA-1 nor a SHA-256".to_owned())),
        };
        let own_length = || header("content-length").filter(|_| response.status().is_success());
        let bytes = header("x-linked-size").or_else(own_length);
        let bytes = bytes.and_then(|text| text.parse().ok());
        Ok(Announced {
            etag,
            hash,
            bytes: bytes.ok_or_else(|| self.protocol(file, "no size".to_owned()))?,
        })
    }

    /// The bytes of a file from `start` on, or from 0 where the server takes no ranges; and where they start.
    pub(crate) fn open(
        &self,
        commit: &str,
        file: &str,
        start: u64,
        limits: &Limits<'_>,
    ) -> Result<(u64, impl Read + use<>), HubError> {
        let response = self.call(&Method::GET, self.file_url(commit, file), Some(start), file, limits)?;
        let start = if response.status() == StatusCode::PARTIAL_CONTENT {
            start
        } else {
            0
        };
        Ok((start, response.into_body().into_reader()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.endpoint.trim_end_matches('/'))
    }

    fn file_url(&self, commit: &str, file: &str) -> String {
        self.url(&format!("/{}/resolve/{commit}/{file}", self.repository))
    }

    /// Follows redirects; a HEAD stops at one that leaves the hub.
    fn call(
        &self,
        method: &Method,
        mut url: String,
        start: Option<u64>,
        what: &str,
        limits: &Limits<'_>,
    ) -> Result<http::Response<Body>, HubError> {
        for _ in 0..=REDIRECTS_MAX {
            let uri: Uri = url
                .parse()
                .map_err(|_| self.protocol(what, "it leads to what is no URL".to_owned()))?;
            let at_hub = uri.scheme() == self.endpoint.scheme() && uri.authority() == self.endpoint.authority();
            let mut request = http::Request::builder().method(method).uri(&uri);
            if let Some(start) = start.filter(|start| *start > 0) {
                request = request.header("range", format!("bytes={start}-"));
            }
            if let Some(token) = self.config.token.as_deref().filter(|_| at_hub) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let request = request.body(()).map_err(|error| self.unreachable(error))?;
            let left = limits.left(Instant::now())?;
            let request = self.agent.configure_request(request).timeout_global(Some(left)).build();
            let response = self.agent.run(request).map_err(|error| self.unreachable(error))?;
            if !response.status().is_redirection() {
                return self.judged(response, what);
            }
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            url = match location {
                Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                    let (scheme, authority) = (uri.scheme_str(), uri.authority());
                    let authority = authority.map_or("", |authority| authority.as_str());
                    format!("{}://{authority}{path}", scheme.unwrap_or("https"))
                }
                Some(absolute) if absolute.starts_with("https://") => absolute.to_owned(),
                Some(absolute) if absolute.starts_with("http://") && uri.scheme_str() == Some("http") => {
                    absolute.to_owned()
                }
                _ => return Err(self.protocol(what, "a redirect to nowhere, or out of https".to_owned())),
            };
            if method == Method::HEAD && response.headers().contains_key("x-linked-etag") {
                return Ok(response);
            }
        }
        Err(self.protocol(what, format!("more than {REDIRECTS_MAX} redirects")))
    }

    fn judged(&self, response: http::Response<Body>, what: &str) -> Result<http::Response<Body>, HubError> {
        let (endpoint, repository) = (self.config.endpoint.clone(), self.repository.to_owned());
        Err(match response.status().as_u16() {
            200 | 206 => return Ok(response),
            404 if what == LIST => HubError::NotFound { endpoint, repository },
            status @ (401 | 403) => HubError::Refused {
                endpoint,
                repository,
                status,
                token: self.config.token.is_some(),
            },
            status => HubError::Status {
                endpoint,
                repository,
                what: what.to_owned(),
                status,
            },
        })
    }

    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HubError {
        HubError::Unreachable {
            endpoint: self.config.endpoint.clone(),
            repository: self.repository.to_owned(),
            source: source.into(),
        }
    }

    fn protocol(&self, what: &str, reason: String) -> HubError {
        HubError::Protocol {
            endpoint: self.config.endpoint.clone(),
            repository: self.repository.to_owned(),
            what: what.to_owned(),
            reason,
        }
    }
}

/// Commits become names of files.
fn is_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(plain)
}
