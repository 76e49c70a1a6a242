//! What came of the jobs, as others read it from the topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use stt_core::Header;
use stt_kafka::{Connection, JobProducer, ProducerConfig, Start, Tail, TailConfig};

use crate::place::id;

/// Publishes jobs, and reads results and dead letters from the beginning.
pub(crate) struct Outcomes {
    producer: JobProducer,
    results: Tail,
    letters: Tail,
    /// The text of completed jobs, by number, in the order in which they came.
    pub(crate) texts: Vec<(u32, String)>,
    /// The code of each dead letter, by number.
    pub(crate) codes: BTreeMap<u32, String>,
    /// What the dead letters say.
    pub(crate) messages: String,
}

impl Outcomes {
    pub(crate) fn at(address: &str) -> Self {
        let connection = Connection::new(address);
        Self {
            producer: JobProducer::new(&connection, &ProducerConfig::default()).unwrap(),
            results: tail(&connection, "stt.results"),
            letters: tail(&connection, "stt.jobs.dlq"),
            texts: vec![],
            codes: BTreeMap::new(),
            messages: String::new(),
        }
    }

    pub(crate) fn produce(&self, number: u32, payload: &[u8]) {
        self.produce_with(number, payload, &[]);
    }

    pub(crate) fn produce_with(&self, number: u32, payload: &[u8], headers: &[Header]) {
        let key = id(number);
        self.producer
            .produce("stt.jobs", key.as_bytes(), payload, headers)
            .unwrap();
    }

    /// Jobs that have their outcome. Each has one.
    pub(crate) fn ended(&self) -> usize {
        self.texts.len() + self.codes.len()
    }

    /// Reads on until so many jobs have their outcome.
    pub(crate) fn until(&mut self, ended: usize, patience: Duration) {
        let began = Instant::now();
        while self.ended() < ended {
            self.read();
            let (found, late) = (self.ended(), began.elapsed() > patience);
            assert!(!late, "only {found} of {ended} jobs have an outcome");
        }
    }

    /// Takes what has come.
    pub(crate) fn read(&mut self) {
        const WAIT: Duration = Duration::from_millis(20);
        while let Some(message) = self.results.next(WAIT).unwrap() {
            let result: Value = serde_json::from_slice(&message.delivery.payload.unwrap()).unwrap();
            if result["status"] == "COMPLETED" {
                let text = result["transcriptText"].as_str().unwrap().to_owned();
                self.texts.push((number(message.delivery.key.as_deref()), text));
            }
        }
        while let Some(message) = self.letters.next(WAIT).unwrap() {
            let letter: Value = serde_json::from_slice(&message.delivery.payload.unwrap()).unwrap();
            let number = number(message.delivery.key.as_deref());
            self.messages += letter["errorMessage"].as_str().unwrap();
            self.messages.push('\n');
            let code = letter["errorCode"].as_str().unwrap().to_owned();
            let before = self.codes.insert(number, code);
            assert_eq!(before, None, "a second dead letter of job {number}: {letter}");
        }
    }
}

/// A topic from its beginning.
pub(crate) fn tail(connection: &Connection, topic: &str) -> Tail {
    let config = TailConfig {
        start: Start::Beginning,
        ..TailConfig::new(topic)
    };
    Tail::open(connection, &config).unwrap()
}

fn number(key: Option<&[u8]>) -> u32 {
    let key = std::str::from_utf8(key.expect("jobs have keys")).unwrap();
    u32::from_str_radix(key.rsplit('-').next().unwrap(), 16).unwrap()
}
