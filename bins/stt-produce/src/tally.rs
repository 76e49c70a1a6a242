//! How many of what a replay met.

use std::collections::BTreeMap;

use stt_schema::ErrorCode;

/// Counts of dead letters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Everything that was in the topic.
    pub(crate) read: u64,
    /// What was no dead letter, or had no payload to send.
    pub(crate) unreadable: u64,
    /// What the options left out.
    pub(crate) skipped: u64,
    /// What was to be replayed.
    pub(crate) matched: u64,
    /// What was replayed, or would have been, by error code.
    replayed: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn add_replayed(&mut self, code: ErrorCode) {
        *self.replayed.entry(code.as_str()).or_default() += 1;
    }

    pub(crate) fn replayed(&self) -> u64 {
        self.replayed.values().sum()
    }

    /// The counts for people.
    pub(crate) fn summary(&self, dry_run: bool) -> String {
        let did = if dry_run { "would replay" } else { "replayed" };
        let codes: Vec<_> = self
            .replayed
            .iter()
            .map(|(code, count)| format!("{code} {count}"))
            .collect();
        let codes = match codes.as_slice() {
            [] => String::new(),
            codes => format!(" ({})", codes.join(", ")),
        };
        format!(
            "dead letters read {}, matched {}, {did} {}{codes}, skipped {}, unreadable {}",
            self.read,
            self.matched,
            self.replayed(),
            self.skipped,
            self.unreadable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_as_nothing_and_codes_are_told_apart() {
        let mut tally = Tally::default();
        assert_eq!(
            tally.summary(false),
            "dead letters read 0, matched 0, replayed 0, skipped 0, unreadable 0"
        );
        tally.read = 7;
        tally.matched = 4;
        tally.skipped = 2;
        tally.unreadable = 1;
        for code in [
            ErrorCode::DownloadFailed,
            ErrorCode::AudioEmpty,
            ErrorCode::DownloadFailed,
        ] {
            tally.add_replayed(code);
        }
        assert_eq!(
            tally.summary(true),
            "dead letters read 7, matched 4, would replay 3 (AUDIO_EMPTY 1, DOWNLOAD_FAILED 2), skipped 2, unreadable 1"
        );
    }
}
