//! The URL of a voice note, which may carry secrets.

use std::borrow::Cow;

use http::Uri;

/// An http or https URL without credentials. `Display` and `Debug` show scheme, host and port only: links keep secrets in their
/// query (S3, GCS) and in their path (Telegram's bot tokens, share links). [`AudioUrl::shown`] shows more or less,
/// [`AudioUrl::expose`] the whole.
#[derive(Clone, PartialEq, Eq)]
pub struct AudioUrl(Uri);

/// How much of a URL people see: in logs, and in the messages of failures, which go into results and dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlParts {
    /// Scheme, host and port.
    #[default]
    Host,
    /// The path as well. Never the query.
    Path,
    /// Nothing.
    None,
}

/// A text is none of `host`, `path` and `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither host, nor path, nor none")]
pub struct BadUrlParts;

impl std::str::FromStr for UrlParts {
    type Err = BadUrlParts;

    fn from_str(text: &str) -> Result<Self, BadUrlParts> {
        match text {
            "host" => Ok(Self::Host),
            "path" => Ok(Self::Path),
            "none" => Ok(Self::None),
            _ => Err(BadUrlParts),
        }
    }
}

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
    /// Longest URL taken, in bytes, as it is sent.
    pub const BYTES_MAX: usize = 8192;

    /// The whole URL, secrets included: to dial, never to log.
    #[must_use]
    pub fn expose(&self) -> &Uri {
        &self.0
    }

    /// These parts of it, for people.
    pub fn shown(&self, parts: UrlParts) -> impl std::fmt::Display {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        match parts {
            UrlParts::Host => format!("{scheme}://{authority}"),
            UrlParts::Path => format!("{scheme}://{authority}{}", self.0.path()),
            UrlParts::None => "a URL".to_owned(),
        }
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
        let text = escaped(text);
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
        self.shown(UrlParts::default()).fmt(f)
    }
}

/// `text` with spaces and non-ASCII of the path and the query as `%XX`, as browsers and Python's requests send them: `Uri`
/// refuses the one and would send the other as it is.
fn escaped(text: &str) -> Cow<'_, str> {
    let start = text.find("://").map(|scheme| scheme + 3);
    let path = start.and_then(|start| text[start..].find(['/', '?', '#']).map(|end| start + end));
    let sent = |byte: u8| byte != b' ' && byte < 0x7F;
    match path {
        Some(path) if !text.bytes().all(sent) => {
            let (start, path) = text.split_at(path);
            let mut text = start.to_owned();
            for byte in path.bytes() {
                if sent(byte) {
                    text.push(char::from(byte));
                } else {
                    text.push_str(&format!("%{byte:02X}"));
                }
            }
            Cow::Owned(text)
        }
        _ => Cow::Borrowed(text),
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
            ("https://host/a\r\nHost: other", BadUrl::Syntax),
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
    fn spaces_and_words_of_any_language_are_sent_escaped_however_often_they_are_read() {
        for (text, sent) in [
            (
                "https://h/voice note/\u{939}\u{93f}.ogg?name=\u{e9} 1#\u{939}",
                "https://h/voice%20note/%E0%A4%B9%E0%A4%BF.ogg?name=%C3%A9%201",
            ),
            ("https://h?a b\u{7f}", "https://h/?a%20b%7F"),
            ("https://h/100%25%20%e0/{a}", "https://h/100%25%20%e0/{a}"),
        ] {
            let url: AudioUrl = text.parse().unwrap();
            assert_eq!(url.expose().to_string(), sent);
            assert_eq!(sent.parse(), Ok(url));
        }
        let long = format!("https://h/{}", "\u{939}".repeat(1000));
        assert_eq!(
            long.parse::<AudioUrl>(),
            Err(BadUrl::Syntax),
            "9,010 bytes as it is sent"
        );
    }

    #[test]
    fn shows_itself_without_secrets() {
        let url: AudioUrl = "https://Media.example:8443/bot1:s3cret/\u{202e}b.ogg?X-Signature=s3cret#t=s3cret"
            .parse()
            .unwrap();
        assert_eq!((url.host(), url.port(), url.is_https()), ("Media.example", 8443, true));
        assert_eq!(url.to_string(), "https://Media.example:8443");
        assert_eq!(format!("{url:?}"), "AudioUrl(https://Media.example:8443)");
        for (parts, shown) in [
            ("host", "https://Media.example:8443"),
            ("path", "https://Media.example:8443/bot1:s3cret/%E2%80%AEb.ogg"),
            ("none", "a URL"),
        ] {
            assert_eq!(url.shown(parts.parse().unwrap()).to_string(), shown);
        }
        assert!(url.expose().to_string().contains("X-Signature=s3cret"));
    }
}
