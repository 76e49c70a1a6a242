//! Outcomes to topics.

mod acked;
mod layout;
mod refusal;

use std::cmp::Reverse;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use stt_core::{Cancel, ErrorCode, Failure, NotPublished, Outcome, Publish, Published};

use self::acked::Acked;
pub(crate) use self::refusal::{Refusal, fatal};
use crate::outbox::{Delivered, Outbox, Outgoing};
use crate::{ClientError, Connection};

/// Where outcomes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishConfig {
    /// Results, completed or failed. Default `stt.results`.
    pub results_topic: String,
    /// Dead letters. Default `stt.jobs.dlq`.
    pub dlq_topic: String,
    /// Retries. Default `stt.jobs`.
    pub jobs_topic: String,
    /// Whether writing to a topic that is not there makes it, where the broker allows. Default false: a misspelt topic
    /// should be noticed.
    pub create_topics: bool,
    /// How long dropping waits for records on their way. Default 5 s.
    pub flush_wait: Duration,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            results_topic: "stt.results".to_owned(),
            dlq_topic: "stt.jobs.dlq".to_owned(),
            jobs_topic: "stt.jobs".to_owned(),
            create_topics: false,
            flush_wait: Duration::from_secs(5),
        }
    }
}

/// Publishes outcomes with an idempotent producer: each record is written once, to every in-sync replica, however long
/// the brokers are away.
///
/// When one record of an outcome is acknowledged and another is refused, trying the same outcome again sends only what
/// is missing. A publish that was cancelled is different: its records stay on their way until this is dropped, so
/// publishing the outcome again may write them twice.
pub struct KafkaPublish {
    outbox: Outbox,
    config: PublishConfig,
    acked: Mutex<Acked>,
}

/// How often a waiting publish looks whether it is cancelled.
const TICK: Duration = Duration::from_millis(50);

impl KafkaPublish {
    /// A publisher. Does not wait for a broker.
    ///
    /// # Errors
    /// Bad properties or configuration, all of them named.
    pub fn new(connection: &Connection, config: PublishConfig) -> Result<Self, ClientError> {
        config.check()?;
        // A timeout would leave the write in doubt, which is the one thing that an offset must not pass on.
        let outbox = Outbox::new(connection, 0, config.create_topics, config.flush_wait)?;
        Ok(Self {
            outbox,
            config,
            acked: Mutex::default(),
        })
    }

    fn send_all(&self, outcome: &Outcome, cancel: &Cancel) -> Result<(), Failure> {
        let mut acked = self
            .acked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(outcome.ticket());
        let mut records = self.config.records(outcome);
        records.retain(|record| !acked.contains(&record.fingerprint()));
        // The largest first: if any is too large for this producer it is that one, and nothing is written yet.
        records.sort_by_key(|record| Reverse(record.size()));
        let (answers, answered) = mpsc::channel();
        let mut failure = None;
        let mut sent = 0;
        for (index, record) in records.iter().enumerate() {
            match self.send(record, index, &answers, cancel) {
                Ok(()) => sent += 1,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        drop(answers);
        for _ in 0..sent {
            match self.answer(&answered, cancel) {
                Ok((index, Ok(_))) => acked.push(records[index].fingerprint()),
                Ok((index, Err(code))) => {
                    failure.get_or_insert_with(|| self.refused(&records[index], code));
                }
                Err(error) => {
                    failure.get_or_insert(error);
                    break;
                }
            }
        }
        let Some(failure) = failure else { return Ok(()) };
        if !acked.is_empty() {
            self.acked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .keep(outcome.ticket(), acked);
        }
        Err(failure)
    }

    fn send(
        &self,
        record: &Outgoing<'_>,
        index: usize,
        answers: &Sender<(usize, Delivered)>,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        loop {
            match self.outbox.send(record, index, answers) {
                Ok(true) => return Ok(()),
                Ok(false) if cancel.is_cancelled() => return Err(cancelled()),
                Ok(false) => self.outbox.serve(TICK),
                Err(code) => return Err(self.refused(record, code)),
            }
        }
    }

    fn answer(&self, answered: &Receiver<(usize, Delivered)>, cancel: &Cancel) -> Result<(usize, Delivered), Failure> {
        loop {
            match answered.recv_timeout(TICK) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => return Err(cancelled()),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(text) = self.outbox.fatal() {
                        return Err(fatal(&text));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(fatal("the producer is gone")),
            }
        }
    }

    fn refused(&self, record: &Outgoing<'_>, code: RDKafkaErrorCode) -> Failure {
        Refusal::of(code).failure(&self.outbox, record, code)
    }
}

impl Publish for KafkaPublish {
    fn publish(&self, outcome: Outcome, cancel: &Cancel) -> Result<Published, Box<NotPublished>> {
        match self.send_all(&outcome, cancel) {
            Ok(()) => Ok(outcome.acknowledged()),
            Err(failure) => Err(Box::new(NotPublished { outcome, failure })),
        }
    }
}

fn cancelled() -> Failure {
    Failure::transient(
        ErrorCode::PublishFailed,
        "cancelled while kafka had not acknowledged the outcome",
    )
}
