//! Outcomes: what processes hand to the producer, and what is written of it.

use stt_core::{Destination, JobId, Outcome, OutcomeKind};

use super::{Oracle, Record, UNSURE, Write, Written};
use crate::script::Class;
use crate::world::{MS, Time};

impl Oracle {
    pub(crate) fn sent_batch(&mut self, id: usize, now: Time) {
        if let Some(resumed) = self.processes[id].unsure
            && now >= resumed
            && now < resumed + UNSURE
        {
            self.fail(format!(
                "fencing: process {id} publishes after a silence before it knows whether it is a member"
            ));
        }
    }

    /// An outcome is handed to the producer. Returns the record that it is about.
    pub(crate) fn sent(&mut self, id: usize, now: Time, outcome: &Outcome) -> Option<usize> {
        let key = outcome.records.first().map(|record| record.key.clone())?;
        let record = self.processes[id].jobs.get(&outcome.job).copied();
        let is_about = |record: usize| {
            let Record { spec, class, .. } = &self.records[record];
            let named = self.by_key.get(&key);
            named.map_or(*class == Class::KeylessJunk, |named| named == spec)
        };
        let process = &self.processes[id];
        let guess = || {
            let known = process.current.iter().chain(&process.orphans).copied();
            let mut about = known.filter(|record| process.had_reset && is_about(*record));
            about.find(|record| self.records[*record].settled.is_none())
        };
        let Some(record) = record.filter(|record| is_about(*record)).or_else(guess) else {
            if !process.had_reset {
                self.fail(format!(
                    "nothing twice: process {id} publishes an outcome of another record: {key:?}"
                ));
            }
            return None;
        };
        self.processes[id].live.insert(outcome.job);
        let process = &mut self.processes[id];
        process.in_flight.entry(outcome.job).or_insert((now, Some(record)));
        if !process.current.contains(&record) && !process.orphans.contains(&record) {
            let name = self.name(record);
            self.fail(format!(
                "fencing: process {id} publishes an outcome of {name}, whose partition it gave up"
            ));
        }
        Some(record)
    }

    /// The producer answered for an outcome.
    pub(crate) fn answered(&mut self, id: usize, job: JobId) {
        self.processes[id].in_flight.remove(&job);
    }

    pub(crate) fn acknowledged(&mut self, id: usize, now: Time, record: Option<usize>) {
        if let Some(record) = record {
            self.processes[id].acknowledged.entry(record).or_insert(now);
        }
    }

    /// A record of an outcome is in its topic, for committed readers to see.
    pub(crate) fn wrote(&mut self, now: Time, id: usize, write: Write, exactly_once: bool) {
        let Some(record) = write.record else { return };
        let facts = &mut self.records[record];
        let place = facts.written.iter().position(|written| written.process == id);
        let is_new = place.is_none();
        let place = place.unwrap_or_else(|| {
            facts.written.push(Written {
                process: id,
                ..Written::default()
            });
            facts.written.len() - 1
        });
        let written = &mut facts.written[place];
        let count = match (write.destination, write.kind) {
            (Destination::Results, OutcomeKind::Completed) => &mut written.completed,
            (Destination::Results, _) => &mut written.failed,
            (Destination::DeadLetters, _) => &mut written.dead_letters,
            (Destination::Retries, _) => &mut written.retries,
        };
        *count += 1;
        let results = written.completed + written.failed + written.retries;
        let twice = results.max(written.dead_letters) > 1 + facts.rereads;
        let others = facts.written.len() > 1 && is_new;
        let has_hazard = |process: usize| facts.hazards.iter().find(|(of, _)| *of == process);
        let without: Vec<usize> = facts
            .written
            .iter()
            .map(|written| written.process)
            .filter(|process| has_hazard(*process).is_none())
            .collect();
        let window = facts
            .hazards
            .last()
            .map_or("records were read again", |(_, window)| *window);
        // The record went with its topic while its owner was silent: nothing can tell it from one that nobody has done.
        let rereads = facts.rereads + u32::from(facts.gone.is_some());
        let (class, alone) = (facts.class, facts.alone_crashes);
        if facts.written.iter().any(Written::is_whole) || self.is_whole_together(record) {
            let facts = &mut self.records[record];
            facts.settled.get_or_insert(now);
        }
        let name = self.name(record);
        if twice {
            self.fail(format!("nothing twice: process {id} published twice about {name}"));
        } else if others && exactly_once && rereads == 0 {
            self.fail(format!(
                "nothing twice: a second outcome of {name} is visible, by process {id}"
            ));
        } else if others && without.len() > 1 && rereads == 0 {
            self.fail(format!(
                "nothing twice: a second outcome of {name} by process {id}, and no window explains it"
            ));
        } else if others {
            *self.windows.entry(window).or_default() += 1;
        }
        if write.is_crash && !matches!(class, Class::Killer | Class::RareKiller | Class::Hang) && alone == 0 {
            self.fail(format!(
                "poison: {name} is a dead letter as a killer, and never ended a process alone"
            ));
        }
        let is_good = matches!(
            class,
            Class::Good | Class::Keyless | Class::LongKey | Class::ForgedDelay | Class::ForgedOrigin
        );
        if is_good
            && !self.processes[id].had_reset
            && write.kind == OutcomeKind::Failed
            && !write.is_crash
            && write.destination == Destination::Results
        {
            self.fail(format!("no loss: {name} is a good job, and failed"));
        }
        let facts = &self.records[record];
        if class == Class::Good
            && facts.attempt == 1
            && let Some((settled, bound)) = facts.settled.zip(self.good_bound)
            && settled - facts.produced > bound
        {
            let (took, bound) = ((settled - facts.produced) / MS, bound / MS);
            self.fail(format!(
                "liveness: {name} took {took} ms beside hostile records; {bound} ms are allowed"
            ));
        }
    }

    fn is_whole_together(&self, record: usize) -> bool {
        let written = &self.records[record].written;
        written.iter().any(|one| one.failed > 0) && written.iter().any(|one| one.dead_letters > 0)
    }

    /// Whether a record may be passed: its outcome is written, or that of a record of the same job.
    pub(super) fn is_settled(&self, record: usize) -> bool {
        let facts = &self.records[record];
        if facts.settled.is_some() {
            return true;
        }
        if facts.class == Class::Replay {
            return false;
        }
        let same_job = self.by_payload.get(&facts.payload_of).into_iter().flatten();
        let mut others = same_job
            .map(|other| &self.records[*other])
            .filter(|other| other.class != Class::Replay);
        others.any(|other| {
            let completed = other.written.iter().any(|written| written.completed > 0);
            let known = other.settled.max(other.told);
            let together = other.attempt == facts.attempt
                && other.settled.is_some()
                && known
                    .zip(facts.first_delivered)
                    .is_some_and(|(known, delivered)| known >= delivered);
            completed || together
        })
    }
}
