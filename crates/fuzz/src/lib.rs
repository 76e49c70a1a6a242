//! What strangers write, held to what is promised about it: each module is one fuzz target, and its `check` panics when an
//! input breaks a promise. They do no IO.
//!
//! How to run them, and what to do with a finding: `docs/testing.md`.

pub mod child;
pub mod decode;
pub mod job;
pub mod ports;
pub mod redirect;
pub mod response;
pub mod url_guard;
