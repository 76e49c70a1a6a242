//! Reads results and dead letters, and shows them to people and to programs.
//!
//! Main type: [`Message`], one message read leniently; [`Show`] writes it as JSON, as a row or as bare text,
//! [`Subtitles`] as what players show, and [`follow`] brings one after the other. `stt-consume` is made of these, and so is the waiting of `stt-produce`; both
//! share the exit codes and the options that say where Kafka is.
//!
//! This crate never changes a message, never publishes or commits anything, and never hides one that it cannot read.
//!
//! ```
//! use stt_consume::{Format, Kind, Message, Show};
//!
//! let payload = br#"{"jobId":"job-1","status":"COMPLETED","transcriptText":"call me at nine"}"#;
//! let message = Message::read(Kind::Results, None, Some(payload));
//! let mut out = Vec::new();
//! Show::new(Format::Text, Kind::Results).write(&mut out, &message, None)?;
//! assert_eq!(out, b"call me at nine\n");
//! # Ok::<(), std::io::Error>(())
//! ```

mod column;
mod exit;
mod follow;
mod message;
mod options;
mod show;
mod subtitles;

pub use column::one_line;
pub use exit::{Exit, Failure, note, report, say};
pub use follow::{Followed, follow, trouble};
pub use message::{JobId, Kind, Message, Report};
pub use options::{Brokers, Format, seconds, text};
pub use show::Show;
pub use subtitles::Subtitles;
