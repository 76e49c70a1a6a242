//! Fakes for tests: a broker in memory that passes for [`stt_core::Source`] and [`stt_core::Publish`], and scripted
//! steps. Nothing here is used by what ships.

mod broker;
mod steps;

pub use broker::{MemoryBroker, MemoryPublish, MemorySource, Record, Role};
pub use steps::{Script, ToneDecode};
