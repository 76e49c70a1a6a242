//! The operator's way out.

use std::net::Ipv6Addr;

use http::Uri;
use ureq::Proxy;

/// An HTTP proxy that every download goes through, by CONNECT, plain http ones too. It looks hosts up, so that their
/// addresses cannot be judged here, only their names and addresses that URLs write out.
///
/// `Display` and `Debug` leave its user and password out.
///
/// ```
/// use stt_audio::EgressProxy;
///
/// let proxy: EgressProxy = "http://me:hunter2@proxy.internal:3128".parse()?;
/// assert_eq!(proxy.to_string(), "http://proxy.internal:3128");
/// # Ok::<(), stt_audio::BadProxy>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct EgressProxy(Proxy);

/// Why a text is no [`EgressProxy`]. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a URL like http://proxy.example:3128 or http://user:password@proxy.example:3128")]
pub struct BadProxy;

impl EgressProxy {
    pub(super) fn proxy(&self) -> Proxy {
        self.0.clone()
    }
}

/// Whether the client, with that proxy or none, asks for the proxy's own address: with one it asks for no other.
pub(super) fn is_proxy(proxy: Option<&Proxy>, uri: &Uri) -> bool {
    proxy.is_some_and(|proxy| proxy.uri() == uri)
}

impl std::str::FromStr for EgressProxy {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        let uri: Uri = text.trim().parse().map_err(|_| BadProxy)?;
        let authority = uri.authority().ok_or(BadProxy)?;
        let host = authority.host();
        let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
        let has_bad_port = authority.port().is_none() && host_and_port.len() > host.len();
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_v6 = inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
        let has_bad_host = host.is_empty() || (host.contains(['[', ']']) && !is_v6);
        let is_bare = ["", "/"].contains(&uri.path()) && uri.query().is_none();
        if uri.scheme_str() != Some("http") || has_bad_host || has_bad_port || !is_bare {
            return Err(BadProxy);
        }
        Proxy::new(text.trim()).map(Self).map_err(|_| BadProxy)
    }
}

impl std::fmt::Display for EgressProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}", self.0.host(), self.0.port())
    }
}

impl std::fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EgressProxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_proxies_are_taken_and_no_message_quotes_a_password() {
        for text in [
            "",
            "proxy:3128",
            "me:hunter2@proxy:3128",
            "https://me:hunter2@proxy:3128",
            "socks5://me:hunter2@proxy:1080",
            "http://me:hunter2@proxy:99999",
            "http://me:hunter2@proxy/path",
            "http://me:hunter2@proxy?a=b",
            "http://me:hunter2@",
            "http://[::1@hunter2]/",
            "http://hunter2]:3128",
            "http://[hunter2]:3128",
        ] {
            let refused = text.parse::<EgressProxy>().unwrap_err();
            assert!(!refused.to_string().contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_proxy_shows_itself_without_credentials() {
        for (text, shown) in [
            ("http://me:hunter2@proxy.internal:3128/", "http://proxy.internal:3128"),
            (" http://proxy ", "http://proxy:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            let proxy: EgressProxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(format!("{proxy:?}"), format!("EgressProxy({shown})"));
        }
    }
}
