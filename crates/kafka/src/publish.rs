//! Outcomes to topics.

mod acked;

use std::cmp::Reverse;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use stt_core::{Cancel, ErrorCode, Failure, NotPublished, Outcome, OutcomeKind, Publish, Published};

use self::acked::Acked;
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

/// How long a publish that failed for want of a topic looks for it.
const LOOK_WAIT: Duration = Duration::from_secs(1);

impl KafkaPublish {
    /// A publisher. Does not wait for a broker.
    ///
    /// # Errors
    /// Bad properties or configuration, all of them named.
    pub fn new(connection: &Connection, config: PublishConfig) -> Result<Self, ClientError> {
        for topic in [&config.results_topic, &config.dlq_topic, &config.jobs_topic] {
            if topic.is_empty() || topic.contains('\0') {
                let rule = "a topic's name must not be empty, nor hold a zero byte";
                return Err(ClientError::Create(rule.to_owned()));
            }
        }
        // A timeout would leave the write in doubt, which is the one thing that an offset must not pass on.
        let outbox = Outbox::new(connection, 0, config.create_topics, config.flush_wait)?;
        Ok(Self {
            outbox,
            config,
            acked: Mutex::default(),
        })
    }

    fn records<'a>(&'a self, outcome: &'a Outcome) -> Vec<Outgoing<'a>> {
        let to = |topic, payload, headers| Outgoing {
            topic,
            key: &outcome.key,
            payload,
            headers,
        };
        let config = &self.config;
        match &outcome.kind {
            OutcomeKind::Completed { result } => vec![to(&config.results_topic, result, &[])],
            OutcomeKind::Failed {
                result,
                dead_letter,
                headers,
            } => vec![
                to(&config.results_topic, result, &[]),
                to(&config.dlq_topic, dead_letter, headers),
            ],
            OutcomeKind::Retry { payload, headers } => vec![to(&config.jobs_topic, payload, headers)],
        }
    }

    fn send_all(&self, outcome: &Outcome, cancel: &Cancel) -> Result<(), Failure> {
        let mut acked = self
            .acked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(outcome.ticket());
        let mut records = self.records(outcome);
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
        use RDKafkaErrorCode as Code;
        let topic = record.topic;
        let held = |text| Failure::worker_local(ErrorCode::PublishFailed, text);
        match code {
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
                let text = format!(
                    "{} bytes are more than kafka takes as a record of {topic}",
                    record.size()
                );
                Failure::permanent(ErrorCode::ResultTooLarge, text)
            }
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                // The answer may be of old; what is found now is for the next try.
                self.outbox.look_for(topic, LOOK_WAIT);
                held(format!("topic {topic} does not exist, or this user may not see it"))
            }
            Code::TopicAuthorizationFailed => {
                // Until it is looked for again, the client refuses the topic by itself.
                self.outbox.look_for(topic, LOOK_WAIT);
                held(format!("this user may not write to topic {topic}"))
            }
            Code::Fatal => fatal(&self.outbox.fatal().unwrap_or_else(|| code.to_string())),
            code => held(format!("kafka did not take a record for {topic}")).because(code),
        }
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

fn fatal(text: &str) -> Failure {
    Failure::fatal(ErrorCode::PublishFailed, format!("the kafka producer ended: {text}"))
}
