//! Several worker processes on one embedded broker, and what becomes of jobs when a worker is killed, leaves or is joined
//! by another, and when the broker fails.
//!
//! The workers are `stt-chaos worker`: the real pipeline and the real Kafka clients, at least once, with an engine that
//! does what a job's URL asks for. In every story the group's offsets are watched, and must never go back.

mod account;
mod brokers;
mod crashes;
mod members;
mod offsets;
mod records;
mod site;
mod stops;
mod worker;
