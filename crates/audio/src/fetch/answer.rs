//! What a server's answer asks for.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, LOCATION, RETRY_AFTER};
use stt_core::Fault;

/// What to do with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// Take its body.
    Body,
    /// Go there instead.
    Redirect(&'a [u8]),
    /// Give up, for now or for good.
    Refusal(u16, Fault),
}

/// Reads a status and its headers; `now` is what a date in Retry-After is relative to.
pub(super) fn read(status: u16, headers: &HeaderMap, now: SystemTime) -> Answer<'_> {
    match (status, headers.get(LOCATION)) {
        // Part of the audio, when none was asked for, would be heard as the whole.
        (206, _) => Answer::Refusal(status, Fault::Permanent),
        (200..=299, _) => Answer::Body,
        (301 | 302 | 303 | 307 | 308, Some(location)) => Answer::Redirect(location.as_bytes()),
        (408 | 425 | 429 | 500..=599, _) => {
            let after = retry_after(headers, now);
            Answer::Refusal(status, Fault::Transient { after })
        }
        _ => Answer::Refusal(status, Fault::Permanent),
    }
}

/// The length that the server claims, in bytes.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, header: Option<(&'static str, &'static str)>, answer: Answer<'_>) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let pairs = header.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = pairs.into_iter().collect();
        assert_eq!(read(status, &headers, now), answer, "{status} {header:?}");
    }

    fn after(seconds: u64) -> Fault {
        let after = Some(Duration::from_secs(seconds));
        Fault::Transient { after }
    }

    #[test]
    fn what_may_pass_is_transient_and_the_rest_is_permanent() {
        let later = Fault::Transient { after: None };
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            check(status, None, Answer::Refusal(status, later));
        }
        for status in [206, 300, 302, 304, 305, 400, 401, 403, 404, 410, 416, 451, 600, 999] {
            check(status, None, Answer::Refusal(status, Fault::Permanent));
        }
    }

    #[test]
    fn a_server_may_say_when_to_come_back() {
        let asks = |value| Some(("retry-after", value));
        check(503, asks("7"), Answer::Refusal(503, after(7)));
        check(429, asks(" 0 "), Answer::Refusal(429, after(0)));
        check(
            503,
            asks("Sun, 06 Nov 1994 08:50:37 GMT"),
            Answer::Refusal(503, after(60)),
        );
        let unheard = Fault::Transient { after: None };
        for value in ["Sun, 06 Nov 1994 08:49:00 GMT", "soon", "-1", "99999999999999999999"] {
            check(503, asks(value), Answer::Refusal(503, unheard));
        }
        check(404, asks("7"), Answer::Refusal(404, Fault::Permanent));
    }

    #[test]
    fn only_redirects_that_name_a_place_are_followed() {
        for status in [301, 302, 303, 307, 308] {
            check(status, Some(("location", "/b")), Answer::Redirect(b"/b"));
        }
        check(304, Some(("location", "/b")), Answer::Refusal(304, Fault::Permanent));
        check(200, Some(("location", "/b")), Answer::Body);
        check(204, None, Answer::Body);
    }
}
