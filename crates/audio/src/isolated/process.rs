//! One decoder, from outside: started, limited, asked, ended.

use std::fs;
use std::io::{self, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, pidfd_open, prlimit};
use stt_core::{Budget, Failure, Stop};

use super::contain::Containment;
use super::message::{Frame, Nonsense, Request};
use super::{DecodeChild, IsolationConfig};

/// How often it is looked whether a cancel came.
const TICK: Duration = Duration::from_millis(10);
/// How long a process may take to end once it has closed its socket or was killed.
const END_WAIT: Duration = Duration::from_secs(1);
/// Most bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Why there is no verdict, and no use for the process any more.
#[derive(Debug)]
pub(super) enum End {
    /// It ended by itself, or closed its socket.
    Gone,
    /// The budget is over.
    Stopped(Stop),
    /// Its answer is none.
    Nonsense(Nonsense),
    /// The system refuses what speaking to it needs.
    System(io::Error),
}

impl From<Nonsense> for End {
    fn from(nonsense: Nonsense) -> Self {
        Self::Nonsense(nonsense)
    }
}

/// A decoder's word on the media.
#[derive(Debug)]
pub(super) enum Verdict {
    /// All samples were given.
    Done {
        /// But for what was damaged.
        damaged: bool,
    },
    /// It cannot be decoded.
    Failed {
        failure: Failure,
        /// For want of memory.
        starved: bool,
    },
}

/// A running decoder.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    inbox: Vec<u8>,
    began: Instant,
    /// Jobs it was asked to do.
    pub(super) jobs: u32,
    cpu_seconds_max: Option<u64>,
}

impl Process {
    /// Starts one. Its limits come when it is ready: before that it is only our own program.
    pub(super) fn start(child: &DecodeChild) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let child = Command::new(&child.program)
            .args(&child.arguments)
            .env_clear()
            .envs(child.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0) // a Ctrl-C is for the worker, which lets jobs end
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            socket,
            inbox: vec![],
            began: Instant::now(),
            jobs: 0,
            cpu_seconds_max: None,
        })
    }

    /// Waits until it has shut itself in, and limits its memory.
    pub(super) fn ready(&mut self, config: &IsolationConfig, budget: &Budget<'_>) -> Result<Containment, End> {
        let deadline = budget.clock().now() + config.start_wait;
        let Frame::Ready(holds) = self.next_frame(budget, deadline)? else {
            return Err(Nonsense("another answer than that it is ready").into());
        };
        self.limit_memory(config.memory_bytes_max).map_err(End::System)?;
        Ok(holds)
    }

    /// What may be mapped, beyond what is by now: programs and their libraries differ.
    fn limit_memory(&self, bytes_max: u64) -> io::Result<()> {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages: Option<u64> = pages.split(' ').next().and_then(|pages| pages.parse().ok());
        let pages = pages.ok_or_else(|| io::Error::other("statm without a number"))?;
        let mapped = pages.saturating_mul(rustix::param::page_size() as u64);
        self.limit(Resource::As, mapped.saturating_add(bytes_max))
    }

    /// What it has used of the processor so far. One thread uses no more than time has passed.
    fn cpu_used(&self) -> Duration {
        let ticks = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
            // The name, in parentheses, is the second field and may hold anything; utime and stime are the 14th and 15th.
            let (_, fields) = stat.rsplit_once(") ")?;
            let mut fields = fields.split(' ').skip(11);
            let mut next = || fields.next()?.parse::<u64>().ok();
            Some(next()? + next()?)
        };
        let second = rustix::param::clock_ticks_per_second();
        ticks().map_or_else(
            || self.began.elapsed(),
            |ticks| Duration::from_millis(ticks.saturating_mul(1_000) / second),
        )
    }

    /// The process may be stopped by it where whoever should kill it cannot.
    fn limit_cpu(&mut self, more: Duration, jobs_max: u32) -> io::Result<()> {
        // The limit has whole seconds.
        let seconds = self.cpu_used().saturating_add(more).as_secs() + 1;
        // The soft limit's signal could be caught; the hard one kills. It cannot be raised again, so it is for all jobs.
        let maximum = self.cpu_seconds_max.get_or_insert_with(|| {
            let all = more.saturating_mul(jobs_max).as_secs();
            seconds.saturating_add(all).saturating_add(60)
        });
        let current = seconds.min(*maximum);
        let (current, maximum) = (Some(current), Some(*maximum));
        self.set(Resource::Cpu, Rlimit { current, maximum })
    }

    fn limit(&self, resource: Resource, most: u64) -> io::Result<()> {
        let (current, maximum) = (Some(most), Some(most));
        self.set(resource, Rlimit { current, maximum })
    }

    fn set(&self, resource: Resource, limit: Rlimit) -> io::Result<()> {
        match prlimit(Some(Pid::from_child(&self.child)), resource, limit) {
            Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(()), // who is gone needs none
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it waits for its next job, as far as can be seen: it is there and has nothing to say.
    pub(super) fn is_idle(&self) -> bool {
        let mut socket = [PollFd::new(&self.socket, PollFlags::IN)];
        self.inbox.is_empty() && poll(&mut socket, Some(&Timespec::default())) == Ok(0)
    }

    /// Has `media` decoded; `take` gets the samples.
    pub(super) fn decode(
        &mut self,
        media: BorrowedFd<'_>,
        config: &IsolationConfig,
        budget: &Budget<'_>,
        take: &mut dyn FnMut(&[i16]) -> Result<(), Nonsense>,
    ) -> Result<Verdict, End> {
        self.jobs += 1;
        let allowed = budget.remaining();
        let duration_max = config.decode.duration_max;
        let cpu_max = config.cpu_max.unwrap_or(Duration::MAX);
        self.limit_cpu(allowed.min(cpu_max), config.jobs_max)
            .map_err(End::System)?;
        let request = Request { duration_max, allowed };
        self.ask(request, media)?;
        let deadline = budget.deadline();
        loop {
            match self.next_frame(budget, deadline)? {
                Frame::Samples(samples) => take(&samples)?,
                Frame::Done { damaged } => return Ok(Verdict::Done { damaged }),
                Frame::Failed { failure, starved } => return Ok(Verdict::Failed { failure, starved }),
                Frame::Ready(_) => return Err(Nonsense("ready in the middle of a job").into()),
            }
        }
    }

    fn ask(&self, request: Request, media: BorrowedFd<'_>) -> Result<(), End> {
        let bytes = request.bytes();
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut room);
        let descriptors = [media];
        let fits = beside.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "the room is for one descriptor");
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL)
        });
        match sent {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Err(Nonsense("no room for a request").into()),
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Err(End::Gone),
            Err(error) => Err(End::System(error.into())),
        }
    }

    /// The next frame, unless the budget or `deadline` comes first.
    fn next_frame(&mut self, budget: &Budget<'_>, deadline: Instant) -> Result<Frame, End> {
        loop {
            if let Some(frame) = Frame::take(&mut self.inbox)? {
                return Ok(frame);
            }
            budget.check().map_err(End::Stopped)?;
            let left = deadline.saturating_duration_since(budget.clock().now());
            if left.is_zero() {
                return Err(End::Stopped(Stop::Expired));
            }
            wait(self.socket.as_fd(), left.min(TICK)).map_err(End::System)?;
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<(), End> {
        let whole = self.inbox.len();
        self.inbox.resize(whole + READ_BYTES, 0);
        let read = self.socket.read(&mut self.inbox[whole..]);
        self.inbox.truncate(whole + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err(End::Gone),
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Err(End::Gone),
                _ => Err(End::System(error)),
            },
        }
    }

    /// How it ended by itself; `None` when it still runs a second later.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        wait_for(&mut self.child)
    }

    /// Kills it. What cannot be waited for within a second, as the kernel holds it, is given back.
    pub(super) fn kill(mut self) -> Option<Child> {
        let _ = self.child.kill(); // it may have ended already
        wait_for(&mut self.child).is_none().then_some(self.child)
    }
}

fn wait(descriptor: BorrowedFd<'_>, time: Duration) -> io::Result<()> {
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn wait_for(child: &mut Child) -> Option<ExitStatus> {
    if let Ok(process) = pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
        let deadline = Instant::now() + END_WAIT;
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || wait(process.as_fd(), left).is_err() {
                return None;
            }
        }
    }
    // Without such descriptors (an old kernel, a strict sandbox) it is looked now and then.
    let deadline = Instant::now() + END_WAIT;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => {
                let tick = Timespec::try_from(TICK).expect("a short time");
                let _ = poll(&mut [], Some(&tick));
            }
            ended => return ended.ok().flatten(),
        }
    }
}
