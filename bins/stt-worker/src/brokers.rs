//! Kafka at the start: the broker inside this process, if asked for, whether the brokers have what is needed, and how
//! outcomes will go to them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use stt_core::{Clock as _, Sink, SystemClock};
use stt_kafka::{ClientError, Connection, EmbeddedBroker, KafkaSink, KafkaSource, KafkaTransactionSink, probe};

use crate::address_file::AddressFile;
use crate::args::Options;
use crate::error::Error;
use crate::plan::Plan;

/// Partitions of each topic of the embedded broker.
const PARTITIONS: i32 = 3;

/// A broker inside this process, and the file that tells where it is.
pub(crate) struct Embedded {
    pub(crate) address: String,
    // The file goes before the broker does.
    _address_file: Option<AddressFile>,
    _broker: EmbeddedBroker,
}

impl Embedded {
    /// Starts it with these topics and tells its address on standard output.
    pub(crate) fn start(topics: &[String], options: &Options) -> Result<Self, Error> {
        let topics: Vec<_> = topics.iter().map(|topic| (topic.as_str(), PARTITIONS)).collect();
        let broker = EmbeddedBroker::start(&topics).map_err(Error::EmbeddedBroker)?;
        let address = broker.bootstrap_servers().to_owned();
        let address_file = options
            .address_file
            .as_deref()
            .map(|path| AddressFile::write(path, &address))
            .transpose()?;
        let mut out = std::io::stdout().lock();
        // Standard output may be closed; the file and the log tell it too.
        let _ = writeln!(out, "embedded broker: {address}").and_then(|()| out.flush());
        log::info!("embedded broker at {address}");
        Ok(Self {
            address,
            _address_file: address_file,
            _broker: broker,
        })
    }
}

/// Topics may be made while the worker starts; how often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits until the brokers answer and have the topics.
pub(crate) fn wait_for(connection: &Connection, topics: &[String], timeout: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + timeout;
    let wanted: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut wait = timeout;
    let mut told = false;
    loop {
        let cluster = probe(connection, wait).map_err(Error::Kafka)?;
        let missing = cluster.missing(&wanted);
        if missing.is_empty() {
            log::info!(
                "kafka at {}: {} brokers",
                connection.bootstrap_servers,
                cluster.brokers.len()
            );
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::Topics {
                missing: missing.into_iter().map(str::to_owned).collect(),
                bootstrap_servers: connection.bootstrap_servers.clone(),
                waited: timeout,
            });
        }
        if !std::mem::replace(&mut told, true) {
            log::warn!("kafka has no topic {} yet: waiting", missing.join(", "));
        }
        SystemClock.sleep(LOOK_EVERY);
        // They have answered before; the last look gets a second, however little is left.
        wait = deadline.saturating_duration_since(Instant::now()).max(LOOK_EVERY);
    }
}

/// Where outcomes go: each on its own, or in transactions with the offsets.
pub(crate) fn sink(plan: &Plan, source: &KafkaSource) -> Result<Box<dyn Sink>, ClientError> {
    let connection = plan.connection();
    match plan.transactions() {
        Some(config) => {
            log::info!("exactly once, in transactions of {}", config.transactional_id);
            let membership = source.membership().expect("the source was opened just now");
            Ok(Box::new(KafkaTransactionSink::new(&connection, config, membership)?))
        }
        None => Ok(Box::new(KafkaSink::new(&connection, plan.sink())?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_are_missing_are_named_with_a_remedy() {
        let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
        let connection = Connection::new(broker.bootstrap_servers());
        let topics = ["stt.jobs", "stt.results", "stt.jobs.dlq"].map(str::to_owned);
        let error = wait_for(&connection, &topics, Duration::from_millis(300))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("no topics stt.results, stt.jobs.dlq at 127.0.0.1:"),
            "{error}"
        );
        assert!(error.contains("--create --topic"), "{error}");
        broker.create_topic("stt.results", 1).unwrap();
        broker.create_topic("stt.jobs.dlq", 1).unwrap();
        wait_for(&connection, &topics, Duration::from_secs(10)).unwrap();
    }
}
