//! Fakes for tests: a broker in memory that passes for [`stt_core::Source`], [`stt_core::Publish`] and
//! [`stt_core::Transact`], and scripted steps. Nothing here is used by what ships.

mod broker;
mod steps;

pub use broker::{MemoryBroker, MemoryPublish, MemorySource, MemoryTransact, Record, Role};
pub use steps::{Script, ToneDecode};
