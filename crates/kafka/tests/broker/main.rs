//! Everything that needs a broker, against the embedded one.

#![allow(clippy::unwrap_used)] // all of this is tests, also what stands outside of #[test]

mod bench;
mod contract;
mod lookup;
mod publish;
mod source;
mod support;
mod tools;
mod transact;
mod transactor;
