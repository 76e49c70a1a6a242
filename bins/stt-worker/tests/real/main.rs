//! The engine on real models and real speech: `make test-real`. Left out by `cargo test`, and failing where the models are
//! missing: what was not run has not passed.

#![allow(clippy::disallowed_methods)] // the environment: there is no other way into a test

mod costs;
#[path = "../engine/golden.rs"]
mod golden;
mod int8;
mod loading;
mod parity;
mod site;
mod upstream;
