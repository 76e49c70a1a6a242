//! The values that a job passes through, its limits, and time.

mod audio;
mod backoff;
mod budget;
mod clock;
mod cue;
mod detail;
mod failure;
mod limits;
pub(crate) mod number;
mod outcome;
mod record;
mod site;
mod subtitle;
pub(crate) mod trace;
mod transcript;

pub use audio::{Fetched, Pcm, SpillFile};
pub use backoff::Backoff;
pub use budget::{Budget, Cancel, Stop};
pub use clock::{Clock, SystemClock};
pub use cue::Cue;
pub use failure::{Failure, Fault, error_chain};
pub use limits::Limits;
pub use outcome::{Destination, Outcome, OutcomeKind, OutcomeRecord};
pub use record::{Delivery, Header, JobId, Partition};
pub use site::Site;
pub use subtitle::{write_json, write_srt, write_txt, write_vtt};
pub use trace::TraceContext;
pub use transcript::{Segment, Transcript, Word};
