//! Deliberate defects, put between the coordinator and the world. The simulation must find each.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use stt_core::{
    Batch, BatchId, BatchResult, Clock, Commit, Delivery, Destination, Fault, OutcomeKind, OutcomeResult, Partition,
    Sink, Source, SourceError, SourceEvent, Status, Waker, Workers,
};

use crate::consumer::SimSource;
use crate::engine::SimWorkers;
use crate::producer::SimSink;
use crate::world::{Shared, VirtualClock};

/// A deliberate defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Commits name no job as started.
    DropsStartMarkers,
    /// Commits name no job as done above the committed offset.
    DropsDoneOffsets,
    /// Commits pass one offset too many.
    CommitsOneTooFar,
    /// Retries are dropped.
    LosesRetries,
    /// Dead letters are dropped.
    LosesDeadLetters,
    /// A partition's new log goes unnoticed.
    IgnoresLogResets,
    /// A job that failed is passed when it is sent again.
    SwallowsFailedJobs,
    /// A crash suspect never counts as one of two crashes, so it never runs alone.
    NeverIsolates,
    /// A silence longer than the session goes unnoticed: outcomes are published before ownership is sure.
    ForgetsSilence,
    /// An outcome that is too large is tried again as it is.
    RetriesOversized,
    /// A waiting retry stops intake.
    DelaysStopIntake,
    /// The offset of a duplicate is never passed.
    ForgetsFollowers,
    /// What was in flight when a partition was lost is published again.
    PublishesAgainAfterLoss,
    /// A stop leaves start markers behind.
    StopLeavesMarkers,
    /// A revoked partition is released before its last commit.
    ReleasesAtOnce,
    /// The loss of partitions goes unnoticed.
    IgnoresLoss,
    /// Outcomes count as published before the broker acknowledged them.
    AssumesAcknowledgements,
    /// Transactions leave their commits out.
    TransactsWithoutOffsets,
    /// Pauses are ignored: intake has no bound.
    IgnoresPauses,
    /// The status says ready, always.
    AlwaysReady,
    /// A refused outcome is dropped.
    DropsRefused,
    /// A commit is sent once and never again.
    CommitsOnce,
    /// Some deliveries vanish without an event.
    DropsRecords,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::DropsStartMarkers,
        Self::DropsDoneOffsets,
        Self::CommitsOneTooFar,
        Self::LosesRetries,
        Self::LosesDeadLetters,
        Self::IgnoresLogResets,
        Self::SwallowsFailedJobs,
        Self::NeverIsolates,
        Self::ForgetsSilence,
        Self::RetriesOversized,
        Self::DelaysStopIntake,
        Self::ForgetsFollowers,
        Self::PublishesAgainAfterLoss,
        Self::StopLeavesMarkers,
        Self::ReleasesAtOnce,
        Self::IgnoresLoss,
        Self::AssumesAcknowledgements,
        Self::TransactsWithoutOffsets,
        Self::IgnoresPauses,
        Self::AlwaysReady,
        Self::DropsRefused,
        Self::CommitsOnce,
        Self::DropsRecords,
    ];
}

/// What the wrappers of one process share.
#[derive(Debug, Default)]
struct State {
    failed_payloads: HashSet<Vec<u8>>,
    /// Keys of payloads, for outcomes to be recognised.
    payloads: HashMap<Vec<u8>, Vec<u8>>,
    lost: bool,
    blocked_until: u64,
    duplicates: HashMap<Partition, i64>,
    seen: HashSet<Vec<u8>>,
    marked: HashMap<Partition, Commit>,
    committed: HashSet<Partition>,
    deliveries: u64,
}

type Parts = (Box<dyn Source>, Box<dyn Sink>, Box<dyn Workers>);

pub(crate) fn wrap(
    mutant: Option<Mutant>,
    source: Box<SimSource>,
    sink: Box<SimSink>,
    workers: Box<SimWorkers>,
    world: &Shared,
) -> Parts {
    let Some(mutant) = mutant else {
        return (source, sink, workers);
    };
    let state = Arc::new(Mutex::new(State::default()));
    let source = MutantSource {
        mutant,
        inner: *source,
        state: state.clone(),
        world: world.clone(),
        events: VecDeque::new(),
        asked: vec![],
    };
    let sink = MutantSink {
        mutant,
        inner: *sink,
        state,
        results: VecDeque::new(),
        in_flight: vec![],
        swallowed: HashSet::new(),
        next_id: 1 << 60,
    };
    (Box::new(source), Box::new(sink), workers)
}

pub(crate) fn corrupt_status(mutant: Option<Mutant>, mut status: Status) -> Status {
    if mutant == Some(Mutant::AlwaysReady) {
        status.not_ready.clear();
    }
    status
}

/// A clock that hides long silences: it goes on where it was.
#[derive(Debug)]
pub(crate) struct CappedClock {
    inner: Arc<VirtualClock>,
    last: Mutex<(Option<Instant>, Duration)>,
}

impl CappedClock {
    pub(crate) fn new(inner: Arc<VirtualClock>) -> Self {
        let last = Mutex::new((None, Duration::ZERO));
        Self { inner, last }
    }
}

impl Clock for CappedClock {
    fn now(&self) -> Instant {
        let real = self.inner.now();
        let mut state = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, hidden) = *state;
        let silence = last.map_or(Duration::ZERO, |last| real.saturating_duration_since(last));
        let hidden = if silence > Duration::from_secs(5) {
            hidden + silence
        } else {
            hidden
        };
        *state = (Some(real), hidden);
        real.checked_sub(hidden).unwrap_or(real)
    }

    fn wall(&self) -> SystemTime {
        self.inner.wall()
    }

    fn sleep(&self, _wait: Duration) {}
}

struct MutantSource {
    mutant: Mutant,
    inner: SimSource,
    state: Arc<Mutex<State>>,
    world: Shared,
    events: VecDeque<SourceEvent>,
    /// Commits as they were sent, with what was asked for.
    asked: Vec<(Commit, Commit)>,
}

impl MutantSource {
    fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        action(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn delivered(&self, delivery: Delivery) -> SourceEvent {
        let payload = delivery.payload.clone().unwrap_or_default();
        let now = self.world.lock().now;
        let swallowed = self.with(|state| {
            state.deliveries += 1;
            if let Some(key) = &delivery.key {
                state.payloads.insert(key.clone(), payload.clone());
            }
            if !state.seen.insert(payload.clone()) && delivery.header("attempt").is_none() {
                state
                    .duplicates
                    .entry(delivery.partition.clone())
                    .or_insert(delivery.offset);
            }
            match self.mutant {
                Mutant::SwallowsFailedJobs => state.failed_payloads.contains(&payload),
                Mutant::DropsRecords => state.deliveries % 7 == 3,
                Mutant::DelaysStopIntake => {
                    let wait = delivery
                        .header("retry-delay-ms")
                        .and_then(|text| text.parse::<u64>().ok());
                    state.blocked_until = wait.map_or(0, |wait| now + wait * 1_000);
                    false
                }
                _ => false,
            }
        });
        if swallowed {
            SourceEvent::Idle
        } else {
            SourceEvent::Delivered(delivery)
        }
    }

    fn corrupt(&self, commit: &Commit) -> Option<Commit> {
        let mut commit = commit.clone();
        let committed = &mut commit.committed;
        let parts: Vec<String> = committed.metadata.split(';').map(str::to_owned).collect();
        match (self.mutant, parts.as_slice()) {
            (Mutant::CommitsOneTooFar, _) => {
                committed.next_offset += 1;
                committed.metadata.clear();
            }
            (Mutant::DropsStartMarkers, [version, done, _]) => committed.metadata = format!("{version};{done};"),
            (Mutant::DropsDoneOffsets, [version, _, started]) => committed.metadata = format!("{version};;{started}"),
            (Mutant::ForgetsFollowers, _) => {
                let duplicate = self.with(|state| state.duplicates.get(&commit.partition).copied());
                if duplicate.is_some_and(|duplicate| committed.next_offset > duplicate) {
                    return None;
                }
            }
            (Mutant::CommitsOnce, _)
                if committed.metadata.is_empty()
                    && !self.with(|state| state.committed.insert(commit.partition.clone())) =>
            {
                return None;
            }
            (Mutant::StopLeavesMarkers, [_, _, started]) if started.is_empty() => {}
            (Mutant::StopLeavesMarkers, [_, _, _]) => {
                self.with(|state| state.marked.insert(commit.partition.clone(), commit.clone()));
            }
            _ => {}
        }
        if self.mutant == Mutant::StopLeavesMarkers
            && commit.committed.metadata.ends_with(';') | commit.committed.metadata.is_empty()
        {
            // What it wrote with its markers stays.
            let marked = self.with(|state| state.marked.get(&commit.partition).cloned());
            if let Some(marked) = marked.filter(|marked| marked.committed.next_offset == commit.committed.next_offset) {
                commit = marked;
            }
        }
        Some(commit)
    }
}

impl Source for MutantSource {
    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn poll(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        let now = self.world.lock().now;
        let blocked = self.with(|state| state.blocked_until > now);
        if blocked {
            return Ok(SourceEvent::Idle);
        }
        Ok(match self.inner.poll(wait)? {
            SourceEvent::Delivered(delivery) => self.delivered(delivery),
            SourceEvent::LogReset { .. } if self.mutant == Mutant::IgnoresLogResets => SourceEvent::Idle,
            SourceEvent::Revoked { lost: true, .. } if self.mutant == Mutant::IgnoresLoss => SourceEvent::Idle,
            SourceEvent::Revoked { partitions, lost } => {
                if self.mutant == Mutant::ReleasesAtOnce && !lost {
                    self.inner.release(&partitions);
                }
                self.with(|state| state.lost |= lost);
                SourceEvent::Revoked { partitions, lost }
            }
            SourceEvent::Assigned(mut assignments) if self.mutant == Mutant::NeverIsolates => {
                for committed in assignments
                    .iter_mut()
                    .filter_map(|assignment| assignment.committed.as_mut())
                {
                    for count in 2..9 {
                        committed.metadata = committed.metadata.replace(&format!("x{count}"), "x1");
                    }
                }
                SourceEvent::Assigned(assignments)
            }
            SourceEvent::CommitAnswered { commits, error } => {
                // The answer is about what was asked for.
                let asked = |commit: Commit| {
                    let place = self.asked.iter().position(|(sent, _)| *sent == commit);
                    place.map_or(commit, |place| self.asked.remove(place).1)
                };
                let commits = commits.into_iter().map(asked).collect();
                SourceEvent::CommitAnswered { commits, error }
            }
            event => event,
        })
    }

    fn commit(&mut self, commits: &[Commit]) {
        let (mut sent, mut swallowed) = (vec![], vec![]);
        for commit in commits {
            match self.corrupt(commit) {
                Some(corrupted) => {
                    self.asked.push((corrupted.clone(), commit.clone()));
                    sent.push(corrupted);
                }
                None => swallowed.push(commit.clone()),
            }
        }
        self.inner.commit(&sent);
        if !swallowed.is_empty() {
            let (commits, error) = (swallowed, None);
            self.events.push_back(SourceEvent::CommitAnswered { commits, error });
        }
    }

    fn pause(&mut self, partitions: &[Partition]) {
        if self.mutant != Mutant::IgnoresPauses {
            self.inner.pause(partitions);
        }
    }

    fn resume(&mut self, partitions: &[Partition]) {
        self.inner.resume(partitions);
    }

    fn release(&mut self, partitions: &[Partition]) {
        self.inner.release(partitions);
    }

    fn close(&mut self, wait: Duration) {
        self.inner.close(wait);
    }
}

struct MutantSink {
    mutant: Mutant,
    inner: SimSink,
    state: Arc<Mutex<State>>,
    results: VecDeque<BatchResult>,
    in_flight: Vec<(BatchId, Vec<stt_core::Outcome>)>,
    swallowed: HashSet<BatchId>,
    next_id: u64,
}

impl Sink for MutantSink {
    fn set_waker(&mut self, waker: Waker) {
        self.inner.set_waker(waker);
    }

    fn is_transactional(&self) -> bool {
        self.inner.is_transactional()
    }

    fn send(&mut self, mut batch: Batch) {
        let dropped = match self.mutant {
            Mutant::LosesRetries => Some(Destination::Retries),
            Mutant::LosesDeadLetters => Some(Destination::DeadLetters),
            _ => None,
        };
        for outcome in &mut batch.outcomes {
            if outcome.kind == OutcomeKind::Failed
                && let Some(first) = outcome.records.first()
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(payload) = state.payloads.get(&first.key).cloned() {
                    state.failed_payloads.insert(payload);
                }
            }
            outcome
                .records
                .iter_mut()
                .filter(|record| dropped == Some(record.destination))
                .for_each(|record| record.acknowledged = true);
        }
        match self.mutant {
            Mutant::TransactsWithoutOffsets => batch.commits.clear(),
            Mutant::AssumesAcknowledgements if !self.is_transactional() => {
                let copy = batch.outcomes.clone();
                let (id, commits, failure) = (batch.id, vec![], None);
                let outcomes = copy
                    .into_iter()
                    .map(|outcome| OutcomeResult {
                        outcome,
                        result: Ok(()),
                    })
                    .collect();
                self.results.push_back(BatchResult {
                    id,
                    outcomes,
                    commits,
                    failure,
                });
                self.swallowed.insert(batch.id);
            }
            Mutant::PublishesAgainAfterLoss if !self.is_transactional() => {
                self.in_flight.push((batch.id, batch.outcomes.clone()))
            }
            _ => {}
        }
        self.inner.send(batch);
    }

    fn poll(&mut self) -> Option<BatchResult> {
        let lost = std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).lost);
        if lost && self.mutant == Mutant::PublishesAgainAfterLoss {
            for (_, outcomes) in std::mem::take(&mut self.in_flight) {
                self.next_id += 1;
                let (id, commits) = (BatchId(self.next_id), vec![]);
                self.swallowed.insert(id);
                self.inner.send(Batch { id, outcomes, commits });
            }
        }
        if let Some(result) = self.results.pop_front() {
            return Some(result);
        }
        let mut result = self.inner.poll()?;
        self.in_flight.retain(|(id, _)| *id != result.id);
        if self.swallowed.remove(&result.id) {
            return self.poll();
        }
        for outcome in &mut result.outcomes {
            match (&mut outcome.result, self.mutant) {
                (Err(failure), Mutant::RetriesOversized) if failure.fault == Fault::Permanent => {
                    failure.fault = Fault::WorkerLocal
                }
                (refused @ Err(_), Mutant::DropsRefused) if result.failure.is_none() => *refused = Ok(()),
                _ => {}
            }
        }
        Some(result)
    }

    fn close(&mut self, wait: Duration) {
        self.inner.close(wait);
    }
}
