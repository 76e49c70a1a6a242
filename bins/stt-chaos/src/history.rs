//! What became of each worker process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::worker::ATTEMPTS_MAX;

/// Every process that there was, by its name, with what was done to it or what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    lives: BTreeMap<String, Vec<Turn>>,
    hits: BTreeMap<usize, usize>,
    /// Ids of the jobs of [`History::lost_with_session`].
    lost: BTreeSet<String>,
    /// Whether the broker was killed or restarted.
    pub(crate) broker_was_away: bool,
    /// What should not have happened, as sentences.
    pub(crate) faults: Vec<String>,
}

/// A turn in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// It was killed.
    Killed,
    /// A poisonous job ended it.
    Poisoned,
    /// It was frozen for longer than its session.
    Frozen,
    /// It was asked to leave, and left.
    Left,
    /// It ended because another one has its place, or its own time was over, as the frozen do in transactions.
    Fenced,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Poisoned => "poisoned",
            Self::Frozen => "frozen",
            Self::Left => "left",
            Self::Fenced => "fenced",
        })
    }
}

impl History {
    pub(crate) fn began(&mut self, name: &str) {
        self.lives.entry(name.to_owned()).or_default();
    }

    pub(crate) fn turned(&mut self, name: &str, turn: Turn) {
        self.lives.entry(name.to_owned()).or_default().push(turn);
    }

    pub(crate) fn turns(&self, name: &str) -> &[Turn] {
        self.lives.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn did(&self, name: &str, turn: Turn) -> bool {
        self.turns(name).contains(&turn)
    }

    /// How often there was such a turn.
    pub(crate) fn count(&self, turn: Turn) -> usize {
        self.lives.values().flatten().filter(|other| **other == turn).count()
    }

    pub(crate) fn processes(&self) -> usize {
        self.lives.len()
    }

    /// A process was killed or frozen that had begun these jobs last: it may have had them in hand.
    pub(crate) fn struck_with(&mut self, jobs: impl IntoIterator<Item = usize>) {
        for job in jobs {
            *self.hits.entry(job).or_default() += 1;
        }
    }

    /// How often a job may have been in hand when its process was killed or frozen.
    pub(crate) fn hits(&self, job: usize) -> usize {
        self.hits.get(&job).copied().unwrap_or_default()
    }

    /// The names of all processes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.lives.keys().map(String::as_str)
    }

    /// Reads in a worker's log which jobs were one crash short of [`ATTEMPTS_MAX`] in partitions that it lost with its session.
    pub(crate) fn lost_with_session(&mut self, log: &str) {
        let last_chance = format!(") was started by {} worker processes", ATTEMPTS_MAX - 1);
        let mut suspects: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in log.lines() {
            if let Some((_, lost)) = line.split_once("] partitions lost: ") {
                let lost = lost.split(' ').filter_map(|partition| suspects.remove(partition));
                self.lost.extend(lost.flatten().map(str::to_owned));
            } else if let Some((_, revoked)) = line.split_once("] partitions revoked: ") {
                suspects.retain(|partition, _| !revoked.split(' ').any(|other| other == *partition));
            } else if line.contains(&last_chance)
                && let Some((_, job)) = line.split_once("] job ")
                && let Some((id, place)) = job.split_once(" (")
                && let Some((partition, _)) = place.split_once('@')
            {
                suspects.entry(partition).or_default().push(id);
            }
        }
    }

    /// Whether a session ran out while a worker had this job as such a suspect.
    pub(crate) fn was_lost(&self, id: &str) -> bool {
        self.lost.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_suspects_of_lost_partitions_are_lost() {
        let mut history = History::default();
        history.lost_with_session(
            "[t WARN  t] job a (stt.jobs[0]@1, attempt 1) was started by 2 worker processes that ended before\n\
             [t WARN  t] job b (stt.jobs[1]@1, attempt 1) was started by 1 worker processes that ended before\n\
             [t WARN  t] job c (stt.jobs[1]@2, attempt 1) was started by 2 worker processes that ended before\n\
             [t WARN  t] job d (stt.jobs[2]@2, attempt 1) was started by 2 worker processes that ended before\n\
             [t INFO  t] partitions revoked: stt.jobs[2] (now 2)\n\
             [t INFO  t] partitions lost: stt.jobs[1] stt.jobs[2] (now 1)\n",
        );
        let lost = ["a", "b", "c", "d"].map(|id| history.was_lost(id));
        assert_eq!(lost, [false, false, true, false]);
    }
}
