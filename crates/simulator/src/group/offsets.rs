//! Committed offsets and their metadata.

use std::collections::BTreeMap;

use stt_core::{Commit, CommittedOffset};

use crate::world::{Time, World};

/// What is committed for a partition, and in which log.
#[derive(Clone, Debug)]
pub(crate) struct StoredOffset {
    pub committed: CommittedOffset,
    pub log: u64,
    /// The process that committed it.
    pub by: usize,
    pub done: Vec<(i64, i64)>,
    pub started: BTreeMap<i64, u32>,
}

impl World {
    pub(crate) fn store_offset(&mut self, id: usize, commit: &Commit, log: u64, sent: Time) {
        let Commit { partition, committed } = commit;
        let (done, started) = parse_metadata(committed);
        let stored = StoredOffset {
            committed: committed.clone(),
            log,
            by: id,
            done,
            started,
        };
        self.log(|| {
            format!(
                "commit of process {id}: {partition} {} {:?}",
                committed.next_offset, committed.metadata
            )
        });
        if let Some(log) = self.logs.by_partition.get(partition) {
            let before = self.group.offsets.get(partition);
            self.oracle.committed(sent, id, partition, log, &stored, before);
        }
        self.group.offsets.insert(partition.clone(), stored);
        self.adopt_offset(partition);
    }

    /// The operator sets what is committed back to the beginning. (Kafka allows it only without members; the effect is that of
    /// lost metadata.)
    pub(crate) fn reset_offsets(&mut self, partition: u32) {
        let partition = self.logs.jobs_partition(partition);
        if self.group.members.is_empty() && self.group.offsets.remove(&partition).is_some() {
            let log = &self.logs.by_partition[&partition];
            self.oracle.reread(log, "the operator reset offsets");
        }
    }
}

/// The done ranges and start markers of a commit, as offsets.
fn parse_metadata(committed: &CommittedOffset) -> (Vec<(i64, i64)>, BTreeMap<i64, u32>) {
    let base = committed.next_offset;
    let mut parts = committed.metadata.split(';').skip(1);
    let items = |text: Option<&'_ str>| -> Vec<String> {
        text.unwrap_or_default()
            .split(',')
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let number = |text: &str| text.parse::<i64>().unwrap_or_default();
    let done = items(parts.next())
        .iter()
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            (base + number(first), base + number(last))
        })
        .collect();
    let started = items(parts.next())
        .iter()
        .filter_map(|mark| {
            let (offset, count) = mark.split_once('x')?;
            Some((base + number(offset), count.parse().ok()?))
        })
        .collect();
    (done, started)
}
