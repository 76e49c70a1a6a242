//! For tests: a broker in memory that implements [`stt_core::Source`] and [`stt_core::Sink`], the [`contract`] that it shares
//! with Kafka, scripted steps, a [`faulty`] HTTP server, and real Apache Kafka on this machine. Nothing that ships uses it.

pub mod apache;
pub mod contract;
pub mod faulty;
mod memory;
mod steps;

pub use memory::{MemoryBroker, MemorySink, MemorySource, MemoryTransactionSink, Record};
pub use steps::{Script, ToneDecode};
