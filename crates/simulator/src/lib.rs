//! Deterministic simulation of whole fleets of stt-worker in virtual time, against a simulated Kafka.
//!
//! A [`Script`] says what a fleet is made of and what happens to it. [`run`] plays it, with the coordinator and the loop that ship, and
//! judges every step by what must hold: nothing lost, nothing twice, no job held up by others, no lie in the status. The same
//! script always gives the same history. [`generate`] makes a script from a seed; [`shrink`] makes a failing one short.

mod consumer;
mod engine;
mod generate;
mod group;
mod log;
mod mutants;
mod oracle;
mod producer;
mod records;
mod run;
mod script;
mod shrink;
mod world;

pub use generate::generate;
pub use mutants::Mutant;
pub use run::{Report, run, trace};
pub use script::{Action, Class, Kind, Script, Setup, Step, Topic};
pub use shrink::shrink;
