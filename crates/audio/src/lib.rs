//! Audio from strangers: [`HttpFetch`] downloads what a job's URL leads to, [`FfmpegDecode`] turns it into samples, and
//! [`IsolatedDecode`] does so in processes that a crash may end and that can do nothing else ([`decode_child`]).
//!
//! Both expect the worst of their input. A download reaches only public addresses and those the operator opened, at every
//! redirect, and ends at a number of bytes and of seconds; decoding opens only formats and codecs from a list, touches no file or network
//! but the bytes given, and ends at a number of samples.
//!
//! This crate never retries, reads no environment (proxy variables included), and shows no URL with its path or query unless told to ([`FetchConfig::urls_shown`]).
//!
//! ```
//! use std::time::Duration;
//! use stt_audio::{DecodeConfig, FetchConfig, FfmpegDecode, HttpFetch};
//! use stt_core::{Budget, Cancel, Decode, ErrorCode, Fetch, SystemClock};
//!
//! let fetch = HttpFetch::new(FetchConfig::default())?;
//! let decode = FfmpegDecode::new(DecodeConfig::default());
//! let cancel = Cancel::default();
//! let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(30));
//!
//! let url = "http://127.0.0.1/note.ogg".parse()?;
//! match fetch.fetch(&url, &budget) {
//!     Ok(media) => println!("{:?}", decode.decode(&media, &budget)?.duration()),
//!     Err(failure) => assert_eq!(failure.code, ErrorCode::SsrfBlocked),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod fetch;
mod guard;
mod isolated;
mod rule;

pub use decode::{DecodeConfig, FfmpegDecode};
pub use fetch::{
    BadFetchConfig, BadProxy, BadRoots, EgressProxy, FetchConfig, HttpFetch, LocalFault, Lookup, PausedHost,
    PrivateRoots, SystemLookup, free_bytes, open_private_dir,
};
pub use guard::{Denied, Guard, classify};
pub use ipnet::Ipv6Net;
pub use isolated::{
    Containment, DecodeChild, DecodeChildError, DecodeStats, IsolatedDecode, IsolationConfig, contain, decode_child,
};
/// For `crates/fuzz`: what servers and decoding processes say, without either.
#[doc(hidden)]
pub mod inspect {
    pub use crate::fetch::inspect::{Echo, redirected};
    pub use crate::isolated::inspect::{Inbox, Said};
}
pub use rule::{AddressRule, BadRule};
