//! Outcomes to topics, at least once.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use stt_core::{
    Batch, BatchId, BatchResult, Destination, ErrorCode, Failure, Outcome, OutcomeRecord, OutcomeResult, Sink, Waker,
};

use crate::close::close_with_timeout;
use crate::producer::{Delivered, DeliveryCallback, Outgoing, Producer, ProducerOptions};
use crate::publish_error::{PublishError, fatal};
use crate::{ClientError, Connection};

/// Where outcomes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// Results, completed or failed. Default `stt.results`.
    pub results_topic: String,
    /// Dead letters. Default `stt.jobs.dlq`.
    pub dlq_topic: String,
    /// Jobs that are tried again: the retry topic, or the topic of the jobs where there is none. Default `stt.jobs`.
    pub retry_topic: String,
    /// Whether writing to a topic that does not exist creates it, where the broker allows. Default false: a misspelt topic
    /// should be noticed.
    pub create_topics: bool,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            results_topic: "stt.results".to_owned(),
            dlq_topic: "stt.jobs.dlq".to_owned(),
            retry_topic: "stt.jobs".to_owned(),
            create_topics: false,
        }
    }
}

impl SinkConfig {
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        for topic in [&self.results_topic, &self.dlq_topic, &self.retry_topic] {
            if topic.is_empty() || topic.contains('\0') {
                let rule = "the name of a topic must not be empty or contain a zero byte";
                return Err(ClientError::Create(rule.to_owned()));
            }
        }
        Ok(())
    }

    pub(crate) fn outgoing<'a>(&'a self, record: &'a OutcomeRecord) -> Outgoing<'a> {
        Outgoing {
            topic: match record.destination {
                Destination::Results => &self.results_topic,
                Destination::DeadLetters => &self.dlq_topic,
                Destination::Retries => &self.retry_topic,
            },
            key: &record.key,
            payload: &record.payload,
            headers: &record.headers,
        }
    }
}

/// Publishes outcomes with an idempotent producer: each record is written once, to all in-sync replicas, however long the
/// brokers are away.
///
/// Records share requests. When a broker refuses a request as too large, or for another reason that may be about one of its
/// records only, its records are sent again one by one.
///
/// Dropping it gives up at once what is not acknowledged; [`Sink::close`] waits for it.
pub struct KafkaSink {
    connection: Connection,
    config: SinkConfig,
    /// `None` after closing.
    producer: Option<Arc<Producer>>,
    /// Sends one record a request; made when it is needed first.
    one_by_one: Option<Arc<Producer>>,
    deliveries: Receiver<(RecordId, Delivered)>,
    delivered: Deliveries,
    batches: HashMap<BatchId, PendingBatch>,
    /// Records for which the producer had no room.
    unsent: VecDeque<RecordId>,
    finished: VecDeque<BatchResult>,
    topic_refresh: Arc<AtomicBool>,
}

/// Where a record is: in which outcome of which batch.
#[derive(Clone, Copy, Debug)]
struct RecordId {
    batch: BatchId,
    outcome: usize,
    record: usize,
    alone: bool,
}

struct PendingBatch {
    outcomes: Vec<PendingOutcome>,
    commits: Vec<stt_core::Commit>,
}

struct PendingOutcome {
    outcome: Outcome,
    /// Records that are on their way.
    unanswered: usize,
    failure: Option<Failure>,
}

/// Where producers report to.
#[derive(Clone)]
struct Deliveries {
    sender: Sender<(RecordId, Delivered)>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Deliveries {
    fn callback(&self, id: RecordId) -> DeliveryCallback {
        let Self { sender, waker } = self.clone();
        DeliveryCallback::new(move |delivered| {
            sender.send((id, delivered)).ok(); // fails after the sink was dropped
            wake(&waker);
        })
    }
}

pub(crate) fn wake(waker: &Mutex<Option<Waker>>) {
    let waker = waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(waker) = waker {
        waker();
    }
}

/// How long the brokers are asked about a topic that was missing.
const TOPIC_WAIT: Duration = Duration::from_secs(1);

/// How long closing waits for the client's threads, after everything was answered or given up.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

impl KafkaSink {
    /// A sink. Does not wait for a broker.
    ///
    /// # Errors
    /// Bad properties or configuration, all of them named.
    pub fn new(connection: &Connection, config: SinkConfig) -> Result<Self, ClientError> {
        config.check()?;
        let (sender, deliveries) = mpsc::channel();
        let waker = Arc::default();
        Ok(Self {
            producer: Some(producer(connection, &config, false)?),
            one_by_one: None,
            connection: connection.clone(),
            config,
            deliveries,
            delivered: Deliveries { sender, waker },
            batches: HashMap::new(),
            unsent: VecDeque::new(),
            finished: VecDeque::new(),
            topic_refresh: Arc::default(),
        })
    }

    /// Sends a record, or notes why it cannot be sent. False when there was no room.
    fn send_record(&mut self, id: RecordId) -> bool {
        let sent = match self.producer_of(id) {
            Ok(producer) => {
                let Some(pending) = self.pending(id) else { return true };
                let record = self.config.outgoing(&pending.outcome.records[id.record]);
                producer.send(&record, self.delivered.callback(id)).map_err(|code| {
                    let error = PublishError::of(code);
                    (error, error.failure(&record, code))
                })
            }
            Err(failure) => Err((PublishError::Other, failure)),
        };
        match sent {
            Ok(false) => return false,
            Ok(true) => {
                if let Some(pending) = self.pending_mut(id) {
                    pending.unanswered += 1;
                }
            }
            Err((error, failure)) => self.fail(id, error, failure),
        }
        true
    }

    fn producer_of(&mut self, id: RecordId) -> Result<Arc<Producer>, Failure> {
        let closed = || Failure::transient(ErrorCode::PublishFailed, "the sink was closed");
        let producer = self.producer.clone().ok_or_else(closed)?;
        if !id.alone {
            return Ok(producer);
        }
        if let Some(one_by_one) = &self.one_by_one {
            return Ok(one_by_one.clone());
        }
        let made = self::producer(&self.connection, &self.config, true);
        let made = made.map_err(|error| Failure::worker_local(ErrorCode::PublishFailed, error.to_string()))?;
        self.one_by_one = Some(made.clone());
        Ok(made)
    }

    fn pending(&self, id: RecordId) -> Option<&PendingOutcome> {
        self.batches.get(&id.batch).map(|batch| &batch.outcomes[id.outcome])
    }

    fn pending_mut(&mut self, id: RecordId) -> Option<&mut PendingOutcome> {
        self.batches
            .get_mut(&id.batch)
            .map(|batch| &mut batch.outcomes[id.outcome])
    }

    fn fail(&mut self, id: RecordId, error: PublishError, failure: Failure) {
        if error.is_about_topic() {
            self.refresh_topic(id);
        }
        let is_of_outcome = |unsent: &RecordId| unsent.batch == id.batch && unsent.outcome == id.outcome;
        self.unsent.retain(|unsent| !is_of_outcome(unsent));
        if let Some(pending) = self.pending_mut(id) {
            // One that will never pass tells more than one that might.
            let replace =
                |before: &Failure| failure.fault == stt_core::Fault::Permanent && before.fault != failure.fault;
            if pending.failure.as_ref().is_none_or(replace) {
                pending.failure = Some(failure);
            }
        }
    }

    fn answered(&mut self, id: RecordId, delivered: Delivered) {
        // Given up while the producer closed: whether it was written is not known.
        if matches!(
            delivered,
            Err(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
        ) {
            return;
        }
        let Some(pending) = self.pending_mut(id) else { return };
        pending.unanswered -= 1;
        match delivered {
            Ok(_) => pending.outcome.records[id.record].acknowledged = true,
            Err(code) => {
                let error = PublishError::of(code);
                if error.is_permanent() && !id.alone {
                    log::debug!("a request was refused ({code}); sending its records one by one");
                    let id = RecordId { alone: true, ..id };
                    if !self.send_record(id) {
                        self.unsent.push_back(id);
                    }
                } else if let Some(pending) = self.pending(id) {
                    let record = self.config.outgoing(&pending.outcome.records[id.record]);
                    let failure = error.failure(&record, code);
                    self.fail(id, error, failure);
                }
            }
        }
        self.finish(id.batch);
    }

    /// Reports a batch when nothing of it is on its way or waits for room.
    fn finish(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get(&id) else { return };
        let is_waiting = |pending: &PendingOutcome| pending.unanswered > 0;
        if batch.outcomes.iter().any(is_waiting) || self.unsent.iter().any(|unsent| unsent.batch == id) {
            return;
        }
        let Some(PendingBatch { outcomes, commits }) = self.batches.remove(&id) else {
            return;
        };
        let result = |pending: PendingOutcome| OutcomeResult {
            outcome: pending.outcome,
            result: pending.failure.map_or(Ok(()), Err),
        };
        self.finished.push_back(BatchResult {
            id,
            outcomes: outcomes.into_iter().map(result).collect(),
            commits,
            failure: None,
        });
    }

    fn refresh_topic(&self, id: RecordId) {
        let (Some(pending), Some(producer)) = (self.pending(id), &self.producer) else {
            return;
        };
        if self.topic_refresh.swap(true, Ordering::AcqRel) {
            return; // one at a time; the next try of this outcome asks again
        }
        let topic = self
            .config
            .outgoing(&pending.outcome.records[id.record])
            .topic
            .to_owned();
        let (producer, is_running) = (producer.clone(), self.topic_refresh.clone());
        let thread = thread::Builder::new().name("kafka-topic".to_owned());
        let started = thread.spawn(move || {
            producer.refresh_topic(&topic, TOPIC_WAIT);
            is_running.store(false, Ordering::Release);
        });
        if started.is_err() {
            self.topic_refresh.store(false, Ordering::Release);
        }
    }

    /// After a fatal error no callback may come any more.
    fn fail_all(&mut self, error: &str) {
        self.unsent.clear();
        for (id, batch) in self.batches.drain() {
            let result = |pending: PendingOutcome| OutcomeResult {
                outcome: pending.outcome,
                result: Err(pending.failure.unwrap_or_else(|| fatal(error))),
            };
            self.finished.push_back(BatchResult {
                id,
                outcomes: batch.outcomes.into_iter().map(result).collect(),
                commits: batch.commits,
                failure: Some(fatal(error)),
            });
        }
    }

    fn take_deliveries(&mut self) {
        while let Ok((id, delivered)) = self.deliveries.try_recv() {
            self.answered(id, delivered);
        }
    }

    fn send_unsent(&mut self) {
        while let Some(id) = self.unsent.pop_front() {
            if !self.send_record(id) {
                return self.unsent.push_front(id);
            }
            self.finish(id.batch);
        }
    }
}

fn producer(connection: &Connection, config: &SinkConfig, one_by_one: bool) -> Result<Arc<Producer>, ClientError> {
    let options = ProducerOptions {
        // A timeout would leave the write in doubt, and an offset must not be committed on that.
        message_timeout: Duration::ZERO,
        create_topics: config.create_topics,
        one_by_one,
        transactional: None,
    };
    Producer::new(connection, options).map(Arc::new)
}

impl Sink for KafkaSink {
    fn set_waker(&mut self, waker: Waker) {
        *self.delivered.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    fn is_transactional(&self) -> bool {
        false
    }

    fn send(&mut self, batch: Batch) {
        let Batch { id, outcomes, commits } = batch;
        let pending = |outcome| PendingOutcome {
            outcome,
            unanswered: 0,
            failure: None,
        };
        let outcomes: Vec<PendingOutcome> = outcomes.into_iter().map(pending).collect();
        let order: Vec<Vec<usize>> = outcomes.iter().map(|pending| order(&pending.outcome)).collect();
        self.batches.insert(id, PendingBatch { outcomes, commits });
        for (outcome, records) in order.into_iter().enumerate() {
            for record in records {
                let id = RecordId {
                    batch: id,
                    outcome,
                    record,
                    alone: false,
                };
                if self.pending(id).is_none_or(|pending| pending.failure.is_some()) {
                    break;
                }
                if !self.unsent.is_empty() || !self.send_record(id) {
                    self.unsent.push_back(id);
                }
            }
        }
        self.finish(id);
        if !self.finished.is_empty() {
            wake(&self.delivered.waker);
        }
    }

    fn poll(&mut self) -> Option<BatchResult> {
        self.take_deliveries();
        self.send_unsent();
        if self.finished.is_empty() && !self.batches.is_empty() {
            let producers = self.producer.iter().chain(&self.one_by_one);
            let error = producers.filter_map(|producer| producer.fatal_error()).next();
            if let Some(error) = error {
                self.fail_all(&error);
            }
        }
        self.finished.pop_front()
    }

    fn close(&mut self, wait: Duration) {
        self.unsent.clear();
        let producers: Vec<Arc<Producer>> = self.producer.take().into_iter().chain(self.one_by_one.take()).collect();
        let deadline = Instant::now() + wait;
        for producer in &producers {
            producer.flush(deadline.saturating_duration_since(Instant::now()));
        }
        self.take_deliveries();
        close_with_timeout(producers, CLOSE_WAIT);
    }
}

/// The records of an outcome to be sent, the largest first: if any is too large for the client it is that one, and nothing
/// is written yet.
fn order(outcome: &Outcome) -> Vec<usize> {
    let records = outcome.records.iter().enumerate();
    let unacknowledged = records.filter(|(_, record)| !record.acknowledged);
    let mut order: Vec<(usize, usize)> = unacknowledged.map(|(index, record)| (index, record.size())).collect();
    order.sort_by_key(|(_, size)| Reverse(*size));
    order.into_iter().map(|(index, _)| index).collect()
}
