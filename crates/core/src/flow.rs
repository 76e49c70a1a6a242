//! The delivery decisions: which job runs when, what is published about it, which offsets are committed. Pure: no IO, no
//! clock, no locks, no logging.

mod commit_metadata;
mod config;
mod coordinator;
mod dedup;
mod delay_queue;
mod events;
mod incoming;
mod job;
mod partition;
mod ranges;
mod run_queue;
mod status;

pub use config::CoordinatorConfig;
pub use coordinator::Coordinator;
pub use events::{Exit, FailureLabel, FlowEvent, IgnoredReason, Input, JobLabel, Output, Report};
pub use incoming::{Form, IncomingJob, RETRY_HEADERS};
pub use status::{JobStatus, NotReady, OutcomeStatus, PartitionStatus, Status};
