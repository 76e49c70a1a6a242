//! What comes from a decoding process, which media may have taken over: held to what is promised about reading it.

use stt_audio::FfmpegDecode;
use stt_audio::inspect::{Inbox, Said};
use stt_core::{Fault, is_hidden};

/// In bytes: the head of a frame and the longest that follows it.
const FRAME_MAX: usize = 5 + 32 * 1024;

/// Holds the reading of answers to what is promised about it.
///
/// # Panics
/// When a promise is broken.
pub fn check(input: &[u8]) {
    let whole = Inbox::default().take(input);
    if let Ok((said, waiting)) = &whole {
        assert!(*waiting < FRAME_MAX, "{waiting} bytes wait for more");
        said.iter().for_each(is_bounded);
    }
    // In pieces it is the same, up to where it is no answer.
    let (mut inbox, mut so_far, step) = (Inbox::default(), vec![], (input.len() / 64).max(1));
    let pieces = input.chunks(step).try_for_each(|piece| {
        let (said, waiting) = inbox.take(piece)?;
        assert!(waiting < FRAME_MAX, "{waiting} bytes wait for more");
        so_far.extend(said);
        Ok(())
    });
    match (whole, pieces) {
        (Ok((said, _)), Ok(())) => assert_eq!(format!("{said:?}"), format!("{so_far:?}")),
        (whole, pieces) => assert_eq!(whole.err(), pieces.err()),
    }
}

fn is_bounded(said: &Said) {
    match said {
        Said::Samples(samples) => assert!(samples.len() <= 16 * 1024),
        Said::Failed(failure) => {
            assert!(FfmpegDecode::CODES.contains(&failure.code), "{failure:?}");
            let harmless = matches!(failure.fault, Fault::Permanent | Fault::Transient { after: None });
            assert!(harmless, "it can make the worker wait or end: {failure:?}");
            let chain = failure.error_chain();
            assert!(chain.len() <= 2_000 && !chain.contains(is_hidden), "{chain:?}");
        }
        Said::Ready(_) | Said::Done => {}
    }
}
