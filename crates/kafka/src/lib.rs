//! Jobs from Kafka, outcomes to Kafka, and a broker to try it with.
//!
//! [`KafkaSource`] is a member of the workers' consumer group ([`stt_core::Source`]); [`KafkaPublish`] writes outcomes
//! and waits until the brokers have them ([`stt_core::Publish`]); [`KafkaTransact`] writes outcomes and commits offsets in
//! one transaction ([`stt_core::Transact`]). For the tools there are [`JobProducer`], [`Tail`] and
//! [`probe`]; for demos and tests there is [`EmbeddedBroker`], a real Kafka protocol server inside this process.
//!
//! The Kafka client is librdkafka, compiled from source. This crate decides nothing about jobs: it keeps no ledger, it
//! retries no job, and it never commits an offset that it was not told to commit. It never waits without a bound, reads
//! no environment, and shows no value of a property that may hold a secret.
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

mod connection;
mod embedded;
mod error;
mod farewell;
mod listener;
mod native;
mod outbox;
mod probe;
mod produce;
mod properties;
mod publish;
mod record;
mod source;
mod tail;
mod transact;

pub use connection::Connection;
pub use embedded::{BrokerError, EmbeddedBroker, Request};
pub use error::ClientError;
pub use probe::{Cluster, committed, committed_offsets, probe};
pub use produce::{JobProducer, Placed, ProducerConfig};
pub use properties::{OWNED_PROPERTIES, OwnedProperty, PropertyProblem, check_properties};
pub use publish::{KafkaPublish, PublishConfig};
pub use source::{KafkaSource, Membership, SourceConfig};
pub use tail::{Start, Tail, TailConfig, Tailed};
pub use transact::{KafkaTransact, TransactConfig};
