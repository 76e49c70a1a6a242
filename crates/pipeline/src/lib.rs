//! The polling loop and the worker threads: what drives [`stt_core::Coordinator`] with real parts.
//!
//! Main function: [`run`]. One thread polls the source, feeds the coordinator and carries out its outputs ([`Driver`]); a
//! thread for each job in the window downloads, decodes and transcribes ([`WorkerPool`]). This crate knows no Kafka, HTTP,
//! FFmpeg or CTranslate2, makes no decision that the coordinator could make, starts no logger and installs no metrics
//! recorder.

mod driver;
mod log_limit;
mod run;
mod slots;
mod status;
mod telemetry;
mod worker;

pub use driver::Driver;
pub use run::{Config, Ended, Services, Stopping, run};
pub use status::{NotLive, StatusBoard};
pub use telemetry::{METRICS, Metric, MetricKind, describe_metrics};
pub use worker::WorkerPool;

pub use stt_core::{CoordinatorConfig, NotReady, Report, Status};
