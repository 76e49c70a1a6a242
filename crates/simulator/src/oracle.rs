//! What must hold, whatever happens. The oracle sees everything that processes and brokers do, and judges each step.
//!
//! **No loss**: a commit passes a record only when its outcome is written. **No rewind**: commits of a log only go forward.
//! **Nothing twice**: a record has one outcome; at least once, a second one is allowed when the process that wrote the first
//! ended its ownership (killed, evicted, released at its deadline) before the broker had the commit: a window. **Fencing**: nothing is
//! handed to the producer for a partition that was given up. **Poison**: only a job that ended a process while it ran alone is
//! a dead letter for it. **Honesty**: see [`Oracle::check_status`]. **Liveness** is judged by the runner.

mod commits;
mod honesty;
mod outcomes;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;

use stt_core::{Destination, FlowEvent, JobId, JobLabel, OutcomeKind, Partition};

use crate::log::Log;
use crate::records::JobSpec;
use crate::script::Class;
use crate::world::{MS, Time};

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

    pub(crate) fn stopping(&mut self, id: usize) {
        self.processes[id].is_stopping = true;
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
