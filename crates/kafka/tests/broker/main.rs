//! Everything that needs a broker, against the embedded one.

#![allow(clippy::unwrap_used)] // all of this is tests, also what stands outside of #[test]

mod consumer;
mod contract;
mod fixture;
mod lookup;
mod sink;
mod support;
mod tools;
mod transaction;
mod worker;
