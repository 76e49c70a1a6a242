//! The seams: behind each stands one real thing and at least one other that passes the same contract.

mod publish;
mod source;
mod steps;
mod transact;

pub use publish::{NotPublished, Publish};
pub use source::{Source, SourceError, SourceEvent};
pub use steps::{Decode, Fetch, Transcribe, TranscribeRequest};
pub use transact::{Transact, Transacted, Transaction};
