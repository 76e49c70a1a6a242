//! The whole life of a process that decodes.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Signal, set_parent_process_death_signal};
use stt_core::{Budget, Cancel, ErrorCode, Failure, SystemClock};

use super::contain::contain;
use super::descriptors::close_inherited;
use super::message::{Frame, Request, SAMPLES_MAX};
use crate::decode::is_starved;
use crate::{DecodeConfig, FfmpegDecode};

/// A process that was to decode cannot.
#[derive(Debug, thiserror::Error)]
pub enum DecodeChildError {
    /// Standard input is not the socket of an [`crate::IsolatedDecode`].
    #[error("standard input is no socket: this is started by the one who wants audio decoded")]
    NotStarted(#[source] io::Error),
    /// The process cannot be shut in, so that it must not decode.
    #[error("the process cannot be contained")]
    Contain(#[source] io::Error),
    /// The one who started it is gone, or does not speak as agreed.
    #[error("the one who started this is not understood")]
    Request(#[source] io::Error),
}

/// Decodes what it is asked to on standard input, a socket of [`crate::IsolatedDecode`], until that is closed. It must be the
/// first thing that `main` does: it closes every descriptor but the standard ones, gives up most rights ([`crate::contain`]),
/// and ends with whoever started it. The process can do little afterwards but end.
///
/// # Errors
/// When it was not started as said, or cannot be contained.
pub fn decode_child() -> Result<(), DecodeChildError> {
    let socket = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(DecodeChildError::NotStarted)?;
    rustix::net::sockopt::socket_type(&socket).map_err(|error| DecodeChildError::NotStarted(error.into()))?;
    drop(socket);
    close_inherited().map_err(DecodeChildError::Contain)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| DecodeChildError::Contain(error.into()))?;
    // Names for whoever looks at processes; and should memory run out, this one goes rather than the worker. Best efforts.
    let _ = rustix::thread::set_name(c"stt-decode");
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    read_time_zone();
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    let holds = contain().map_err(DecodeChildError::Contain)?;

    say(socket, &Frame::ready(holds)).map_err(DecodeChildError::Request)?;
    while let Some((request, media)) = hear(socket).map_err(DecodeChildError::Request)? {
        let verdict = match decode(socket, request, media) {
            Ok(damaged) => Frame::done(damaged > 0),
            Err(failure) => Frame::failed(&failure, is_starved(&failure)),
        };
        say(socket, &verdict).map_err(DecodeChildError::Request)?;
    }
    Ok(())
}

/// The first conversion of a date, as of one in a header, reads the file of the time zone: afterwards that would end the
/// process.
#[allow(unsafe_code)]
fn read_time_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: the process has one thread.
    unsafe { tzset() }
}

type Socket<'a> = std::os::fd::BorrowedFd<'a>;

/// How many packets were damaged.
fn decode(socket: Socket<'_>, request: Request, media: File) -> Result<u32, Failure> {
    let cancel = Cancel::default(); // a cancel is a kill
    let budget = Budget::new(&SystemClock, &cancel, request.allowed);
    let decoder = FfmpegDecode::new(DecodeConfig {
        duration_max: request.duration_max,
    });
    // Frames of audio are short; each write would wake the other side.
    let mut waiting: Vec<i16> = Vec::with_capacity(2 * SAMPLES_MAX);
    let damaged = decoder.decode_from(media, &budget, &mut |samples| {
        waiting.extend_from_slice(samples);
        while waiting.len() >= SAMPLES_MAX {
            give(socket, &waiting[..SAMPLES_MAX])?;
            waiting.drain(..SAMPLES_MAX);
        }
        Ok(())
    })?;
    give(socket, &waiting)?;
    Ok(damaged)
}

fn give(socket: Socket<'_>, samples: &[i16]) -> Result<(), Failure> {
    say(socket, &Frame::samples(samples))
        .map_err(|error| Failure::transient(ErrorCode::AudioDecodeFailed, "nobody listens").because(error))
}

fn say(socket: Socket<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(socket, bytes))?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// The next request and its media; `None` when there is none any more.
fn hear(socket: Socket<'_>) -> io::Result<Option<(Request, File)>> {
    let mut bytes = [0; Request::BYTES];
    let mut media = None;
    let mut read = 0;
    while read < bytes.len() {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        let mut parts = [IoSliceMut::new(&mut bytes[read..])];
        let came = rustix::io::retry_on_intr(|| recvmsg(socket, &mut parts, &mut beside, RecvFlags::CMSG_CLOEXEC))?;
        if let Some(descriptor) = first(&mut beside) {
            media = Some(descriptor.into());
        }
        match came.bytes {
            0 if read == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => read += bytes,
        }
    }
    let media = media.ok_or_else(|| io::Error::other("a request without media"))?;
    Ok(Some((Request::read(bytes), media)))
}

fn first(beside: &mut RecvAncillaryBuffer<'_>) -> Option<OwnedFd> {
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    };
    beside.drain().filter_map(rights).flatten().next()
}
