//! The real worker on a real Apache Kafka: what only that can show. `make test-kafka` runs it; it needs Java and Maven.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod credentials;
mod intruders;
mod members;
mod nodes;
mod outage;
mod retention;
mod rights;
mod site;
mod story;
mod topics;
#[allow(dead_code)] // the other tests of the worker use all of it
#[path = "../worker/support.rs"]
mod worker;
