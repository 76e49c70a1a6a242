//! What goes into a transaction: records, then offsets.

use std::sync::mpsc::{self, Receiver, Sender};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode as Code;
use stt_core::{Due, Failure};

use super::{Broken, PAUSE, Transactor};
use crate::outbox::{Delivered, Outgoing};
use crate::publish::Refusal;
use crate::record;

impl Transactor {
    /// Everything of a transaction but its end.
    pub(super) fn fill(
        &self,
        records: &[(usize, Outgoing<'_>)],
        due: &[Due],
        member: Option<&ConsumerGroupMetadata>,
    ) -> Result<(), Broken> {
        let (answers, answered) = mpsc::channel();
        let mut refused = Vec::new();
        let mut sent = 0;
        for (index, (_, record)) in records.iter().enumerate() {
            match self.send(record, index, &answers)? {
                Err(code) => refused.push((index, code)),
                Ok(()) if refused.is_empty() => sent += 1,
                Ok(()) => break,
            }
        }
        if refused.is_empty() {
            for _ in 0..sent {
                if let (index, Err(code)) = self.answer(&answered)? {
                    refused.push((index, code));
                }
            }
        }
        if !refused.is_empty() {
            return Err(self.refused(records, &refused));
        }
        match member {
            Some(member) if !due.is_empty() => self.send_offsets(due, member),
            _ => Ok(()),
        }
    }

    /// Hands a record over, or tells why librdkafka does not take it.
    fn send(
        &self,
        record: &Outgoing<'_>,
        index: usize,
        answers: &Sender<(usize, Delivered)>,
    ) -> Result<Result<(), Code>, Broken> {
        loop {
            match self.outbox.send(record, index, answers) {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => self.wait()?,
                Err(code) => return Ok(Err(code)),
            }
        }
    }

    /// The next answer. It comes within the transaction's timeout: then librdkafka gives a record up.
    fn answer(&self, answered: &Receiver<(usize, Delivered)>) -> Result<(usize, Delivered), Broken> {
        loop {
            match answered.recv_timeout(PAUSE) {
                Ok(answer) => return Ok(answer),
                Err(_) => self.look()?,
            }
        }
    }

    /// What is to be said when records were refused.
    fn refused(&self, records: &[(usize, Outgoing<'_>)], refused: &[(usize, Code)]) -> Broken {
        let mut causes: Vec<(usize, Failure)> = Vec::new();
        for (index, code) in refused {
            let (outcome, record) = &records[*index];
            let refusal = Refusal::of(*code);
            let told = causes.iter().any(|(of, _)| of == outcome);
            if !told && !matches!(refusal, Refusal::Other | Refusal::Fatal) {
                causes.push((*outcome, refusal.failure(&self.outbox, record, *code)));
            }
        }
        if !causes.is_empty() {
            return Broken::Refused(causes);
        }
        // When a transaction fails, librdkafka throws its records away; what failed, it says to everything that is asked
        // of it then.
        match self.outbox.producer().begin_transaction() {
            Err(KafkaError::Transaction(error)) if error.is_fatal() => Broken::Dead(error.to_string()),
            Err(KafkaError::Transaction(error)) if error.code() == Code::TopicAuthorizationFailed => {
                let mut topics: Vec<&str> = records.iter().map(|(_, record)| record.topic).collect();
                topics.sort_unstable();
                topics.dedup();
                Broken::Held(format!(
                    "this user may not write to all of the topics {}",
                    topics.join(", ")
                ))
            }
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => Broken::Aborted(error.to_string()),
            _ => Broken::Aborted(refused[0].1.to_string()),
        }
    }

    fn send_offsets(&self, due: &[Due], member: &ConsumerGroupMetadata) -> Result<(), Broken> {
        let list = record::commits(due).map_err(|error| Broken::Aborted(error.to_string()))?;
        loop {
            let timeout = self.config.timeout;
            let sent = self
                .outbox
                .producer()
                .send_offsets_to_transaction(&list, member, timeout);
            let error = match sent {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) => error,
                Err(error) => return Err(Broken::Aborted(error.to_string())),
            };
            if error.is_fatal() {
                return Err(Broken::Dead(error.to_string()));
            }
            if error.code() == Code::GroupAuthorizationFailed {
                let text = "this user may not commit for the workers' group in a transaction";
                return Err(Broken::Held(text.to_owned()));
            }
            if error.txn_requires_abort() || !error.is_retriable() {
                return Err(Broken::Aborted(error.to_string()));
            }
            self.wait()?;
        }
    }
}
