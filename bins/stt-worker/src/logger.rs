//! Log lines on standard error: time, level, message.

use std::io::Write as _;

/// Starts logging by a filter such as `info` or `info,stt_kafka=debug`.
pub(crate) fn start(filter: &str) {
    env_logger::Builder::new()
        .parse_filters(filter)
        .format(|line, record| {
            if shows_urls(record) {
                return Ok(());
            }
            let (time, level) = (line.timestamp_millis(), record.level());
            writeln!(line, "{time} {level:5} {}", one_line(&record.args().to_string()))
        })
        .init();
}

/// Whether it is ureq's trace, which has whole URLs with their secrets; no filter can turn that on.
fn shows_urls(record: &log::Record<'_>) -> bool {
    record.level() == log::Level::Trace && record.target().starts_with("ureq")
}

/// A message may quote what strangers sent; it must not look like several.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for char in message.trim_end().chars() {
        if stt_core::is_hidden(char) {
            line.extend(char.escape_default())
        } else {
            line.push(char)
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_filter_shows_the_query_of_a_url() {
        let record = |level, target| log::Record::builder().level(level).target(target).build();
        assert!(shows_urls(&record(log::Level::Trace, "ureq::run")));
        assert!(!shows_urls(&record(log::Level::Debug, "ureq::run")));
        assert!(!shows_urls(&record(log::Level::Trace, "stt_audio::fetch")));
    }

    #[test]
    fn a_message_cannot_make_up_further_lines_or_colours() {
        assert_eq!(
            one_line("no topic\n2026 INFO all is well\u{1b}[0m\n"),
            "no topic\\n2026 INFO all is well\\u{1b}[0m"
        );
        assert_eq!(
            one_line("\u{202e}gpj.exe\u{2028}2026 INFO"),
            "\\u{202e}gpj.exe\\u{2028}2026 INFO"
        );
        assert_eq!(
            one_line("फोटो पाठवा \u{915}\u{94d}\u{200d}\u{937}"),
            "फोटो पाठवा \u{915}\u{94d}\u{200d}\u{937}"
        );
    }
}
