//! What is written beside a committed offset.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::ranges::Ranges;

/// What a commit remembers besides its offset, in the text that Kafka keeps with it.
///
/// Written as `s1;2-4,7;0x1,5x2`: a version; what is done above the committed offset; what was begun and not ended, and
/// how often. Offsets count from the committed one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Offsets above the committed one whose jobs are done.
    pub(super) done: Ranges,
    /// Offsets that were begun and not ended, each with how often.
    pub(super) begun: BTreeMap<i64, u32>,
}

const VERSION: &str = "s1";

/// Longest note. A broker takes 4,096 bytes unless told otherwise (`offset.metadata.max.bytes`).
const BYTES_MAX: usize = 3_500;

impl Note {
    /// The text beside the offset `base`; none when there is nothing to say. What does not fit is left out, the highest
    /// offsets first: their jobs are done again after a crash.
    pub(super) fn write(&self, base: i64) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let begun = self
            .begun
            .iter()
            .map(|(offset, count)| format!("{}x{count}", offset - base));
        let begun = joined(begun, BYTES_MAX / 2);
        let done = self.done.iter().map(|(first, last)| match (first - base, last - base) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        });
        let done = joined(done, BYTES_MAX - begun.len() - VERSION.len() - 2);
        format!("{VERSION};{done};{begun}")
    }

    /// Reads the text beside the offset `base`. What another program wrote there says nothing.
    pub(super) fn read(text: &str, base: i64) -> Self {
        Self::parse(text, base).unwrap_or_default()
    }

    fn parse(text: &str, base: i64) -> Option<Self> {
        let mut parts = text.split(';');
        let (version, done, begun) = (parts.next()?, parts.next()?, parts.next()?);
        if version != VERSION || parts.next().is_some() {
            return None;
        }
        let offset = |text: &str| base.checked_add(text.parse::<u32>().ok()?.into());
        let mut note = Self::default();
        for range in items(done) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (offset(first)?, offset(last)?);
            note.done.insert_range(first, last.max(first));
        }
        for mark in items(begun) {
            let (place, count) = mark.split_once('x')?;
            note.begun.insert(offset(place)?, count.parse().ok()?);
        }
        Some(note)
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

    fn note(done: &[(i64, i64)], begun: &[(i64, u32)]) -> Note {
        let mut note = Note::default();
        done.iter()
            .for_each(|(first, last)| note.done.insert_range(*first, *last));
        note.begun.extend(begun.iter().copied());
        note
    }

    #[test]
    fn what_is_written_is_read_again() {
        let note = note(&[(1002, 1004), (1007, 1007)], &[(1000, 1), (1005, 2)]);
        let text = note.write(1000);
        assert_eq!(text, "s1;2-4,7;0x1,5x2");
        assert_eq!(Note::read(&text, 1000), note);
        assert_eq!(Note::default().write(1000), "");
    }

    #[test]
    fn what_others_wrote_says_nothing() {
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
            assert_eq!(Note::read(text, 5), Note::default(), "{text:?}");
        }
        assert_eq!(Note::read("s1;1;", i64::MAX), Note::default());
    }

    #[test]
    fn a_note_that_grows_too_long_leaves_the_highest_offsets_out() {
        let every_other: Vec<_> = (0..5_000).map(|n| (2 * n + 1, 2 * n + 1)).collect();
        let begun: Vec<_> = (0..2_000).map(|n| (2 * n, 1)).collect();
        let text = note(&every_other, &begun).write(0);
        assert!(text.len() <= BYTES_MAX && text.is_ascii(), "{} bytes", text.len());
        let read = Note::read(&text, 0);
        assert!(read.done.iter().count() > 300 && read.begun.len() > 200);
        assert!(
            read.done.contains(1) && read.begun.contains_key(&0),
            "the lowest are kept"
        );
    }
}
