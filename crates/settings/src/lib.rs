//! The environment variables of stt-worker and its tools: one table, [`VARIABLES`], from which they are read, checked,
//! shown by `--check`, and documented.
//!
//! [`WorkerSettings::read`] gives typed values, or every problem at once. Values are trimmed; an empty one counts as not
//! set. This crate reads the process's environment only in [`Environment::of_process`], touches no file and no network,
//! and never shows a secret.
//!
//! ```
//! use stt_settings::{Environment, WorkerSettings};
//!
//! let environment = Environment::from_pairs([("WORKER_CONCURRENCY", "2"), ("KAFKA_CONF_SECURITY_PROTOCOL", "SSL")]);
//! let settings = WorkerSettings::read(&environment)?;
//! assert_eq!(settings.concurrency, 2);
//! assert_eq!(settings.kafka.properties["security.protocol"], "SSL");
//!
//! let problems = WorkerSettings::read(&Environment::from_pairs([("DEVICE", "gpu"), ("MAX_ATTEMPTS", "0")])).unwrap_err();
//! assert_eq!(problems.to_string(), "DEVICE=gpu: must be cpu or cuda\nMAX_ATTEMPTS=0: must be a whole number, 1 to 100");
//! # Ok::<(), stt_settings::Problems>(())
//! ```

mod egress;
mod environment;
mod kafka;
mod problem;
mod read;
mod rule;
mod show;
mod table;
mod transcription;
mod typo;
mod variable;
mod worker;

pub use egress::EgressSettings;
pub use environment::Environment;
pub use kafka::{KAFKA_CONF_PREFIX, KafkaSettings, kafka_conf_variable};
pub use problem::{Problem, Problems};
pub use rule::Rule;
pub use show::show;
pub use table::{help_table, markdown_table};
pub use transcription::{CompressionUnit, Task, TranscriptionSettings, VadSettings};
pub use typo::warnings;
pub use variable::{VARIABLES, Variable};
pub use worker::{Device, HubSettings, WorkerSettings};
