//! A worker process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use stt_core::{Clock as _, SystemClock};

use crate::site::{PATIENCE, TICK};

pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Starts one. Its log, and whatever else it leaves, goes to `directory`.
    pub(crate) fn start(directory: &Path, name: &str, servers: &str, options: &[&str]) -> Self {
        let log = directory.join(format!("worker-{name}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_stt-chaos"));
        command.args(["worker", "--servers", servers, "--name", name]);
        command.args(["--parent", &std::process::id().to_string()]);
        command.arg("--tried").arg(directory).args(options);
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command.stderr(File::create_new(&log).expect("each worker has a name of its own"));
        Self {
            child: command.spawn().expect("the program was built for this test"),
            log,
        }
    }

    /// All that it has logged.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("it was made when the worker was started")
    }

    /// Waits until it has logged `text`.
    pub(crate) fn says(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said().contains(text) {
            let is_over = Instant::now() > deadline || !self.is_running();
            assert!(!is_over || self.said().contains(text), "no {text:?}:\n{}", self.said());
            SystemClock.sleep(TICK);
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        assert!(self.is_running(), "it ended before it was killed:\n{}", self.said());
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it was not waited for yet");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.said());
            SystemClock.sleep(TICK);
        }
    }

    /// SIGTERM, and an orderly end.
    pub(crate) fn leave(self) {
        self.terminate();
        let log = self.log.clone();
        let status = self.end();
        let said = std::fs::read_to_string(log).unwrap_or_default();
        assert!(status.success(), "{status}:\n{said}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}
