//! Jobs from Kafka, outcomes to Kafka, and a broker to try it with.
//!
//! [`KafkaSource`] is a member of the workers' consumer group ([`stt_core::Source`]). Outcomes go out by one of two sinks
//! ([`stt_core::Sink`]): [`KafkaSink`] writes them at least once, [`KafkaTransactionSink`] writes them and commits offsets in
//! one transaction. For the tools there are [`JobProducer`], [`Tail`] and [`probe`]; for demos and tests there is
//! [`EmbeddedBroker`], a real Kafka protocol server inside this process.
//!
//! The Kafka client is librdkafka, compiled from source. This crate decides nothing about jobs: it tracks no job, it
//! retries none, and it commits only the offsets that it is given. It never waits without a bound, reads no environment, and
//! shows no value of a property that may be secret.
//!
//! ```no_run
//! use std::time::Duration;
//! use stt_core::{Source, SourceEvent};
//! use stt_kafka::{Connection, KafkaSource, SourceConfig};
//!
//! let connection = Connection::new("localhost:9092");
//! let mut source = KafkaSource::new(&connection, SourceConfig::default())?;
//! loop {
//!     if let SourceEvent::Delivered(delivery) = source.poll(Duration::from_millis(100))? {
//!         println!("{} at {}", delivery.partition, delivery.offset);
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod close;
mod connection;
mod consumer;
mod context;
mod embedded;
mod error;
mod job_producer;
mod native;
mod probe;
mod producer;
mod properties;
mod publish_error;
mod record;
mod sink;
mod tail;
mod transaction;

pub use connection::Connection;
pub use consumer::{KafkaSource, Membership, SourceConfig};
pub use embedded::{BrokerError, EmbeddedBroker, Request};
pub use error::ClientError;
pub use job_producer::{JobProducer, Placed, ProducerConfig};
pub use probe::{Cluster, committed, committed_offsets, probe};
pub use properties::{OWNED_PROPERTIES, OwnedProperty, PropertyProblem, check_properties};
pub use sink::{KafkaSink, SinkConfig};
pub use tail::{Start, Tail, TailConfig, Tailed};
pub use transaction::{KafkaTransactionSink, TransactionConfig};
