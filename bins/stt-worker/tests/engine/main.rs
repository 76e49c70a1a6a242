//! The engine on the model and the clips of `fixtures`: where there is a decoder too.

mod batching;
mod clips;
mod golden;
mod parity;
mod recommended;
