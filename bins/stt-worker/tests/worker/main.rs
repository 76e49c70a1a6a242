//! The real binary, from outside.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod decoders;
mod end_to_end;
mod flat;
mod hostile;
mod outcomes;
mod place;
mod ports;
mod start;
mod support;
