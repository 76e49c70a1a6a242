//! The URL of a voice note, which may carry secrets.

use http::Uri;

/// An http or https URL without credentials. `Display` and `Debug` leave out the query, where signed URLs keep their
/// secrets; [`AudioUrl::expose`] gives the whole.
#[derive(Clone, PartialEq, Eq)]
pub struct AudioUrl(Uri);

/// Why a text is no [`AudioUrl`]. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not a URL at all, or longer than 8,192 bytes.
    #[error("not a URL of at most {} bytes", AudioUrl::BYTES_MAX)]
    Syntax,
    /// Some other scheme.
    #[error("only http and https URLs are taken")]
    Scheme,
    /// `user:password@host`.
    #[error("a URL must not carry credentials")]
    Credentials,
    /// No host.
    #[error("the URL names no host")]
    NoHost,
}

impl AudioUrl {
    /// Longest URL taken, in bytes.
    pub const BYTES_MAX: usize = 8192;

    /// The whole URL, secrets included: to dial, never to log.
    #[must_use]
    pub fn expose(&self) -> &Uri {
        &self.0
    }

    /// The host as written.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host().expect("checked when parsed")
    }

    /// The port, written or implied by the scheme.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether the scheme is https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == Some(&http::uri::Scheme::HTTPS)
    }
}

impl std::str::FromStr for AudioUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if text.len() > Self::BYTES_MAX {
            return Err(BadUrl::Syntax);
        }
        // A fragment is the reader's, never the server's; Uri drops it.
        let uri: Uri = text.parse().map_err(|_| match text.split_once("://") {
            Some((scheme, _)) if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) => BadUrl::Scheme,
            _ => BadUrl::Syntax,
        })?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(BadUrl::Scheme),
        }
        let authority = uri.authority().ok_or(BadUrl::NoHost)?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::Credentials);
        }
        if authority.host().is_empty() {
            return Err(BadUrl::NoHost);
        }
        if authority.port().is_none() && authority.as_str().len() > authority.host().len() {
            return Err(BadUrl::Syntax); // "host:" or a port over 65535
        }
        Ok(Self(uri))
    }
}

impl std::fmt::Display for AudioUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.0.path())
    }
}

impl std::fmt::Debug for AudioUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AudioUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_it_must_not_dial() {
        for (text, why) in [
            ("", BadUrl::Syntax),
            ("note.ogg", BadUrl::Scheme),
            ("/etc/passwd", BadUrl::Scheme),
            ("file:///etc/passwd", BadUrl::Scheme),
            ("ftp://host/a", BadUrl::Scheme),
            ("gopher://host/a", BadUrl::Scheme),
            ("https://user:secret@host/a", BadUrl::Credentials),
            ("https://host:99999/a", BadUrl::Syntax),
            ("https:///a", BadUrl::Syntax),
            ("https://ho st/a", BadUrl::Syntax),
        ] {
            assert_eq!(text.parse::<AudioUrl>().unwrap_err(), why, "{text}");
        }
        assert_eq!(
            format!("https://h/{}", "a".repeat(9000))
                .parse::<AudioUrl>()
                .unwrap_err(),
            BadUrl::Syntax
        );
    }

    #[test]
    fn shows_itself_without_secrets() {
        let url: AudioUrl = "https://Media.example:8443/a/b.ogg?X-Signature=secret#t=3"
            .parse()
            .unwrap();
        assert_eq!((url.host(), url.port(), url.is_https()), ("Media.example", 8443, true));
        assert_eq!(url.to_string(), "https://Media.example:8443/a/b.ogg");
        assert!(!format!("{url:?}").contains("secret"));
        assert!(url.expose().to_string().contains("X-Signature=secret"));
    }
}
