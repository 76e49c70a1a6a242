//! What a decoder and the one who started it say to each other, on one stream socket.
//!
//! A request is 16 bytes with the media's descriptor beside them: the longest audio and the time left, in ns. An answer is
//! frames, each a tag, the length of what follows (4 bytes) and that: `R` ready, once; `S` samples; then `D` done or `F` a
//! failure. Numbers are little-endian. Answers come from a process that may be in a stranger's hand.

use std::time::Duration;

use stt_core::{Failure, Fault, is_hidden};

use super::contain::Containment;
use crate::FfmpegDecode;

/// Most samples in a frame.
pub(super) const SAMPLES_MAX: usize = 16 * 1024;
/// Most bytes of a failure's message, and of its cause.
const TEXT_MAX: usize = 300;
/// Most bytes in a frame.
const BYTES_MAX: usize = 2 * SAMPLES_MAX;
const HEAD: usize = 5;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Longest audio.
    pub(super) duration_max: Duration,
    /// Time for it.
    pub(super) allowed: Duration,
}

impl Request {
    pub(super) const BYTES: usize = 16;

    pub(super) fn bytes(self) -> [u8; Self::BYTES] {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).to_le_bytes();
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&nanos(self.duration_max));
        bytes[8..].copy_from_slice(&nanos(self.allowed));
        bytes
    }

    pub(super) fn read(bytes: [u8; Self::BYTES]) -> Self {
        let nanos = |at: usize| {
            let number = bytes[at..at + 8].try_into().expect("a range of 8 bytes");
            Duration::from_nanos(u64::from_le_bytes(number))
        };
        Self {
            duration_max: nanos(0),
            allowed: nanos(8),
        }
    }
}

/// A frame of an answer.
#[derive(Debug)]
pub(super) enum Frame {
    Ready(Containment),
    Samples(Vec<i16>),
    /// All is decoded.
    Done {
        /// But for what was damaged.
        damaged: bool,
    },
    Failed {
        failure: Failure,
        /// Whether it was for want of memory.
        starved: bool,
    },
}

/// These bytes are no answer; says why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nonsense(pub(super) &'static str);

impl Frame {
    pub(super) fn ready(holds: Containment) -> Vec<u8> {
        frame(b'R', &[u8::from(holds.seccomp), holds.landlock])
    }

    /// At most [`SAMPLES_MAX`] of them.
    pub(super) fn samples(samples: &[i16]) -> Vec<u8> {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        frame(b'S', &bytes)
    }

    pub(super) fn done(damaged: bool) -> Vec<u8> {
        frame(b'D', &[u8::from(damaged)])
    }

    pub(super) fn failed(failure: &Failure, starved: bool) -> Vec<u8> {
        let code = FfmpegDecode::CODES.iter().position(|code| *code == failure.code);
        // What is not on the list cannot come from decoding alone.
        let code = code.unwrap_or(3);
        // A disk that broke is worth another try; only the worker itself may say that it should wait.
        let again = matches!(
            failure.fault,
            Fault::Transient { .. } | Fault::WorkerLocal | Fault::NoRoom
        );
        let cause = failure
            .source
            .as_ref()
            .map(|cause| stt_core::error_chain(cause.as_ref()));
        let (message, cause) = (plain(&failure.message), plain(&cause.unwrap_or_default()));
        let message_bytes = u16::try_from(message.len()).expect("plain text is short");
        let flags = u8::from(again) | u8::from(starved) << 1;
        let mut bytes = vec![u8::try_from(code).expect("a short list"), flags];
        bytes.extend(message_bytes.to_le_bytes());
        bytes.extend(message.bytes());
        bytes.extend(cause.bytes());
        frame(b'F', &bytes)
    }

    /// Takes the frame that `inbox` begins with out of it; `None` while it is not whole.
    pub(super) fn take(inbox: &mut Vec<u8>) -> Result<Option<Self>, Nonsense> {
        let Some((&[tag, a, b, c, d], rest)) = inbox.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > BYTES_MAX {
            return Err(Nonsense("a frame that is too long"));
        }
        let Some(bytes) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Self::read(tag, bytes)?;
        inbox.drain(..HEAD + length);
        Ok(Some(frame))
    }

    fn read(tag: u8, bytes: &[u8]) -> Result<Self, Nonsense> {
        match (tag, bytes) {
            (b'R', [seccomp @ 0..=1, landlock]) => Ok(Self::Ready(Containment {
                seccomp: *seccomp == 1,
                landlock: *landlock,
            })),
            (b'S', bytes) if bytes.len() % 2 == 0 => Ok(Self::Samples(
                bytes
                    .chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect(),
            )),
            (b'D', [damaged @ 0..=1]) => Ok(Self::Done { damaged: *damaged == 1 }),
            (b'F', [code, flags @ 0..=3, a, b, text @ ..]) => {
                let code = *FfmpegDecode::CODES
                    .get(usize::from(*code))
                    .ok_or(Nonsense("a failure that is not of decoding"))?;
                let (message, cause) = text
                    .split_at_checked(usize::from(u16::from_le_bytes([*a, *b])))
                    .ok_or(Nonsense("a failure that is cut off"))?;
                let text = |bytes| plain(&String::from_utf8_lossy(bytes));
                let failure = match flags & 1 {
                    0 => Failure::permanent(code, text(message)),
                    _ => Failure::transient(code, text(message)),
                };
                let failure = if cause.is_empty() {
                    failure
                } else {
                    failure.because(text(cause))
                };
                let starved = flags & 2 != 0;
                Ok(Self::Failed { failure, starved })
            }
            _ => Err(Nonsense("a frame of no known kind")),
        }
    }
}

fn frame(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("frames are short");
    let mut frame = vec![tag];
    frame.extend(length.to_le_bytes());
    frame.extend(bytes);
    frame
}

/// A line that a log can hold: short, without control characters.
fn plain(text: &str) -> String {
    let mut end = TEXT_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let char = |char: char| if is_hidden(char) { ' ' } else { char };
    text[..end].chars().map(char).collect()
}

#[cfg(test)]
mod tests {
    use stt_core::ErrorCode;

    use super::*;

    fn take(mut bytes: Vec<u8>) -> Result<Option<Frame>, Nonsense> {
        Frame::take(&mut bytes)
    }

    fn failed(code: u8, again: u8, length: u16, text: &[u8]) -> Vec<u8> {
        let [a, b] = length.to_le_bytes();
        frame(b'F', &[&[code, again, a, b], text].concat())
    }

    #[test]
    fn nonsense_is_told_from_what_is_not_whole_yet() {
        for bytes in [
            frame(b'X', &[]),
            frame(b'D', &[]),
            frame(b'D', &[2]),
            frame(b'R', &[2, 0]),
            frame(b'R', &[4]),
            frame(b'R', &[]),
            frame(b'S', &[1]),
            frame(b'F', &[0, 0]),
            failed(6, 0, 0, b""),
            failed(0, 4, 0, b""),
            failed(0, 0, 5, b"four"),
            b"S\xff\xff\xff\xff".to_vec(),
        ] {
            assert!(take(bytes.clone()).is_err(), "{bytes:?}");
        }
        let whole = Frame::samples(&[1, -2]);
        for end in 0..whole.len() {
            assert!(take(whole[..end].to_vec()).unwrap().is_none());
        }
    }

    #[test]
    fn a_failure_is_a_short_line_whatever_it_was_made_of() {
        let text = "a\u{1b}[31m\nb\0\u{202e}\u{2028}".repeat(1_000);
        let Some(Frame::Failed { failure, .. }) = take(failed(3, 0, 9_000, text.as_bytes())).unwrap() else {
            panic!("it is a failure");
        };
        let story = failure.error_chain();
        assert!(
            failure.message.len() <= TEXT_MAX && story.len() <= 2 * TEXT_MAX + 2,
            "{story}"
        );
        assert!(!story.contains(is_hidden), "{story:?}");
        let Some(Frame::Failed { failure, .. }) = take(failed(3, 0, 2, b"\xff\xfe")).unwrap() else {
            panic!("it is a failure");
        };
        assert_eq!(failure.message, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        let request = Request {
            duration_max: Duration::from_secs(600),
            allowed: Duration::from_millis(1_500),
        };
        assert_eq!(Request::read(request.bytes()), request);

        let said = Failure::permanent(ErrorCode::AudioTooLong, "longer than 1s").because("a clock".to_owned());
        let again = Failure::transient(ErrorCode::AudioDecodeFailed, "not read");
        let mut inbox = [
            Frame::samples(&[i16::MIN, 0, i16::MAX]),
            Frame::failed(&said, true),
            Frame::failed(&again, false),
            Frame::done(true),
        ]
        .concat();
        assert!(
            matches!(Frame::take(&mut inbox), Ok(Some(Frame::Samples(samples))) if samples == [i16::MIN, 0, i16::MAX])
        );
        for (said, is_starved) in [(said, true), (again, false)] {
            let Ok(Some(Frame::Failed {
                failure: heard,
                starved,
            })) = Frame::take(&mut inbox)
            else {
                panic!("it is a failure");
            };
            assert_eq!(starved, is_starved);
            assert_eq!(
                (heard.code, heard.fault, heard.error_chain()),
                (said.code, said.fault, said.error_chain())
            );
        }
        assert!(matches!(
            Frame::take(&mut inbox),
            Ok(Some(Frame::Done { damaged: true }))
        ));
        assert!(inbox.is_empty());
    }
}
