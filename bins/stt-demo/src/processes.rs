//! Child processes that end when they are dropped, and when the demo ends in any other way.

mod orphan;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

/// How long a program may take to end after SIGTERM.
const STOP_WAIT: Duration = Duration::from_secs(40);
/// How long to wait for what an ended program still had to say.
const LOG_WAIT: Duration = Duration::from_secs(1);
/// Lines of stderr that are kept, the last ones.
const LOG_LINES_MAX: usize = 40;

/// A program could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    #[error("cannot start {}", program.display())]
    Start { program: OsString, source: io::Error },
    #[error("cannot wait for {name}")]
    Wait { name: &'static str, source: io::Error },
    #[error("{name} did not end within {} s of SIGTERM and was killed", STOP_WAIT.as_secs())]
    Killed { name: &'static str },
}

/// A running program, in a process group of its own: Ctrl-C reaches the demo alone, which ends the others in order.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    log_ended: Receiver<()>,
}

impl Program {
    /// Starts the program `name` of `folder` with these arguments and no environment but this one.
    ///
    /// Must be called by the main thread: the kernel ends the program when the thread that started it ends.
    /// `said` gets each line of its standard output, and then nothing, once.
    pub(crate) fn start<'e>(
        folder: &Path,
        name: &'static str,
        arguments: &[&str],
        environment: impl Iterator<Item = (&'e str, &'e OsStr)>,
        mut said: impl FnMut(Option<String>) + Send + 'static,
    ) -> Result<Self, ProcessError> {
        use std::os::unix::process::CommandExt;
        let path = folder.join(name);
        let mut command = Command::new(&path);
        command.args(arguments).env_clear().envs(environment);
        command.process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        orphan::end_with_parent(&mut command);
        let mut child = command.spawn().map_err(|source| ProcessError::Start {
            program: path.into_os_string(),
            source,
        })?;

        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        std::thread::spawn(move || {
            each_line(stdout, |line| said(Some(line)));
            said(None);
        });
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (ended, log_ended) = mpsc::channel();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            each_line(stderr, |line| keep(&kept, line));
            drop(ended);
        });
        Ok(Self {
            name,
            child,
            log,
            log_ended,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Writes to its standard input and closes it. A program that does not read to the end tells why by its exit.
    pub(crate) fn feed(&mut self, text: &str) {
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = stdin.write_all(text.as_bytes());
        }
    }

    /// Its exit status, when it ends within `wait`.
    pub(crate) fn ended(&mut self, wait: Duration) -> Result<Option<ExitStatus>, ProcessError> {
        let failed = |source| ProcessError::Wait {
            name: self.name,
            source,
        };
        if let Some(status) = self.child.try_wait().map_err(failed)? {
            return Ok(Some(status));
        }
        let ends = rustix::process::pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty());
        let ends = ends.map_err(|error| failed(error.into()))?;
        let wait = Timespec::try_from(wait).map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut [PollFd::new(&ends, PollFlags::IN)], Some(&wait)))
            .map_err(|error| failed(error.into()))?;
        self.child.try_wait().map_err(failed)
    }

    /// Ends it: SIGTERM, and SIGKILL when it takes too long. Its exit status.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus, ProcessError> {
        if let Some(status) = self.ended(Duration::ZERO)? {
            return Ok(status);
        }
        // Not yet waited for, so the id is still its own.
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        match self.ended(STOP_WAIT)? {
            Some(status) => Ok(status),
            None => Err(self.kill()),
        }
    }

    /// What it last wrote to standard error.
    pub(crate) fn log(&self) -> String {
        let _ = self.log_ended.recv_timeout(LOG_WAIT);
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let indented = lines.iter().map(|line| format!("  {line}"));
        indented.collect::<Vec<_>>().join("\n")
    }

    fn kill(&mut self) -> ProcessError {
        let _ = self.child.kill();
        let _ = self.child.wait();
        ProcessError::Killed { name: self.name }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.stop().is_err() {
            self.kill();
        }
    }
}

fn each_line(from: Option<impl Read>, mut line: impl FnMut(String)) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    while from.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        line(String::from_utf8_lossy(&bytes).trim_end().to_owned());
        bytes.clear();
    }
}

fn keep(log: &Mutex<VecDeque<String>>, line: String) {
    let mut lines = log.lock().unwrap_or_else(PoisonError::into_inner);
    lines.push_back(line);
    if lines.len() > LOG_LINES_MAX {
        lines.pop_front();
    }
}
