//! Where a redirect leads.

use stt_core::AudioUrl;

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Astray {
    /// From https to http.
    #[error("a redirect leads from https to http")]
    Downgrade,
    /// To another protocol.
    #[error("a redirect leads to a URL of another scheme")]
    Scheme,
    /// To no URL that is taken.
    #[error("a redirect leads nowhere")]
    Url,
}

/// The URL that the Location header of `from` names (RFC 3986, section 5.2).
pub(super) fn target(from: &AudioUrl, location: &[u8]) -> Result<AudioUrl, Astray> {
    let location = escaped(location);
    let reference = location.split('#').next().unwrap_or_default();
    let from_uri = from.expose();
    let scheme = if from.is_https() { "https" } else { "http" };
    let authority = from_uri.authority().map_or("", |authority| authority.as_str());
    let text = if has_scheme(reference) {
        let known = ["http://", "https://"].iter().any(|prefix| {
            let start = reference.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        });
        if !known {
            return Err(Astray::Scheme);
        }
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{authority}{}", without_dots(reference))
    } else if reference.is_empty() {
        from_uri.to_string()
    } else if reference.starts_with('?') {
        format!("{scheme}://{authority}{}{reference}", from_uri.path())
    } else {
        let directory = from_uri.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        format!(
            "{scheme}://{authority}{}",
            without_dots(&format!("{directory}/{reference}"))
        )
    };
    let next: AudioUrl = text.parse().map_err(|_| Astray::Url)?;
    if from.is_https() && !next.is_https() {
        return Err(Astray::Downgrade);
    }
    Ok(next)
}

fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?']);
    let starts_as_one = reference.starts_with(|first: char| first.is_ascii_alphabetic());
    starts_as_one && end.is_some_and(|end| reference[end..].starts_with(':'))
}

/// An absolute path with its `.` and `..` carried out; what follows a `?` stays as it is.
fn without_dots(reference: &str) -> String {
    let end = reference.find('?').unwrap_or(reference.len());
    let (path, query) = reference.split_at(end);
    let mut kept = vec![];
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}{query}", kept.join("/"))
}

/// Some servers send spaces and UTF-8 as they are.
fn escaped(location: &[u8]) -> String {
    let mut text = String::with_capacity(location.len());
    for byte in location.trim_ascii() {
        match byte {
            b'!'..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(location: &str) -> Result<String, Astray> {
        let from = "https://h.example:8443/a/b.ogg?q=1".parse().unwrap();
        target(&from, location.as_bytes()).map(|url| url.expose().to_string())
    }

    #[test]
    fn a_redirect_never_leaves_https_nor_http() {
        for (location, why) in [
            ("http://h.example/", Astray::Downgrade),
            ("HTTP://h.example/", Astray::Downgrade),
            ("file:///etc/passwd", Astray::Scheme),
            ("ftp://h.example/", Astray::Scheme),
            ("gopher:x", Astray::Scheme),
            ("data:audio/wav;base64,AAAA", Astray::Scheme),
            ("https:x", Astray::Scheme),
            ("c:d", Astray::Scheme),
            ("https://user:secret@h.example/", Astray::Url),
            ("https://", Astray::Url),
            ("//", Astray::Url),
        ] {
            assert_eq!(lead(location), Err(why), "{location}");
        }
    }

    #[test]
    fn every_form_of_location_is_understood() {
        for (location, url) in [
            ("https://other.example/c?x=y", "https://other.example/c?x=y"),
            ("HTTPS://other.example/c", "https://other.example/c"),
            ("//other.example/c", "https://other.example/c"),
            ("/c?x=y#part", "https://h.example:8443/c?x=y"),
            ("c", "https://h.example:8443/a/c"),
            ("../c?x=/../y", "https://h.example:8443/c?x=/../y"),
            ("../../../c/./d/..", "https://h.example:8443/c/"),
            ("/c/../d", "https://h.example:8443/d"),
            ("./", "https://h.example:8443/a/"),
            ("?x=y", "https://h.example:8443/a/b.ogg?x=y"),
            ("", "https://h.example:8443/a/b.ogg?q=1"),
            (
                " /voice note/हि ",
                "https://h.example:8443/voice%20note/%E0%A4%B9%E0%A4%BF",
            ),
        ] {
            assert_eq!(lead(location).as_deref(), Ok(url), "{location}");
        }
    }
}
