//! One broker's process.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Trouble;
use super::library::Library;
use super::trouble::failed;

/// Longest wait for a broker to be ready: a machine that is busy with a build is slow.
const READY_WAIT: Duration = Duration::from_secs(120);
/// Longest wait for it to end on SIGTERM.
const STOP_WAIT: Duration = Duration::from_secs(60);
/// How often its log is read while it starts.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What its log says when it is ready.
const STARTED: &str = "Kafka Server started";

/// Starts a program, sends it the signals that it reads as lines, and kills it when there will be no more, which is also
/// when the process that writes them ends, in whatever way. Its output is closed when the program has ended.
const WATCH: &str = r#"
"$@" 2>&1 &
exec >&- 2>&-
while read -r signal; do kill -s "$signal" $!; done
kill -s KILL $!
wait
"#;

/// A running broker.
pub(super) struct Node {
    watch: Child,
    /// Closed when the broker has ended, after what it said.
    ended: Receiver<String>,
    log: PathBuf,
}

impl Node {
    /// Starts a broker with this configuration; [`Node::wait_until_ready`] waits for it.
    pub(super) fn start(library: &Library, properties: &Path, log: PathBuf) -> Result<Self, Trouble> {
        let _ = fs::remove_file(&log); // of its last run; usually there is none
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCH, "watch", "java"]);
        command
            .args(library.arguments("256m", &log))
            .arg("kafka.Kafka")
            .arg(properties);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // Not with the group, which Ctrl-C ends.
        let watch = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn();
        let mut watch = watch.map_err(failed("cannot run /bin/sh"))?;
        let mut output = watch.stdout.take().expect("it was asked for");
        let (end, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = output.read_to_end(&mut said); // what was read so far is told
            end.send(String::from_utf8_lossy(&said).into_owned()).ok();
        });
        Ok(Self { watch, ended, log })
    }

    pub(super) fn wait_until_ready(&self) -> Result<(), Trouble> {
        self.wait_until_said(&[STARTED.to_owned()], 0)
    }

    /// What its log holds.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default() // nothing yet
    }

    /// Waits for a line of its log with all these words, behind so many bytes.
    pub(super) fn wait_until_said(&self, words: &[String], behind: usize) -> Result<(), Trouble> {
        let deadline = Instant::now() + READY_WAIT;
        loop {
            let log = self.said();
            let mut lines = log.get(behind..).unwrap_or_default().lines();
            if lines.any(|line| words.iter().all(|word| line.contains(word))) {
                return Ok(());
            }
            let problem = match self.ended.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => continue,
                Err(RecvTimeoutError::Timeout) => format!("did not say {words:?} within {READY_WAIT:?}"),
                Ok(said) => format!("has ended: {said}"),
                Err(RecvTimeoutError::Disconnected) => "has ended".to_owned(),
            };
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            return Err(Trouble::new(format!("the broker {problem}\n{tail}")));
        }
    }

    /// Sends a signal, as in `STOP`.
    pub(super) fn signal(&mut self, signal: &str) -> Result<(), Trouble> {
        let stdin = self.watch.stdin.as_mut().expect("closed only when dropped");
        stdin
            .write_all(format!("{signal}\n").as_bytes())
            .map_err(failed(format_args!("cannot send SIG{signal} to a broker")))
    }

    /// SIGTERM, and its orderly end.
    pub(super) fn stop(mut self) -> Result<(), Trouble> {
        self.signal("TERM")?;
        match self.ended.recv_timeout(STOP_WAIT) {
            Err(RecvTimeoutError::Timeout) => Err(Trouble::new(format!(
                "the broker does not end within {STOP_WAIT:?} of SIGTERM"
            ))),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Ok(()),
        }
    }
}

/// SIGKILL, and nothing is left of it.
impl Drop for Node {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait(); // the shell ends when the broker has
    }
}
