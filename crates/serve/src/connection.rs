//! One connection, from its first byte to its end, without waiting.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Take, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::{BadRequest, Limits, Reply, Request};

/// Most bytes read or written in one turn, so that connections take turns.
const TURN_BYTES: usize = 64 << 10;

/// How long, and for how many bytes, what a client still sends is read after the reply. Closing at once would have the
/// kernel reset the connection, and the client could lose the reply that it has not read yet (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    state: State,
    /// When it is closed unless something happens.
    deadline: Instant,
}

#[derive(Debug)]
enum State {
    Reading(Vec<u8>),
    Writing {
        bytes: Vec<u8>,
        written: usize,
        file: Option<Take<File>>,
    },
    Lingering {
        read: usize,
    },
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    Close,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, now: Instant, limits: &Limits) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            state: State::Reading(Vec::new()),
            deadline: now + limits.head_wait,
        })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What it waits for.
    pub(crate) fn interest(&self) -> PollFlags {
        match self.state {
            State::Writing { .. } => PollFlags::OUT,
            State::Reading(_) | State::Lingering { .. } => PollFlags::IN,
        }
    }

    /// Which one is closed first to make room: those with their reply, then those without a request, then slow readers;
    /// among equals the one whose time is up first.
    pub(crate) fn rank(&self) -> (u8, Instant) {
        let rank = match self.state {
            State::Lingering { .. } => 0,
            State::Reading(_) => 1,
            State::Writing { .. } => 2,
        };
        (rank, self.deadline)
    }

    /// Goes on as far as the socket lets it.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        limits: &Limits,
        answer: &mut dyn FnMut(Result<&Request, BadRequest>) -> Reply,
    ) -> Next {
        match &self.state {
            State::Reading(_) => self.read(now, limits, answer),
            State::Writing { .. } => self.write(now, limits),
            State::Lingering { .. } => self.linger(),
        }
    }

    fn read(
        &mut self,
        now: Instant,
        limits: &Limits,
        answer: &mut dyn FnMut(Result<&Request, BadRequest>) -> Reply,
    ) -> Next {
        let State::Reading(head) = &mut self.state else {
            return Next::Close;
        };
        let known = head.len();
        head.resize(limits.head_bytes_max, 0);
        let read = self.stream.read(&mut head[known..]);
        head.truncate(known + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => return Next::Close,
            Ok(_) => {}
            Err(error) => return after(&error),
        }
        let request = match Request::parse(head, limits.head_bytes_max) {
            Ok(None) => return Next::Wait,
            Ok(Some(request)) => Ok(request),
            Err(error) => Err(error),
        };
        let is_head = request.as_ref().is_ok_and(Request::is_head);
        let (bytes, file) = answer(request.as_ref().map_err(|error| *error)).into_parts(is_head);
        self.state = State::Writing {
            bytes,
            written: 0,
            file,
        };
        self.write(now, limits)
    }

    fn write(&mut self, now: Instant, limits: &Limits) -> Next {
        let State::Writing { bytes, written, file } = &mut self.state else {
            return Next::Close;
        };
        self.deadline = now + limits.silence_max;
        loop {
            if *written == bytes.len() {
                match refill(bytes, file) {
                    Ok(true) => *written = 0,
                    Ok(false) => break,
                    Err(()) => return Next::Close,
                }
            }
            match self.stream.write(&bytes[*written..]) {
                Ok(0) => return Next::Close,
                Ok(count) => *written += count,
                Err(error) => return after(&error),
            }
            if *written == bytes.len() && file.is_some() {
                return Next::Wait; // it is the turn of others
            }
        }
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return Next::Close;
        }
        self.deadline = now + LINGER;
        self.state = State::Lingering { read: 0 };
        self.linger()
    }

    fn linger(&mut self) -> Next {
        let State::Lingering { read } = &mut self.state else {
            return Next::Close;
        };
        let mut waste = [0; 4096];
        for _ in 0..TURN_BYTES / waste.len() {
            match self.stream.read(&mut waste) {
                Ok(0) => return Next::Close,
                Ok(count) => *read += count,
                Err(error) => return after(&error),
            }
        }
        if *read < LINGER_BYTES_MAX {
            Next::Wait
        } else {
            Next::Close
        }
    }
}

/// The next part of the file; whether there is one. A file that has become shorter cannot be ended as promised.
fn refill(bytes: &mut Vec<u8>, file: &mut Option<Take<File>>) -> Result<bool, ()> {
    let Some(rest) = file else { return Ok(false) };
    if rest.limit() == 0 {
        *file = None;
        return Ok(false);
    }
    bytes.clear();
    match rest.by_ref().take(TURN_BYTES as u64).read_to_end(bytes) {
        Ok(0) | Err(_) => Err(()),
        Ok(_) => Ok(true),
    }
}

fn after(error: &std::io::Error) -> Next {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Next::Wait,
        _ => Next::Close,
    }
}
