//! Hosts that are not asked for a while, as `/readyz` shows them.

use serde_json::{Value, json};
use stt_audio::PausedHost;
use stt_core::UrlParts;

/// Most hosts that are named.
const NAMED_MAX: usize = 20;

/// How many there are, and those with the longest pauses; by name only where URLs may show their host.
pub(crate) fn summary(paused: &[PausedHost], shown: UrlParts) -> Value {
    let longest = paused.iter().take(NAMED_MAX).map(|paused| {
        let mut row = json!({ "timeouts": paused.timeouts, "left": paused.left.as_secs_f64() });
        if shown != UrlParts::None {
            row["host"] = paused.host.as_str().into();
        }
        row
    });
    json!({ "paused": paused.len(), "longest": longest.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn hosts_are_named_only_where_urls_show_them() {
        let paused: Vec<_> = (0..30)
            .map(|number| PausedHost {
                host: format!("{number}.example:443"),
                timeouts: 5,
                left: Duration::from_secs(40 - number),
            })
            .collect();
        let named = summary(&paused, UrlParts::Host);
        assert_eq!(
            (&named["paused"], named["longest"].as_array().unwrap().len()),
            (&json!(30), NAMED_MAX)
        );
        assert_eq!(
            named["longest"][0],
            json!({ "host": "0.example:443", "timeouts": 5, "left": 40.0 })
        );
        let counted = summary(&paused, UrlParts::None).to_string();
        assert!(!counted.contains("example"), "{counted}");
    }
}
