//! What only a real Apache Kafka can tell: `make test-kafka` runs it; it needs Java and Maven.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod commits;
mod contract;
#[path = "../broker/fixture.rs"]
mod fixture;
mod log_reset;
mod lookup;
#[allow(dead_code)] // the tests on the embedded broker use all of it
#[path = "../broker/support.rs"]
mod support;
mod transaction;
#[allow(dead_code)]
#[path = "../broker/worker.rs"]
mod worker;
