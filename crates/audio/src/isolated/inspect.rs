//! What a decoding process says, without one: for `crates/fuzz`, and no part of what this crate promises to others.

use stt_core::Failure;

use super::message::Frame;

/// One of the things that a decoding process can say.
#[derive(Debug)]
pub enum Said {
    /// It has shut itself in: what holds.
    Ready(super::Containment),
    /// Samples.
    Samples(Vec<i16>),
    /// All is decoded.
    Done,
    /// It cannot be decoded.
    Failed(Failure),
}

/// Reads what comes from a decoding process, piece by piece.
#[derive(Debug, Default)]
pub struct Inbox(Vec<u8>);

impl Inbox {
    /// Takes a piece; what is whole with it. How many bytes wait for more of them.
    ///
    /// # Errors
    /// Why it is no answer.
    pub fn take(&mut self, piece: &[u8]) -> Result<(Vec<Said>, usize), &'static str> {
        self.0.extend(piece);
        let mut whole = vec![];
        while let Some(frame) = Frame::take(&mut self.0).map_err(|nonsense| nonsense.0)? {
            whole.push(match frame {
                Frame::Ready(holds) => Said::Ready(holds),
                Frame::Samples(samples) => Said::Samples(samples),
                Frame::Done { .. } => Said::Done,
                Frame::Failed { failure, .. } => Said::Failed(failure),
            });
        }
        Ok((whole, self.0.len()))
    }
}
