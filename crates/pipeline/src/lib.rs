//! The poll loop and the worker threads: what drives [`stt_core::Attempt`] and [`stt_core::Ledger`] with real parts.
//!
//! Main function: [`run`]. One thread polls the source, owns the ledger and the records that wait for their time, and
//! commits; [`Config::concurrency`] workers fetch, decode, transcribe and publish. This crate knows no Kafka, HTTP,
//! FFmpeg or CTranslate2, makes no decision about a job that `stt-core` could make, starts no logger and installs no
//! metrics recorder.

mod config;
mod outlet;
mod poll;
mod status;
mod task;
mod telemetry;
mod worker;

pub use config::{Config, Parts};
pub use outlet::Publishing;
pub use poll::{Ended, Report, Stopping, run};
pub use status::{NotReady, Status};
pub use telemetry::describe_metrics;
