//! A process's producer: what librdkafka and the brokers do for [`stt_core::Sink`].
//!
//! Without transactions, writes are idempotent: each lands once, however often it was sent, and its acknowledgement may be late.
//! In a transaction, writes and commits become visible together; one that takes too long is aborted by the broker.

use std::collections::VecDeque;
use std::time::Duration;

use stt_core::{
    Batch, BatchId, BatchResult, Commit, Destination, ErrorCode, Failure, Fault, Outcome, OutcomeKind, OutcomeRecord,
    OutcomeResult, Partition, Sink, Waker,
};

use crate::group::{MemberId, Request, Response};
use crate::oracle::Write;
use crate::script::Topic;
use crate::world::{Event, MS, SECOND, Shared, Time, World};

#[derive(Debug, Default)]
pub(crate) struct Producer {
    pending: Vec<Option<Pending>>,
    results: VecDeque<BatchResult>,
    transaction: Option<InFlight>,
    next_sequence: u64,
    pub fenced: bool,
}

/// An outcome on its way.
#[derive(Debug)]
struct Pending {
    batch: BatchId,
    outcome: Outcome,
    record: Option<usize>,
    waiting: usize,
    failures: Vec<Option<Failure>>,
}

/// A transaction on its way.
#[derive(Debug)]
struct InFlight {
    sequence: u64,
    batch: Batch,
    records: Vec<Option<usize>>,
    member: Option<MemberId>,
    generation: u64,
    logs: Vec<u64>,
    sent: Time,
    step: Step,
    transaction: Option<usize>,
    failures: Vec<Option<Failure>>,
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Write,
    Offsets,
    End,
}

/// The brokers' transactions.
#[derive(Debug, Default)]
pub(crate) struct Transactions(Vec<Transaction>);

#[derive(Debug)]
struct Transaction {
    state: TransactionState,
    process: usize,
    commits: Vec<(Commit, u64)>,
    writes: Vec<Write>,
    records: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionState {
    Open,
    Committed,
    Aborted,
}

/// After so long a broker aborts a transaction.
const TRANSACTION_TIMEOUT: u64 = 10 * SECOND;

impl Transactions {
    pub(crate) fn state(&self, transaction: usize) -> TransactionState {
        self.0[transaction].state
    }

    /// Whether an open transaction commits for a partition.
    pub(crate) fn commits_pending(&self, partition: &Partition) -> bool {
        let open = self
            .0
            .iter()
            .filter(|transaction| transaction.state == TransactionState::Open);
        open.flat_map(|transaction| &transaction.commits)
            .any(|(commit, _)| commit.partition == *partition)
    }
}

impl World {
    fn send(&mut self, id: usize, batch: Batch) {
        self.oracle.sent_batch(id, self.now);
        let records: Vec<Option<usize>> = batch
            .outcomes
            .iter()
            .map(|outcome| self.oracle.sent(id, self.now, outcome))
            .collect();
        if self.setup.exactly_once {
            let consumer = &self.incarnations[id].consumer;
            let log = |commit: &Commit| consumer.owned.get(&commit.partition).map_or(0, |owned| owned.log);
            let logs = batch.commits.iter().map(log).collect();
            let (member, generation) = (consumer.member, consumer.generation);
            if !batch.commits.is_empty() {
                self.oracle.commit_sent(id, self.now);
            }
            let producer = &mut self.incarnations[id].producer;
            producer.next_sequence += 1;
            let sequence = producer.next_sequence;
            producer.transaction = Some(InFlight {
                sequence,
                failures: batch.outcomes.iter().map(|_| None).collect(),
                batch,
                records,
                member,
                generation,
                logs,
                sent: self.now,
                step: Step::Write,
                transaction: None,
                failure: None,
            });
            return self.request(id, Request::Transact { sequence });
        }
        for (outcome, record) in batch.outcomes.into_iter().zip(records) {
            let place = self.incarnations[id].producer.pending.len();
            let waiting = outcome.records.iter().filter(|record| !record.acknowledged).count();
            let failures = outcome.records.iter().map(|_| None).collect();
            let numbers: Vec<usize> = (0..outcome.records.len())
                .filter(|number| !outcome.records[*number].acknowledged)
                .collect();
            self.incarnations[id].producer.pending.push(Some(Pending {
                batch: batch.id,
                outcome,
                record,
                waiting,
                failures,
            }));
            for number in numbers {
                self.request(
                    id,
                    Request::Write {
                        outcome: place,
                        record: number,
                    },
                );
            }
            if waiting == 0 {
                self.finish_outcome(id, place);
            }
        }
    }

    /// Why a record is refused, if it is.
    fn refusal(&self, record: &OutcomeRecord) -> Option<Failure> {
        let topic = match record.destination {
            Destination::Results => Topic::Results,
            Destination::DeadLetters => Topic::DeadLetters,
            Destination::Retries if self.setup.retry_topic => Topic::Retries,
            Destination::Retries => Topic::Jobs,
        };
        let until =
            |faults: &std::collections::BTreeMap<Topic, u64>| faults.get(&topic).is_some_and(|until| *until > self.now);
        if record.size() as u64 > self.setup.record_bytes {
            Some(Failure::permanent(ErrorCode::ResultTooLarge, "MSG_SIZE_TOO_LARGE"))
        } else if until(&self.faults.missing_until) {
            Some(Failure::worker_local(
                ErrorCode::PublishFailed,
                "UNKNOWN_TOPIC_OR_PARTITION",
            ))
        } else if until(&self.faults.denied_until) {
            Some(Failure::worker_local(
                ErrorCode::PublishFailed,
                "TOPIC_AUTHORIZATION_FAILED",
            ))
        } else {
            None
        }
    }

    pub(crate) fn write(&mut self, id: usize, outcome: usize, record: usize) {
        let Some(pending) = self.incarnations[id].producer.pending[outcome].take() else {
            return;
        };
        let to_write = &pending.outcome.records[record];
        let refusal = self.refusal(to_write);
        let mut ack = self.now + self.latency();
        let (slow_until, delay) = self.faults.slow_acks;
        if slow_until > self.now {
            ack += delay;
        }
        if refusal.is_some() {
            ack += 20 * MS;
        } else {
            let write = Write::of(pending.record, to_write, pending.outcome.kind);
            let (key, payload, headers) = (to_write.key.clone(), to_write.payload.clone(), to_write.headers.clone());
            self.write_record(id, write, key, payload, headers, None);
        }
        let mut pending = pending;
        pending.failures[record] = refusal;
        self.incarnations[id].producer.pending[outcome] = Some(pending);
        self.push(ack, Event::Response(id, Response::Written { outcome, record }));
    }

    /// Writes a record; a retry is a new record of the jobs.
    fn write_record(
        &mut self,
        id: usize,
        write: Write,
        key: Vec<u8>,
        payload: Vec<u8>,
        headers: Vec<stt_core::Header>,
        transaction: Option<usize>,
    ) {
        if write.destination == Destination::Retries {
            let partition = self.logs.retry_partition(&key);
            let header = headers
                .iter()
                .rev()
                .find(|header| header.key == "attempt")
                .and_then(|header| header.value.clone());
            let attempt = header
                .and_then(|value| String::from_utf8(value).ok()?.parse().ok())
                .unwrap_or(0);
            let spec = write.record.map(|record| self.oracle.spec_of(record));
            if let Some(spec) = spec {
                let record = self.append(
                    &partition,
                    Some(key),
                    Some(payload),
                    headers,
                    spec,
                    attempt,
                    transaction,
                );
                if let Some(transaction) = transaction {
                    self.transactions.0[transaction].records.push(record);
                }
            }
        }
        match transaction {
            Some(transaction) => self.transactions.0[transaction].writes.push(write),
            None => self.wrote(id, write),
        }
    }

    fn wrote(&mut self, id: usize, write: Write) {
        let text = write.to_string();
        self.log(|| format!("process {id} wrote {text}"));
        self.oracle.wrote(self.now, id, write, self.setup.exactly_once);
    }

    pub(crate) fn written(&mut self, id: usize, outcome: usize, record: usize) {
        if let Some(pending) = &mut self.incarnations[id].producer.pending[outcome] {
            pending.outcome.records[record].acknowledged = pending.failures[record].is_none();
            pending.waiting -= 1;
            if pending.waiting == 0 {
                self.finish_outcome(id, outcome);
            }
        }
    }

    fn finish_outcome(&mut self, id: usize, place: usize) {
        let Some(pending) = self.incarnations[id].producer.pending[place].take() else {
            return;
        };
        let failure = pending.failures.into_iter().flatten().next();
        let result = failure.map_or(Ok(()), Err);
        if result.is_ok() {
            self.oracle.acknowledged(id, self.now, pending.record);
        }
        self.oracle.answered(id, pending.outcome.job);
        let outcomes = vec![OutcomeResult {
            outcome: pending.outcome,
            result,
        }];
        let result = BatchResult {
            id: pending.batch,
            outcomes,
            commits: vec![],
            failure: None,
        };
        self.incarnations[id].producer.results.push_back(result);
        self.wake(id, self.now);
    }

    /// The next step of a transaction, at the brokers.
    pub(crate) fn transact(&mut self, id: usize, sequence: u64) {
        let Some(mut flight) = self.incarnations[id]
            .producer
            .transaction
            .take_if(|flight| flight.sequence == sequence)
        else {
            return;
        };
        match flight.step {
            _ if self.incarnations[id].producer.fenced => {
                flight.failure = Some(Failure::fatal(ErrorCode::PublishFailed, "PRODUCER_FENCED"));
            }
            Step::Write => self.write_transaction(id, &mut flight),
            Step::Offsets => self.send_offsets(id, &mut flight),
            Step::End => self.end_transaction(&mut flight),
        }
        if flight.failure.is_some()
            && let Some(transaction) = flight.transaction
        {
            self.abort(transaction);
        }
        self.incarnations[id].producer.transaction = Some(flight);
        self.respond(id, Response::Transacted { sequence });
    }

    fn write_transaction(&mut self, id: usize, flight: &mut InFlight) {
        let transaction = self.transactions.0.len();
        self.transactions.0.push(Transaction {
            state: TransactionState::Open,
            process: id,
            commits: vec![],
            writes: vec![],
            records: vec![],
        });
        flight.transaction = Some(transaction);
        self.push(self.now + TRANSACTION_TIMEOUT, Event::TransactionTimeout(transaction));
        for (outcome, failure) in flight.batch.outcomes.iter().zip(&mut flight.failures) {
            *failure = outcome.records.iter().find_map(|record| self.refusal(record));
            if let Some(failure) = failure {
                flight.failure = Some(Failure {
                    source: None,
                    message: failure.message.clone(),
                    ..*failure
                });
            }
        }
        if flight.failure.is_some() {
            return;
        }
        for (outcome, number) in flight.batch.outcomes.iter().zip(&flight.records) {
            for record in &outcome.records {
                let write = Write::of(*number, record, outcome.kind);
                let (key, payload, headers) = (record.key.clone(), record.payload.clone(), record.headers.clone());
                self.write_record(id, write, key, payload, headers, Some(transaction));
            }
        }
    }

    fn send_offsets(&mut self, id: usize, flight: &mut InFlight) {
        let error = self.check_membership(id, flight.member, flight.generation);
        let refused = self.faults.refuse_commits_until > self.now;
        let error = error.or_else(|| refused.then(|| "NOT_COORDINATOR".to_owned()));
        let Some(transaction) = flight
            .transaction
            .map(|transaction| &mut self.transactions.0[transaction])
        else {
            return;
        };
        if let Some(error) = error {
            flight.failure = Some(Failure::transient(ErrorCode::PublishFailed, error));
        } else if transaction.state != TransactionState::Open {
            flight.failure = Some(Failure::transient(ErrorCode::PublishFailed, "INVALID_PRODUCER_EPOCH"));
        } else {
            transaction.commits = flight
                .batch
                .commits
                .iter()
                .cloned()
                .zip(flight.logs.iter().copied())
                .collect();
        }
    }

    fn end_transaction(&mut self, flight: &mut InFlight) {
        let Some(number) = flight.transaction else { return };
        if self.transactions.0[number].state != TransactionState::Open {
            flight.failure = Some(if self.rng.bool() {
                Failure::transient(ErrorCode::PublishFailed, "INVALID_PRODUCER_EPOCH")
            } else {
                Failure::fatal(ErrorCode::PublishFailed, "PRODUCER_FENCED")
            });
            return;
        }
        let transaction = &mut self.transactions.0[number];
        transaction.state = TransactionState::Committed;
        let (process, writes, commits) = (
            transaction.process,
            std::mem::take(&mut transaction.writes),
            std::mem::take(&mut transaction.commits),
        );
        self.log(|| format!("transaction {number} of process {process} is committed"));
        writes.into_iter().for_each(|write| self.wrote(process, write));
        for (commit, log) in commits {
            self.store_offset(process, &commit, log, flight.sent);
        }
        self.mark_transaction(number);
    }

    fn abort(&mut self, number: usize) {
        let transaction = &mut self.transactions.0[number];
        if transaction.state != TransactionState::Open {
            return;
        }
        transaction.state = TransactionState::Aborted;
        transaction.commits.clear();
        let (process, records) = (transaction.process, std::mem::take(&mut transaction.records));
        self.log(|| format!("transaction {number} of process {process} is aborted"));
        self.oracle.aborted(&records);
        self.mark_transaction(number);
    }

    pub(crate) fn transaction_timeout(&mut self, number: usize) {
        if self.faults.hang_until > self.now {
            let at = self.faults.hang_until;
            return self.push(at, Event::TransactionTimeout(number));
        }
        self.abort(number);
    }

    /// A process with the same transactional id begins: what its former self left open is aborted.
    pub(crate) fn fence_transactions(&mut self, id: usize) {
        let worker = self.incarnations[id].worker;
        for former in 0..id {
            if self.incarnations[former].worker == worker {
                self.incarnations[former].producer.fenced = true;
                let open = |transaction: &Transaction| {
                    transaction.process == former && transaction.state == TransactionState::Open
                };
                let numbers: Vec<usize> = (0..self.transactions.0.len())
                    .filter(|number| open(&self.transactions.0[*number]))
                    .collect();
                numbers.into_iter().for_each(|number| self.abort(number));
            }
        }
    }

    pub(crate) fn transacted(&mut self, id: usize, sequence: u64) {
        let Some(mut flight) = self.incarnations[id]
            .producer
            .transaction
            .take_if(|flight| flight.sequence == sequence)
        else {
            return;
        };
        let next = match flight.step {
            _ if flight.failure.is_some() => None,
            Step::Write if flight.batch.commits.is_empty() => Some(Step::End),
            Step::Write => Some(Step::Offsets),
            Step::Offsets => Some(Step::End),
            Step::End => None,
        };
        if let Some(step) = next {
            flight.step = step;
            self.incarnations[id].producer.transaction = Some(flight);
            return self.request(id, Request::Transact { sequence });
        }
        let aborted = flight.failure.is_some();
        if !flight.batch.commits.is_empty() {
            self.oracle.commit_answered(id, self.now, !aborted);
        }
        let fatal = flight
            .failure
            .as_ref()
            .is_some_and(|failure| failure.fault == Fault::Fatal);
        let mut outcomes = vec![];
        for ((outcome, failure), record) in flight
            .batch
            .outcomes
            .into_iter()
            .zip(flight.failures)
            .zip(flight.records)
        {
            self.oracle.answered(id, outcome.job);
            let innocent = if fatal {
                Failure::fatal(ErrorCode::PublishFailed, "the producer is fenced")
            } else {
                Failure::transient(ErrorCode::PublishFailed, "its transaction was aborted")
            };
            let result = match failure {
                Some(failure) => Err(failure),
                None if aborted => Err(innocent),
                None => {
                    self.oracle.acknowledged(id, self.now, record);
                    Ok(())
                }
            };
            outcomes.push(OutcomeResult { outcome, result });
        }
        self.incarnations[id].producer.results.push_back(BatchResult {
            id: flight.batch.id,
            outcomes,
            commits: flight.batch.commits,
            failure: flight.failure,
        });
        self.wake(id, self.now);
    }
}

impl Write {
    pub(crate) fn of(record: Option<usize>, written: &OutcomeRecord, kind: OutcomeKind) -> Self {
        let is_crash = kind == OutcomeKind::Failed && {
            let text = String::from_utf8_lossy(&written.payload);
            text.contains("\"WORKER_CRASHED\"")
        };
        Self {
            record,
            destination: written.destination,
            kind,
            is_crash,
            bytes: written.payload.len(),
        }
    }
}

/// A [`Sink`] over a process's producer.
#[derive(Debug)]
pub(crate) struct SimSink {
    pub world: Shared,
    pub id: usize,
}

impl Sink for SimSink {
    fn set_waker(&mut self, _waker: Waker) {}

    fn is_transactional(&self) -> bool {
        self.world.lock().setup.exactly_once
    }

    fn send(&mut self, batch: Batch) {
        self.world.lock().send(self.id, batch);
    }

    fn poll(&mut self) -> Option<BatchResult> {
        self.world.lock().incarnations[self.id].producer.results.pop_front()
    }

    fn close(&mut self, _wait: Duration) {}
}
