//! What anyone sends to a port of ours: the head of a request, held to what is promised about reading it.

use stt_serve::Request;

/// As in `stt_serve::Limits::default`.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Holds the reading of a request to what is promised about it.
///
/// # Panics
/// When a promise is broken.
pub fn check(input: &[u8]) {
    let whole = Request::parse(input, HEAD_BYTES_MAX);
    if let Ok(Some(request)) = &whole {
        shows_nothing_else(request);
        is_read_again(request);
    }
    // However it is cut, and it comes byte by byte: what is refused stays refused, what is read stays read.
    let mut before = Ok(None);
    let (longest, step) = (input.len().min(HEAD_BYTES_MAX + 1), (input.len() / 128).max(1));
    for end in (0..longest).step_by(step).chain([longest]) {
        let now = Request::parse(&input[..end], HEAD_BYTES_MAX);
        match (&before, &now) {
            (Ok(None), _) => {}
            (before, now) => assert_eq!(now, before, "{end} bytes of {:?}", String::from_utf8_lossy(input)),
        }
        before = now;
    }
    if input.len() >= HEAD_BYTES_MAX {
        assert!(!matches!(before, Ok(None)), "it grows beyond its limit");
    }
}

fn shows_nothing_else(request: &Request) {
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
    assert!(is_token(request.method()), "{request:?}");
    let (target, path) = (request.target(), request.path());
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{request:?}");
    assert!(target.starts_with('/') || target == "*", "{request:?}");
    assert!(target.starts_with(path) && !path.contains('?'), "{request:?}");
}

/// A request that is written again is the same, whatever stood around it.
fn is_read_again(request: &Request) {
    let written = format!("{} {} HTTP/1.1\r\nHost: h\r\n\r\n", request.method(), request.target());
    let again = Request::parse(written.as_bytes(), usize::MAX);
    assert_eq!(again.as_ref(), Ok(&Some(request.clone())), "{written:?}");
}
