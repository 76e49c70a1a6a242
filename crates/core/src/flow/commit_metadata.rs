//! The metadata of an offset commit.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::ranges::Ranges;

/// What a commit remembers besides its offset, in the text that Kafka stores with it.
///
/// Written as `s1;2-4,7;0x1,5x2`: a version; the offsets that are done above the committed one; those that were started and
/// are not done, each with how many processes have started it. Offsets count from the committed one. The idea of keeping
/// completed offsets in commit metadata is that of Confluent's parallel-consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CommitMetadata {
    /// Offsets above the committed one whose jobs are done.
    pub(super) done: Ranges,
    /// Offsets that were started and are not done, each with how often.
    pub(super) started: BTreeMap<i64, u32>,
}

const VERSION: &str = "s1";

/// Longest text. Brokers accept 4,096 bytes by default (`offset.metadata.max.bytes`).
const BYTES_MAX: usize = 3_500;

/// Longest part of it for what was started.
const STARTED_BYTES_MAX: usize = BYTES_MAX / 2;

impl CommitMetadata {
    /// The text beside the offset `base`; none when there is nothing to say. What does not fit is left out, the highest
    /// offsets first: their jobs are done again after a crash. Intake pauses before that, see [`CommitMetadata::fill`].
    pub(super) fn to_text(&self, base: i64) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let started = joined(self.started_items(base), STARTED_BYTES_MAX);
        let done = joined(self.done_items(base), BYTES_MAX - started.len() - VERSION.len() - 2);
        format!("{VERSION};{done};{started}")
    }

    /// How much of the space is used, from 0 to 1; above 1 something would be left out.
    pub(super) fn fill(&self, base: i64) -> f64 {
        let bytes = |items: &mut dyn Iterator<Item = String>| {
            let with_commas: usize = items.map(|item| item.len() + 1).sum();
            with_commas.saturating_sub(1) as f64
        };
        let started = bytes(&mut self.started_items(base));
        let done = bytes(&mut self.done_items(base));
        (started / STARTED_BYTES_MAX as f64).max((started + done + (VERSION.len() + 2) as f64) / BYTES_MAX as f64)
    }

    fn started_items(&self, base: i64) -> impl Iterator<Item = String> {
        let started = self.started.iter();
        started.map(move |(offset, count)| format!("{}x{count}", offset - base))
    }

    fn done_items(&self, base: i64) -> impl Iterator<Item = String> {
        self.done
            .iter()
            .map(move |(first, last)| match (first - base, last - base) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            })
    }

    /// Reads the text beside the offset `base`. What another program wrote there says nothing.
    pub(super) fn parse(text: &str, base: i64) -> Self {
        Self::try_parse(text, base).unwrap_or_default()
    }

    fn try_parse(text: &str, base: i64) -> Option<Self> {
        let mut parts = text.split(';');
        let (version, done, started) = (parts.next()?, parts.next()?, parts.next()?);
        if version != VERSION || parts.next().is_some() {
            return None;
        }
        let offset = |text: &str| base.checked_add(text.parse::<u32>().ok()?.into());
        let mut metadata = Self::default();
        for range in items(done) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (offset(first)?, offset(last)?);
            metadata.done.insert_range(first, last.max(first));
        }
        for mark in items(started) {
            let (place, count) = mark.split_once('x')?;
            metadata.started.insert(offset(place)?, count.parse().ok()?);
        }
        Some(metadata)
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|item| !item.is_empty())
}

fn joined(items: impl Iterator<Item = String>, bytes_max: usize) -> String {
    let mut text = String::new();
    for item in items {
        if text.len() + item.len() + 1 > bytes_max {
            break;
        }
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{item}"); // writing to a String cannot fail
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(done: &[(i64, i64)], started: &[(i64, u32)]) -> CommitMetadata {
        let mut note = CommitMetadata::default();
        done.iter()
            .for_each(|(first, last)| note.done.insert_range(*first, *last));
        note.started.extend(started.iter().copied());
        note
    }

    #[test]
    fn metadata_round_trips() {
        let note = note(&[(1002, 1004), (1007, 1007)], &[(1000, 1), (1005, 2)]);
        let text = note.to_text(1000);
        assert_eq!(text, "s1;2-4,7;0x1,5x2");
        assert_eq!(CommitMetadata::parse(&text, 1000), note);
        assert_eq!(CommitMetadata::default().to_text(1000), "");
    }

    #[test]
    fn foreign_metadata_is_ignored() {
        for text in [
            "",
            "null",
            "s2;1;",
            "s1",
            "s1;1",
            "s1;1;;",
            "s1;-4;",
            "s1;a;",
            "s1;1;0",
            "s1;1;0x",
            "s1;1;0x-1",
            "s1;99999999999;",
            "s1;\u{939};",
        ] {
            assert_eq!(CommitMetadata::parse(text, 5), CommitMetadata::default(), "{text:?}");
        }
        assert_eq!(CommitMetadata::parse("s1;1;", i64::MAX), CommitMetadata::default());
    }

    #[test]
    fn overlong_metadata_leaves_the_highest_offsets_out() {
        let every_other: Vec<_> = (0..5_000).map(|n| (2 * n + 1, 2 * n + 1)).collect();
        let started: Vec<_> = (0..2_000).map(|n| (2 * n, 1)).collect();
        let text = note(&every_other, &started).to_text(0);
        assert!(text.len() <= BYTES_MAX && text.is_ascii(), "{} bytes", text.len());
        let read = CommitMetadata::parse(&text, 0);
        assert!(note(&every_other, &started).fill(0) > 1.0 && read.fill(0) <= 1.0);
        assert!(read.done.iter().count() > 300 && read.started.len() > 200);
        assert!(
            read.done.contains(1) && read.started.contains_key(&0),
            "the lowest are kept"
        );
    }
}
