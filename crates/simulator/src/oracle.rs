//! What must hold, whatever happens. The oracle sees everything that processes and brokers do, and judges each step.
//!
//! **No loss**: a commit passes a record only when its outcome is written. **No rewind**: commits of a log only go forward.
//! **Nothing twice**: a record has one outcome; at least once, a second one is allowed when the process that wrote the first
//! ended its ownership (killed, evicted, released at its deadline) before the broker had the commit: a window. **Fencing**: nothing is
//! handed to the producer for a partition that was given up. **Poison**: only a job that ended a process while it ran alone is
//! a dead letter for it. **Honesty**: see [`Oracle::check_status`]. **Liveness** is judged by the runner.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;

use stt_core::{Destination, FlowEvent, JobId, JobLabel, NotReady, Outcome, OutcomeKind, Partition, Status};

use crate::group::StoredOffset;
use crate::log::Log;
use crate::records::JobSpec;
use crate::script::Class;
use crate::world::{MS, SECOND, Time};

/// A record written for an outcome.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub record: Option<usize>,
    pub destination: Destination,
    pub kind: OutcomeKind,
    pub is_crash: bool,
    pub bytes: usize,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            record,
            destination,
            kind,
            bytes,
            ..
        } = self;
        let record = record.map_or("unknown".to_owned(), |record| record.to_string());
        write!(f, "{bytes} bytes to {destination:?}, {kind:?} of record {record}")
    }
}

/// A record of the jobs or retry topic.
#[derive(Debug)]
struct Record {
    partition: Partition,
    log: u64,
    offset: i64,
    spec: usize,
    class: Class,
    payload_of: usize,
    attempt: u32,
    produced: Time,
    first_delivered: Option<Time>,
    written: Vec<Written>,
    hazards: Vec<(usize, &'static str)>,
    gone: Option<&'static str>,
    rereads: u32,
    alone_crashes: u32,
    settled: Option<Time>,
    /// When a process heard last that an outcome is published.
    told: Option<Time>,
}

/// What a process wrote about a record.
#[derive(Debug, Default)]
struct Written {
    process: usize,
    completed: u32,
    failed: u32,
    dead_letters: u32,
    retries: u32,
}

/// What is known of a process.
#[derive(Debug, Default)]
struct Process {
    /// Delivered and not answered by an event yet.
    deliveries: VecDeque<usize>,
    /// Received, of partitions that it owns as far as it knows.
    current: BTreeSet<usize>,
    orphans: HashSet<usize>,
    jobs: HashMap<JobId, usize>,
    /// Records whose jobs were started or are published, and have not ended: they are kept when their partition is lost.
    live: HashSet<JobId>,
    /// The last job of each record.
    latest: HashMap<usize, JobId>,
    /// Whether a log began anew under it: then ids are harder to tell.
    had_reset: bool,
    /// How many records were admitted anew.
    admitted: u64,
    crashes: HashMap<usize, u32>,
    running: BTreeMap<JobId, usize>,
    in_flight: BTreeMap<JobId, (Time, Option<usize>)>,
    acknowledged: HashMap<usize, Time>,
    commits_since: Option<Time>,
    unsure: Option<Time>,
    member: bool,
    deadlines: BTreeMap<Partition, Time>,
    breaker_since: Option<Time>,
    last_end: Time,
    is_stopping: bool,
}

/// Judges what happens.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    records: Vec<Record>,
    by_place: HashMap<(Partition, i64), usize>,
    by_key: HashMap<Vec<u8>, usize>,
    by_payload: HashMap<usize, Vec<usize>>,
    floors: HashMap<u64, i64>,
    processes: Vec<Process>,
    /// What did not hold.
    pub violation: Option<String>,
    /// Second outcomes, by the window that explains them.
    pub windows: BTreeMap<&'static str, u64>,
    /// Longest time in which a good job must end, when nothing but records is wrong.
    pub good_bound: Option<Time>,
}

/// How long after a silence nothing may be published, unless the group says that all is well.
const UNSURE: Time = 3_500 * MS;

impl Oracle {
    fn fail(&mut self, text: String) {
        self.violation.get_or_insert(text);
    }

    fn name(&self, record: usize) -> String {
        let Record {
            partition,
            offset,
            class,
            attempt,
            spec,
            ..
        } = &self.records[record];
        format!("record {record} ({class:?} {spec}, {partition}@{offset}, attempt {attempt})")
    }

    pub(crate) fn spec_of(&self, record: usize) -> usize {
        self.records[record].spec
    }

    #[allow(clippy::too_many_arguments)] // a record has that many parts
    pub(crate) fn produced(
        &mut self,
        now: Time,
        partition: &Partition,
        log: u64,
        offset: i64,
        spec: usize,
        made: &JobSpec,
        attempt: u32,
        key: Option<&[u8]>,
    ) -> usize {
        let number = self.records.len();
        let attempt = if made.kind.class == Class::ForgedDelay {
            attempt.max(2)
        } else {
            attempt
        };
        self.records.push(Record {
            partition: partition.clone(),
            log,
            offset,
            spec,
            class: made.kind.class,
            payload_of: made.payload_of,
            attempt,
            produced: now,
            first_delivered: None,
            written: vec![],
            hazards: vec![],
            gone: None,
            rereads: 0,
            alone_crashes: 0,
            settled: None,
            told: None,
        });
        self.by_place.insert((partition.clone(), offset), number);
        self.by_payload.entry(made.payload_of).or_default().push(number);
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            self.by_key.entry(key.to_vec()).or_insert(spec);
        }
        if matches!(made.kind.class, Class::Keyless | Class::LongKey) {
            let id = format!("00000000-0000-4000-8000-{:012x}", made.payload_of);
            self.by_key.entry(id.into_bytes()).or_insert(spec);
        }
        number
    }

    pub(crate) fn started(&mut self, id: usize) {
        debug_assert_eq!(id, self.processes.len());
        self.processes.push(Process::default());
    }

    pub(crate) fn gone(&mut self, log: &Log, places: std::ops::Range<usize>, why: &'static str) {
        let places = log.entries.range(places);
        for stored in places.filter_map(|entry| entry.stored.as_ref()) {
            self.records[stored.record].gone.get_or_insert(why);
        }
    }

    /// A record is passed unread in a window that the delivery page names.
    pub(crate) fn passed_unread(&mut self, record: usize) {
        self.records[record]
            .gone
            .get_or_insert("a commit for the log before passes it");
    }

    /// A record counts as one that ended processes, by a commit for the log before.
    pub(crate) fn suspected_by_mistake(&mut self, record: usize) {
        self.records[record].alone_crashes += 1;
    }

    /// The log's records are read again.
    pub(crate) fn reread(&mut self, log: &Log, _why: &'static str) {
        for stored in log.entries.iter().filter_map(|entry| entry.stored.as_ref()) {
            self.records[stored.record].rereads += 1;
        }
    }

    /// What is left of a log keeps its records under another id.
    pub(crate) fn truncated(&mut self, log: &Log) {
        for stored in log.entries.iter().filter_map(|entry| entry.stored.as_ref()) {
            self.records[stored.record].log = log.id;
        }
    }

    pub(crate) fn aborted(&mut self, records: &[usize]) {
        for record in records {
            self.records[*record].gone = Some("its transaction was aborted");
        }
    }

    pub(crate) fn assigned(&mut self, id: usize, _partition: &Partition) {
        self.processes[id].member = true;
    }

    pub(crate) fn revoked(&mut self, id: usize, partitions: &[Partition], deadline: Time) {
        let process = &mut self.processes[id];
        process
            .deadlines
            .extend(partitions.iter().map(|partition| (partition.clone(), deadline)));
    }

    pub(crate) fn told_lost(&mut self, id: usize) {
        let process = &mut self.processes[id];
        process.current.clear();
        process.member = false;
        process.unsure = None;
        process.commits_since = None;
        process.deadlines.clear();
    }

    /// A process was silent for longer than its session.
    pub(crate) fn unsure(&mut self, id: usize, until: Time) {
        self.processes[id].unsure = Some(until);
    }

    pub(crate) fn sure(&mut self, id: usize) {
        self.processes[id].unsure = None;
        self.processes[id].member = true;
    }

    pub(crate) fn log_reset(&mut self, id: usize, partition: &Partition) {
        let process = &mut self.processes[id];
        process.had_reset = true;
        let of_partition: Vec<usize> = process
            .current
            .iter()
            .copied()
            .filter(|record| self.records[*record].partition == *partition)
            .collect();
        for record in of_partition {
            process.current.remove(&record);
            process.orphans.insert(record);
            process.latest.remove(&record);
        }
    }

    pub(crate) fn delivered(&mut self, id: usize, record: usize) {
        self.processes[id].deliveries.push_back(record);
    }

    /// An event of a process's coordinator.
    pub(crate) fn flow_event(&mut self, id: usize, now: Time, event: &FlowEvent, is_member: bool) {
        match event {
            FlowEvent::Received => {
                let Some(record) = self.processes[id].deliveries.pop_front() else {
                    return self.fail(format!(
                        "honesty: process {id} received a record that was not delivered"
                    ));
                };
                let facts = &mut self.records[record];
                facts.first_delivered.get_or_insert(now);
                if !is_member {
                    facts
                        .hazards
                        .push((id, "published without knowing that it was evicted"));
                }
                let publishes_at_once = facts.class.is_junk();
                let process = &mut self.processes[id];
                process.current.insert(record);
                if let Some(at) = process.acknowledged.get_mut(&record) {
                    *at = now; // by the former ownership
                }
                let is_kept = process
                    .latest
                    .get(&record)
                    .is_some_and(|job| process.live.contains(job));
                if !is_kept {
                    // Job ids count admissions.
                    process.admitted += 1;
                    process.jobs.insert(JobId(process.admitted), record);
                    process.latest.insert(record, JobId(process.admitted));
                }
                let job = process.latest[&record];
                if publishes_at_once {
                    process.live.insert(job);
                }
            }
            FlowEvent::Ignored(_) => {
                let delivered = self.processes[id].deliveries.pop_front();
                if delivered.is_none() {
                    self.fail(format!("honesty: process {id} ignored a record that was not delivered"));
                }
            }
            FlowEvent::DoneBefore => match self.processes[id].deliveries.pop_front() {
                Some(record) if !self.is_settled(record) && self.records[record].gone.is_none() => {
                    let name = self.name(record);
                    self.fail(format!(
                        "no loss: process {id} passed {name} as done before, and it is not"
                    ));
                }
                Some(_) => {}
                None => self.fail(format!("honesty: process {id} passed a record that was not delivered")),
            },
            FlowEvent::CrashSuspect { job, crashes } => {
                if let Some(record) = self.labelled(job) {
                    self.processes[id].crashes.insert(record, *crashes);
                    if *crashes >= 3
                        && let Some(job) = self.processes[id].latest.get(&record).copied()
                    {
                        self.processes[id].live.insert(job);
                    }
                }
            }
            FlowEvent::Breaker { open } => {
                let since = &mut self.processes[id].breaker_since;
                *since = open.then(|| since.unwrap_or(now));
            }
            FlowEvent::Completed { job, .. }
            | FlowEvent::Failed { job, .. }
            | FlowEvent::Retried { job, .. }
            | FlowEvent::Duplicate { job, .. } => {
                self.processes[id].last_end = now;
                if let Some(record) = self.labelled(job) {
                    self.records[record].told = Some(now);
                }
                self.ended(id, job);
            }
            FlowEvent::Abandoned { job } => self.ended(id, job),
            FlowEvent::LateOutcome { job } => {
                let latest = self
                    .labelled(job)
                    .and_then(|record| self.processes[id].latest.get(&record).copied());
                self.processes[id].live.extend(latest);
            }
            _ => {}
        }
    }

    /// Every delivery must have been answered by an event.
    pub(crate) fn turn_ended(&mut self, id: usize) {
        if let Some(record) = self.processes[id].deliveries.front().copied() {
            let name = self.name(record);
            self.fail(format!("honesty: process {id} took {name} without an event"));
        }
    }

    fn labelled(&self, job: &JobLabel) -> Option<usize> {
        self.by_place.get(&(job.partition.clone(), job.offset)).copied()
    }

    fn ended(&mut self, id: usize, job: &JobLabel) {
        let latest = self
            .labelled(job)
            .and_then(|record| self.processes[id].latest.get(&record).copied());
        if let Some(job) = latest {
            self.processes[id].live.remove(&job);
        }
    }

    pub(crate) fn job_started(&mut self, id: usize, job: JobId) {
        let process = &mut self.processes[id];
        if let Some(record) = process.jobs.get(&job).copied() {
            process.running.insert(job, record);
            process.live.insert(job);
        }
    }

    pub(crate) fn job_finished(&mut self, id: usize, job: JobId) {
        self.processes[id].running.remove(&job);
    }

    /// A process was killed, or ended as hung.
    pub(crate) fn crashed(&mut self, id: usize, now: Time) {
        if self.processes[id]
            .commits_since
            .is_some_and(|since| now > since + 900 * MS)
        {
            // Markers could not be taken back in time: docs/delivery.md.
            for record in self.processes[id].current.iter().copied().collect::<Vec<_>>() {
                self.records[record].alone_crashes += 1;
            }
        }
        let running: Vec<usize> = self.processes[id].running.values().copied().collect();
        if let [alone] = running.as_slice() {
            self.records[*alone].alone_crashes += 1;
        }
    }

    /// A process ended because a job hangs.
    pub(crate) fn crashed_hung(&mut self, id: usize, job: &JobLabel) {
        if let Some(record) = self.by_place.get(&(job.partition.clone(), job.offset))
            && self.processes[id].running.values().all(|running| running == record)
        {
            self.records[*record].alone_crashes += 1;
        }
    }

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
    fn is_settled(&self, record: usize) -> bool {
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

    pub(crate) fn stopping(&mut self, id: usize) {
        self.processes[id].is_stopping = true;
    }

    /// **Honesty**: what a process says of itself. It is not ready whenever it is no member, an outcome or a commit waits for the
    /// broker, or its own fault keeps jobs from starting; a job that waits says why; what it holds is bounded.
    pub(crate) fn check_status(&mut self, id: usize, now: Time, status: &Status, open_max: usize) {
        let process = &self.processes[id];
        let says = |reason: NotReady| status.not_ready.contains(&reason);
        let mut wrong = None;
        if !process.member && status.not_ready.is_empty() {
            wrong = Some("is ready, and no member of the group".to_owned());
        }
        let oldest = process.in_flight.values().filter(|(_, record)| {
            record.is_some_and(|record| process.current.contains(&record) && !process.orphans.contains(&record))
        });
        if let Some((since, _)) = oldest.min()
            && now > since + 4 * SECOND
            && !says(NotReady::PublishBlocked)
        {
            wrong = Some(format!(
                "does not say that an outcome waits for {} ms",
                (now - since) / MS
            ));
        }
        if let Some(since) = process.commits_since
            && now > since + 12 * SECOND
            && !says(NotReady::CommitBlocked)
            && !says(NotReady::PublishBlocked)
        {
            wrong = Some(format!(
                "does not say that commits are not accepted for {} ms",
                (now - since) / MS
            ));
        }
        if process.breaker_since.is_some_and(|since| now > since + 4 * SECOND) && !says(NotReady::WorkerFault) {
            wrong = Some("does not say that a fault of its own stops jobs".to_owned());
        }
        if process.is_stopping && !says(NotReady::Stopping) {
            wrong = Some("does not say that it is stopping".to_owned());
        }
        let unexplained = |job: &&stt_core::JobStatus| job.stage == "delayed" && job.attempt == 1 && job.held.is_none();
        if let Some(job) = status.jobs.iter().find(unexplained) {
            wrong = Some(format!(
                "holds the first attempt at {}[{}]@{} without a reason",
                job.topic, job.partition, job.offset
            ));
        }
        if status.open > open_max {
            wrong = Some(format!("holds {} records; {open_max} are allowed", status.open));
        }
        let oldest_age = status
            .partitions
            .iter()
            .filter_map(|partition| partition.oldest_age)
            .fold(0.0, f64::max);
        if status.not_ready.is_empty() && oldest_age > 320.0 && now > process.last_end + 320 * SECOND {
            wrong = Some("is ready, and ended no job for 320 s".to_owned());
        }
        if let Some(wrong) = wrong {
            self.fail(format!("honesty: process {id} {wrong}"));
        }
    }

    /// Records that must have ended and have not.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let open =
            (0..self.records.len()).filter(|record| self.records[*record].gone.is_none() && !self.is_settled(*record));
        open.map(|record| self.name(record)).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.records.len()
    }
}

impl Written {
    fn is_whole(&self) -> bool {
        self.completed > 0 || self.retries > 0
    }
}

fn contains(stored: &StoredOffset, offset: i64) -> bool {
    offset < stored.committed.next_offset
        || stored
            .done
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&offset))
}
