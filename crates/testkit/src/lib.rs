//! For tests: a broker in memory that passes for [`stt_core::Source`], [`stt_core::Publish`] and [`stt_core::Transact`],
//! the [`contract`] that they share with Kafka, scripted steps, an HTTP server that is [`faulty`],
//! and real Apache Kafka on this machine. Nothing here is used by what ships.

pub mod apache;
mod broker;
pub mod contract;
pub mod faulty;
mod steps;

pub use broker::{MemoryBroker, MemoryPublish, MemorySource, MemoryTransact, Record, Role};
pub use steps::{Script, ToneDecode};
