//! Commits, and what the end of an ownership leaves uncommitted.

use std::collections::BTreeMap;

use stt_core::Partition;

use super::Oracle;
use crate::group::StoredOffset;
use crate::log::Log;
use crate::world::{MS, SECOND, Time};

impl Oracle {
    /// The broker stored a commit that was sent at `sent`.
    pub(crate) fn committed(
        &mut self,
        sent: Time,
        id: usize,
        partition: &Partition,
        log: &Log,
        stored: &StoredOffset,
        before: Option<&StoredOffset>,
    ) {
        if stored.log != log.id {
            return;
        }
        let next = stored.committed.next_offset;
        let rewinds = before.is_some_and(|before| before.log == stored.log && before.committed.next_offset > next);
        // Whoever finds that a log lost its end reads it from the beginning.
        let begins_anew = log.truncated && self.processes[id].had_reset;
        if rewinds && !begins_anew {
            return self.fail(format!("no rewind: process {id} committed {partition} back to {next}"));
        }
        if next > log.end() {
            return self.fail(format!(
                "no loss: process {id} committed {partition} at {next}, beyond its end {}",
                log.end()
            ));
        }
        let floor = self.floors.get(&log.id).copied().unwrap_or(log.start).max(log.start);
        let done = stored.done.iter().map(|(first, last)| *first..last + 1);
        for offset in std::iter::once(floor..next).chain(done).flatten() {
            let stored = log.get(offset).and_then(|entry| entry.stored.as_ref());
            if let Some(stored) = stored
                && self.records[stored.record].gone.is_none()
                && !self.is_settled(stored.record)
            {
                let name = self.name(stored.record);
                return self.fail(format!("no loss: process {id} committed {name} as done, and it is not"));
            }
        }
        self.floors.insert(log.id, next.max(floor));
        if stored.committed.metadata.len() < 3_000 {
            let missing = self.processes[id].current.iter().copied().find(|record| {
                let facts = &self.records[*record];
                let acknowledged = self.processes[id].acknowledged.get(record);
                facts.partition == *partition
                    && facts.log == log.id
                    && facts.rereads == 0
                    && acknowledged.is_some_and(|at| at + SECOND < sent)
                    && !contains(stored, facts.offset)
            });
            if let Some(record) = missing {
                let name = self.name(record);
                self.fail(format!(
                    "nothing twice: process {id} committed without {name}, which was acknowledged before"
                ));
            }
        }
    }

    pub(crate) fn commit_sent(&mut self, id: usize, now: Time) {
        self.processes[id].commits_since.get_or_insert(now);
    }

    pub(crate) fn commit_answered(&mut self, id: usize, _now: Time, accepted: bool) {
        if accepted {
            self.processes[id].commits_since = None;
        }
    }

    /// A process gave a partition up.
    pub(crate) fn released(&mut self, id: usize, now: Time, partition: &Partition, stored: Option<&StoredOffset>) {
        self.processes[id].commits_since = None; // others are sent again at once
        let deadline = self.processes[id].deadlines.remove(partition).unwrap_or(0);
        let process = &self.processes[id];
        let of_partition = |record: &usize| self.records[*record].partition == *partition;
        let current: Vec<usize> = process.current.iter().copied().filter(of_partition).collect();
        if now + 50 * MS < deadline {
            let open = current.iter().copied().find(|record| {
                let facts = &self.records[*record];
                let published = facts.written.iter().any(|written| written.process == id);
                published
                    && facts.gone.is_none()
                    && facts.rereads == 0
                    && !stored.is_some_and(|stored| contains(stored, facts.offset))
            });
            if let Some(record) = open {
                let name = self.name(record);
                self.fail(format!("nothing twice: process {id} released {partition} before its deadline, with {name} published and not committed"));
            }
        }
    }

    /// Outcomes that a process published, or will, may be published again by the next owner.
    pub(crate) fn ownership_ended(
        &mut self,
        id: usize,
        only: Option<&Partition>,
        how: &'static str,
        alive: bool,
        offsets: &BTreeMap<Partition, StoredOffset>,
    ) {
        let is_concerned = |record: &usize| only.is_none_or(|only| self.records[*record].partition == *only);
        let concerned: Vec<usize> = self.processes[id]
            .current
            .iter()
            .copied()
            .filter(is_concerned)
            .collect();
        for record in &concerned {
            let facts = &mut self.records[*record];
            let stored = offsets.get(&facts.partition).filter(|stored| stored.log == facts.log);
            if !stored.is_some_and(|stored| contains(stored, facts.offset)) {
                facts.hazards.push((id, how));
                let is_marked = stored.is_some_and(|stored| stored.started.contains_key(&facts.offset));
                if is_marked && alive && how != "killed" {
                    // Its marker cannot be taken back any more, so the next owner counts a crash that was none.
                    facts.alone_crashes += 1;
                }
            }
        }
        if only.is_some() {
            concerned.iter().for_each(|record| {
                self.processes[id].current.remove(record);
            });
        }
    }

    /// A process ended as asked, with everything committed: it must leave no start marker of its own.
    pub(crate) fn stopped(&mut self, id: usize, offsets: &BTreeMap<Partition, StoredOffset>) {
        let marked = self.processes[id].current.iter().copied().find(|record| {
            let facts = &self.records[*record];
            let stored = offsets
                .get(&facts.partition)
                .filter(|stored| stored.log == facts.log && stored.by == id);
            let count = stored
                .and_then(|stored| stored.started.get(&facts.offset))
                .copied()
                .unwrap_or(0);
            count > self.processes[id].crashes.get(record).copied().unwrap_or(0)
        });
        if let Some(record) = marked {
            let name = self.name(record);
            self.fail(format!(
                "poison: process {id} stopped in good order and left the start marker of {name}"
            ));
        }
    }
}

fn contains(stored: &StoredOffset, offset: i64) -> bool {
    offset < stored.committed.next_offset
        || stored
            .done
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&offset))
}
