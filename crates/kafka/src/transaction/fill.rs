//! What goes into a transaction: records, then offsets.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use stt_core::{Commit, Failure};

use super::error::TransactionError;
use super::runner::{PAUSE, TransactionRunner};
use crate::producer::{Delivered, DeliveryCallback, Outgoing};
use crate::publish_error::PublishError;
use crate::record;

type Answers = Sender<(usize, Delivered)>;

/// Which records were refused, by their numbers, and whether by the client itself: the brokers may refuse a whole request.
struct Refused {
    records: Vec<(usize, Code)>,
    by_client: bool,
}

impl TransactionRunner {
    /// Everything of a transaction but its end.
    pub(super) fn fill(
        &mut self,
        records: &[(usize, Outgoing<'_>)],
        commits: &[Commit],
        member: Option<ConsumerGroupMetadata>,
    ) -> Result<(), TransactionError> {
        let (answers, answered) = mpsc::channel();
        let mut refused = Refused {
            records: Vec::new(),
            by_client: true,
        };
        let mut sent = 0;
        for (index, (_, record)) in records.iter().enumerate() {
            match self.send(record, index, &answers)? {
                Err(code) => refused.records.push((index, code)),
                Ok(()) if refused.records.is_empty() => sent += 1,
                Ok(()) => break,
            }
        }
        if refused.records.is_empty() {
            refused.by_client = false;
            for _ in 0..sent {
                if let (index, Err(code)) = self.answer(&answered)? {
                    refused.records.push((index, code));
                }
            }
        }
        if !refused.records.is_empty() {
            return Err(self.refused(records, &refused));
        }
        match member {
            Some(member) if !commits.is_empty() => self.send_offsets(commits, member),
            _ => Ok(()),
        }
    }

    /// Hands a record over, or gives the reason why librdkafka does not take it.
    fn send(
        &mut self,
        record: &Outgoing<'_>,
        index: usize,
        answers: &Answers,
    ) -> Result<Result<(), Code>, TransactionError> {
        loop {
            let answers = answers.clone();
            let callback = DeliveryCallback::new(move |delivered| {
                answers.send((index, delivered)).ok(); // fails after the transaction was given up
            });
            match self.producer.send(record, callback) {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => self.wait()?,
                Err(code) => return Ok(Err(code)),
            }
        }
    }

    /// The next answer. It comes within the transaction's timeout: then librdkafka gives a record up.
    fn answer(&mut self, answered: &Receiver<(usize, Delivered)>) -> Result<(usize, Delivered), TransactionError> {
        loop {
            match answered.recv_timeout(PAUSE) {
                Ok(answer) => return Ok(answer),
                Err(_) => self.look()?,
            }
        }
    }

    /// What refused records mean for their outcomes.
    fn refused(&mut self, records: &[(usize, Outgoing<'_>)], refused: &Refused) -> TransactionError {
        let mut causes: Vec<(usize, Failure)> = Vec::new();
        for (index, code) in &refused.records {
            let (outcome, record) = &records[*index];
            let error = PublishError::of(*code);
            let is_known = causes.iter().any(|(of, _)| of == outcome);
            if is_known || matches!(error, PublishError::Other | PublishError::Again | PublishError::Fatal) {
                continue;
            }
            // Records of different topics are never in one request.
            let of_topic = records.iter().filter(|(_, other)| other.topic == record.topic);
            let shares_request = !refused.by_client && !self.sends_one_by_one() && of_topic.count() > 1;
            if error.is_permanent() && shares_request {
                return TransactionError::RefusedTogether(format!(
                    "a request with several records was refused: {code}"
                ));
            }
            causes.push((*outcome, error.failure(record, *code)));
            if error.is_about_topic() {
                self.producer.refresh_topic(record.topic, TOPIC_WAIT);
            }
        }
        if !causes.is_empty() {
            return TransactionError::Refused(causes);
        }
        // When a transaction fails, librdkafka throws its records away, and gives the reason to every call after that.
        match self.producer.transactions().begin_transaction() {
            Err(KafkaError::Transaction(error)) if error.is_fatal() => TransactionError::Fatal(error.to_string()),
            Err(KafkaError::Transaction(error)) if error.code() == Code::TopicAuthorizationFailed => {
                let mut topics: Vec<&str> = records.iter().map(|(_, record)| record.topic).collect();
                topics.sort_unstable();
                topics.dedup();
                let topics = topics.join(", ");
                TransactionError::Later(format!("this user may not write to all of the topics {topics}"))
            }
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                TransactionError::Aborted(error.to_string())
            }
            _ => TransactionError::Aborted(refused.records[0].1.to_string()),
        }
    }

    fn send_offsets(&mut self, commits: &[Commit], member: ConsumerGroupMetadata) -> Result<(), TransactionError> {
        let list = record::commits(commits).map_err(|error| TransactionError::Aborted(error.to_string()))?;
        let (list, member) = (Arc::new(list), Arc::new(member));
        loop {
            let error = match self.offsets_sent(&list, &member)? {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) => error,
                Err(error) => return Err(TransactionError::Aborted(error.to_string())),
            };
            if error.is_fatal() {
                return Err(TransactionError::Fatal(error.to_string()));
            }
            if error.code() == Code::GroupAuthorizationFailed {
                let text = "this user may not commit for the workers' group in a transaction";
                return Err(TransactionError::Later(text.to_owned()));
            }
            if error.txn_requires_abort() || !error.is_retriable() {
                return Err(TransactionError::Aborted(error.to_string()));
            }
            self.wait()?;
        }
    }

    /// What came of one call. It is made by a thread of its own, which is left behind when it does not return in time, together
    /// with its producer.
    ///
    /// librdkafka 2.12 looks for a group's coordinator once; when the broker that it asks goes down meanwhile, it waits until any
    /// other broker comes or goes (`rd_kafka_coord_req_handle_FindCoordinator`; confluentinc/librdkafka pull request 3847). The
    /// call's own timeout does not end that. `tests/apache/transaction.rs` kills brokers in turn and gets there now and then.
    fn offsets_sent(
        &mut self,
        list: &Arc<TopicPartitionList>,
        member: &Arc<ConsumerGroupMetadata>,
    ) -> Result<KafkaResult<()>, TransactionError> {
        let (answer, answered) = mpsc::channel();
        let (producer, list, member) = (self.producer.clone(), list.clone(), member.clone());
        let timeout = self.timeout();
        let call = move || {
            let transactions = producer.transactions();
            let result = transactions.send_offsets_to_transaction(&list, &member, timeout);
            answer.send(result).ok(); // fails when it was left behind
        };
        let thread = thread::Builder::new().name("kafka-offsets".to_owned()).spawn(call);
        thread.map_err(|error| TransactionError::Later(format!("cannot start a thread: {error}")))?;
        let given_up_at = Instant::now() + timeout + OFFSETS_GRACE;
        loop {
            match answered.recv_timeout(PAUSE) {
                Ok(result) => return Ok(result),
                Err(_) if Instant::now() >= given_up_at => {
                    let text = "the group's coordinator was not found in time";
                    return Err(TransactionError::Stuck(text.to_owned()));
                }
                Err(_) => self.look()?,
            }
        }
    }
}

/// How long the brokers are asked about a topic that was missing.
const TOPIC_WAIT: Duration = Duration::from_secs(1);

/// How long after its timeout a call is waited for.
const OFFSETS_GRACE: Duration = Duration::from_secs(5);
