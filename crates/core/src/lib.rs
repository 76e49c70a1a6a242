//! What stt-worker is made of, without any of the machinery: the values a job passes through, the seams behind which
//! the machinery stands, and the pure decisions about one job ([`Attempt`]) and about all of them ([`Ledger`]).
//!
//! `bytes -> Job -> Fetched -> Pcm -> Transcript -> Outcome -> Published -> Committed`: each value is made only by the
//! step before it. A [`Ticket`] travels along, is used up by publishing, and [`Ledger::settle`] takes only what
//! publishing returned; so a commit without an acknowledged publish does not compile, nor does settling twice.
//!
//! This crate does no IO of its own (subtitles go where the caller says), reads no clock but through [`Clock`], holds
//! no locks and writes no logs.

mod attempt;
mod audio;
mod backoff;
mod budget;
mod case;
mod clock;
mod cue;
mod delays;
mod detail;
mod failure;
mod ledger;
mod limits;
mod line;
mod number;
mod outcome;
mod record;
mod seam;
mod subtitle;
mod transcript;
mod twins;

pub use attempt::{Action, Attempt, Event, Verdict};
pub use audio::{Fetched, Pcm, SpillFile};
pub use backoff::Backoff;
pub use budget::{Budget, Cancel, Stop};
pub use case::{Case, RETRY_HEADERS};
pub use clock::{Clock, SystemClock};
pub use cue::Cue;
pub use delays::Delays;
pub use failure::{Failure, Fault, story};
pub use ledger::{Admitted, Assignment, Committed, Due, Ledger, Settled};
pub use limits::Limits;
pub use line::Line;
pub use outcome::{Outcome, OutcomeKind, Published, Receipt};
pub use record::{Delivery, Header, Partition, Ticket};
pub use seam::{
    Decode, Fetch, NotPublished, Publish, Source, SourceError, SourceEvent, Transact, Transacted, Transaction,
    Transcribe, TranscribeRequest,
};
pub use subtitle::{write_json, write_srt, write_txt, write_vtt};
pub use transcript::{Segment, Transcript, Word};
pub use twins::{JobKey, Twin, Twins};

/// Of the wire, what implementors of the seams and users of the values name.
pub use stt_schema::{AudioUrl, DetailLevel, ErrorCode, FailureStage, Language, UrlParts, is_hidden};
