//! What was found in the topics.

use std::collections::BTreeMap;

use stt_core::Delivery;
use stt_schema::{ATTEMPT_HEADER, DeadLetter, ErrorCode, JobResult, Status};

use crate::job::End;

/// Which topic a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Jobs,
    Results,
    DeadLetters,
}

/// Everything that was found, by the id of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Records of the jobs topic.
    pub(crate) records: usize,
    /// How many of them are retries.
    pub(crate) retries: usize,
    /// The offset after the last record of each partition of the jobs topic.
    pub(crate) next: BTreeMap<i32, i64>,
    /// In the order of their partition.
    pub(crate) outcomes: BTreeMap<String, Vec<Outcome>>,
    pub(crate) letters: BTreeMap<String, Vec<Letter>>,
    /// Records that nobody should have written, as sentences.
    pub(crate) odd: Vec<String>,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The process that wrote it.
    pub(crate) by: String,
    pub(crate) end: End,
}

/// A dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) code: ErrorCode,
    pub(crate) attempt: u32,
}

impl Tally {
    pub(crate) fn record(&mut self, topic: Topic, delivery: &Delivery) {
        match topic {
            Topic::Jobs => self.job(delivery),
            Topic::Results => self.result(delivery),
            Topic::DeadLetters => self.letter(delivery),
        }
    }

    /// How many jobs have an outcome.
    pub(crate) fn ended(&self) -> usize {
        self.outcomes.len()
    }

    fn job(&mut self, delivery: &Delivery) {
        self.records += 1;
        self.next.insert(delivery.partition.id, delivery.offset + 1);
        if delivery.header(ATTEMPT_HEADER).is_some() {
            self.retries += 1;
        }
    }

    fn result(&mut self, delivery: &Delivery) {
        let result = serde_json::from_slice::<JobResult>(delivery.payload.as_deref().unwrap_or_default());
        let end = |result: &JobResult| match (result.status, &result.transcript_text, result.error_code) {
            (Status::Completed, Some(text), None) => Some(End::Completed(text.clone())),
            (Status::Failed, None, Some(code)) => Some(End::Failed(code)),
            _ => None,
        };
        match result.as_ref().ok().and_then(|result| Some((result, end(result)?))) {
            Some((result, end)) => {
                let by = result.model_version.clone();
                let outcomes = self.outcomes.entry(key(delivery)).or_default();
                outcomes.push(Outcome { by, end });
            }
            None => self.odd("result", delivery),
        }
    }

    fn letter(&mut self, delivery: &Delivery) {
        match DeadLetter::parse(delivery.payload.as_deref().unwrap_or_default()) {
            Ok(letter) => self.letters.entry(key(delivery)).or_default().push(Letter {
                code: letter.error_code,
                attempt: letter.attempt,
            }),
            Err(_) => self.odd("dead letter", delivery),
        }
    }

    fn odd(&mut self, what: &str, delivery: &Delivery) {
        let (partition, offset) = (&delivery.partition, delivery.offset);
        self.odd.push(format!("{partition}@{offset} is no {what}"));
    }
}

fn key(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.key.as_deref().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stt_core::{Header, Partition};

    fn delivery(offset: i64, payload: &str, headers: &[(&str, &str)]) -> Delivery {
        let header = |(key, value): &(&str, &str)| Header {
            key: (*key).to_owned(),
            value: Some(value.as_bytes().to_vec()),
        };
        Delivery {
            partition: Partition {
                topic: "t".into(),
                id: 1,
            },
            offset,
            key: Some(b"job".to_vec()),
            payload: Some(payload.into()),
            headers: headers.iter().map(header).collect(),
        }
    }

    #[test]
    fn what_is_no_result_is_told_with_its_place() {
        let mut tally = Tally::default();
        tally.record(Topic::Results, &delivery(4, "{}", &[]));
        tally.record(Topic::DeadLetters, &delivery(5, "", &[]));
        assert_eq!(tally.odd, ["t[1]@4 is no result", "t[1]@5 is no dead letter"]);
        assert_eq!(tally.ended(), 0);
    }

    #[test]
    fn retries_are_told_from_first_tries_and_outcomes_keep_their_order() {
        let mut tally = Tally::default();
        tally.record(Topic::Jobs, &delivery(0, "x", &[]));
        tally.record(Topic::Jobs, &delivery(7, "x", &[(ATTEMPT_HEADER, "2")]));
        assert_eq!((tally.records, tally.retries, tally.next[&1]), (2, 1, 8));
        for by in ["0.1", "1.1"] {
            let result = format!(
                r#"{{"jobId":"job","taskId":"","status":"FAILED","transcriptText":null,"detectedLanguage":null,
                "confidence":0.0,"engine":"faster-whisper","modelVersion":"{by}","errorCode":"INVALID_JSON",
                "errorMessage":"","completedAt":"2026-01-01T00:00:00Z","correlationId":""}}"#
            );
            tally.record(Topic::Results, &delivery(0, &result, &[]));
        }
        assert_eq!(tally.odd, [""; 0]);
        let writers: Vec<&str> = tally.outcomes["job"]
            .iter()
            .map(|outcome| outcome.by.as_str())
            .collect();
        assert_eq!(writers, ["0.1", "1.1"]);
    }
}
