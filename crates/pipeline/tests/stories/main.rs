//! Jobs through the whole pipeline, over a broker in memory and scripted steps.

mod crashes;
mod exactly_once;
mod flow;
mod support;
mod twins;
