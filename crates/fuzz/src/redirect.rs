//! Where a server's Location header leads: held to what is promised about following it.
//!
//! An input is the URL that was asked for, in its first line, and behind it the header's value.

use stt_audio::inspect::redirected;
use stt_core::AudioUrl;

/// Holds redirects to what is promised about them.
///
/// # Panics
/// When a promise is broken.
pub fn check(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (first, location) = input.split_at(end);
    let location = location.strip_prefix(b"\n").unwrap_or(location);
    let from = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
    let from: AudioUrl = from.unwrap_or_else(|| "https://h.example:8443/a/b.ogg?q=1".parse().expect("a URL"));
    let next = match redirected(&from, location) {
        Ok(next) => next,
        Err(why) => return assert!(why.len() <= 64, "{why}"),
    };
    let text = next.expose().to_string();
    assert!(next.is_https() || !from.is_https(), "from https to {text}");
    assert!(
        ["http", "https"].contains(&next.expose().scheme_str().unwrap_or_default()),
        "{text}"
    );
    let authority = next.expose().authority().map_or("", |authority| authority.as_str());
    assert!(!authority.contains('@') && !next.host().is_empty(), "{text}");
    assert_eq!(
        text.parse::<AudioUrl>().as_ref(),
        Ok(&next),
        "it is read again as another"
    );
    assert_eq!(
        redirected(&next, text.as_bytes()).as_ref(),
        Ok(&next),
        "it leads elsewhere the second time"
    );
    let trimmed = location.trim_ascii();
    if trimmed.starts_with(b"/") && !trimmed.starts_with(b"//") {
        let place = |url: &AudioUrl| (url.is_https(), url.host().to_owned(), url.port());
        assert_eq!(place(&next), place(&from), "a path leads to another host");
    }
}
