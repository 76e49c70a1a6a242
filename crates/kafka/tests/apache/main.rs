//! What only a real Apache Kafka can tell: `make test-kafka` runs it; it needs Java and Maven.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "../broker/bench.rs"]
mod bench;
mod commits;
mod contract;
#[allow(dead_code)] // the tests on the embedded broker use all of it
#[path = "../broker/support.rs"]
mod support;
mod transact;
#[allow(dead_code)]
#[path = "../broker/transactor.rs"]
mod transactor;
