//! Sets of offsets that lie close together.

use std::collections::BTreeMap;

/// Disjoint ranges of offsets, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<i64, i64>);

impl Ranges {
    /// Inserts one offset.
    pub(super) fn insert(&mut self, offset: i64) {
        self.insert_range(offset, offset);
    }

    /// Inserts a range and joins it with those that it touches.
    pub(super) fn insert_range(&mut self, first: i64, last: i64) {
        let (mut first, mut last) = (first, last);
        let touches = |range: &(&i64, &i64)| *range.1 >= first.saturating_sub(1);
        if let Some((&before, &end)) = self.0.range(..=first).next_back().filter(touches) {
            (first, last) = (before, last.max(end));
        }
        while let Some((&start, &end)) = self.0.range(first..=last.saturating_add(1)).next() {
            self.0.remove(&start);
            last = last.max(end);
        }
        self.0.insert(first, last);
    }

    pub(super) fn contains(&self, offset: i64) -> bool {
        self.0
            .range(..=offset)
            .next_back()
            .is_some_and(|(_, last)| *last >= offset)
    }

    /// Removes everything below `offset`.
    pub(super) fn remove_below(&mut self, offset: i64) {
        let above = self.0.split_off(&offset);
        let cut = self.0.values().next_back().copied().filter(|last| *last >= offset);
        self.0 = above;
        if let Some(last) = cut {
            self.0.insert(offset, last);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_join_and_the_lower_part_can_be_removed() {
        let mut ranges = Ranges::default();
        for offset in [5, 7, 1, 6, 9, 7] {
            ranges.insert(offset);
        }
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(1, 1), (5, 7), (9, 9)]);
        ranges.insert_range(3, 8);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(1, 1), (3, 9)]);
        assert!(ranges.contains(3) && ranges.contains(9) && !ranges.contains(2) && !ranges.contains(10));
        ranges.remove_below(6);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(6, 9)]);
        ranges.remove_below(10);
        assert_eq!(ranges.iter().count(), 0);
    }

    #[test]
    fn extreme_offsets_are_offsets_too() {
        let mut ranges = Ranges::default();
        ranges.insert(i64::MAX);
        ranges.insert(i64::MIN);
        assert!(ranges.contains(i64::MAX) && ranges.contains(i64::MIN));
    }
}
