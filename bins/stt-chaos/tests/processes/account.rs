//! What is in the results and the dead letters when a story is over.

use std::collections::BTreeMap;
use std::time::Duration;

use stt_kafka::{Connection, Start, Tail, TailConfig};
use stt_schema::{DeadLetter, ErrorCode, JobResult};

use crate::site::{DEAD_LETTERS, PATIENCE, RESULTS, id};

/// Everything that was published, by the id of the job.
pub(crate) struct Account {
    results: BTreeMap<String, Vec<Result<String, ErrorCode>>>,
    letters: BTreeMap<String, Vec<ErrorCode>>,
}

/// Longest wait for one record that is there.
const READ_WAIT: Duration = Duration::from_secs(30);

impl Account {
    pub(crate) fn read(connection: &Connection) -> Self {
        let (mut results, mut letters) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        read(connection, RESULTS, |key, payload| {
            let result: JobResult = serde_json::from_slice(payload).expect("a worker's result is one");
            let outcome = match (result.transcript_text, result.error_code) {
                (Some(text), None) => Ok(text),
                (None, Some(code)) => Err(code),
                both => panic!("a result has a text or a code: {both:?}"),
            };
            results.entry(key).or_default().push(outcome);
        });
        read(connection, DEAD_LETTERS, |key, payload| {
            let letter = DeadLetter::parse(payload).expect("a worker's dead letter is one");
            letters.entry(key).or_default().push(letter.error_code);
        });
        Self { results, letters }
    }

    /// Each of these jobs has one result, its own text, and no dead letter.
    pub(crate) fn assert_completed_once(&self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            let outcomes = self.results.get(&id(number)).map_or(&[][..], Vec::as_slice);
            let own = format!("heard http://chaos.invalid/{number}/");
            assert!(
                matches!(outcomes, [Ok(text)] if text.starts_with(&own)),
                "job {number}: {outcomes:?}"
            );
            assert_eq!(self.letters.get(&id(number)), None, "job {number}");
        }
    }

    /// Each of these jobs has one result, which says that it failed with this code, and one dead letter that says the same.
    pub(crate) fn assert_failed_once(&self, numbers: impl IntoIterator<Item = usize>, code: ErrorCode) {
        for number in numbers {
            assert_eq!(self.results.get(&id(number)), Some(&vec![Err(code)]), "job {number}");
            assert_eq!(self.letters.get(&id(number)), Some(&vec![code]), "job {number}");
        }
    }

    /// There is nothing of other jobs.
    pub(crate) fn assert_jobs(&self, count: usize) {
        assert_eq!(self.results.len(), count);
    }
}

fn read(connection: &Connection, topic: &str, mut take: impl FnMut(String, &[u8])) {
    let config = TailConfig {
        start: Start::Beginning,
        timeout: PATIENCE,
        ..TailConfig::new(topic)
    };
    let mut tail = Tail::open(connection, &config).expect("the topic is there");
    while !tail.at_end() {
        match tail.next(READ_WAIT).expect("the topic can be read") {
            Some(record) => {
                let delivery = record.delivery;
                let key = String::from_utf8(delivery.key.unwrap_or_default()).expect("a job's id is text");
                take(key, &delivery.payload.unwrap_or_default());
            }
            None => assert!(tail.at_end(), "{topic} cannot be read to its end"),
        }
    }
}
