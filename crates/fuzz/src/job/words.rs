//! Texts with a form of their own: moments and languages.

use stt_schema::{Language, Timestamp};

pub(super) fn check(payload: &[u8]) {
    let Ok(text) = std::str::from_utf8(payload) else { return };
    match text.parse::<Timestamp>() {
        Ok(moment) => {
            let shown = moment.to_string();
            assert_eq!(shown.len(), "2026-01-02T03:04:05.678Z".len(), "{text:?} is {shown}");
            let again: Timestamp = shown.parse().expect("a moment that is written can be read");
            assert_eq!(again.unix_ms(), moment.unix_ms(), "{text:?} is {shown}");
            assert_eq!(again.to_string(), shown);
        }
        Err(error) => assert!(error.to_string().len() < 1024),
    }
    match text.parse::<Language>() {
        Ok(language) => {
            assert_eq!(language.code().parse::<Language>().ok(), Some(language));
            assert!(Language::all().any(|known| known == language));
        }
        Err(error) => assert!(error.to_string().len() < 1024),
    }
}
