//! The real worker as a child process, told everything and asked by its log.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for anything; a test that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A file or directory of `fixtures`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(path)
}

pub(crate) struct Worker {
    child: Child,
    lines: Receiver<String>,
    /// Everything it has said so far, on both streams.
    pub(crate) said: String,
}

impl Worker {
    /// Starts it with these arguments and variables, and no others.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_by(env!("CARGO_BIN_EXE_stt-worker"), arguments, variables)
    }

    /// By a program that becomes it.
    pub(crate) fn start_by(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        let (line, lines) = mpsc::channel();
        forward(child.stdout.take(), line.clone());
        forward(child.stderr.take(), line);
        Self {
            child,
            lines,
            said: String::new(),
        }
    }

    /// What follows `text` on the first line that holds it.
    pub(crate) fn says(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        self.hear();
        loop {
            if let Some((_, rest)) = self.said.lines().find_map(|line| line.split_once(text)) {
                return rest.to_owned();
            }
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.said.extend([line.as_str(), "\n"]),
                Err(_) => panic!("the worker did not say {text:?}:\n{}", self.said),
            }
        }
    }

    /// Takes what it has said meanwhile.
    pub(crate) fn hear(&mut self) {
        for line in self.lines.try_iter() {
            self.said.extend([line.as_str(), "\n"]);
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it was not waited for yet");
    }

    /// Its exit status, once it has closed its streams.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.said.extend([line.as_str(), "\n"]),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.child.wait().expect("it is our child"),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the worker does not end:\n{}", self.said),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

fn forward(from: Option<impl Read + Send + 'static>, to: mpsc::Sender<String>) {
    let from = BufReader::new(from.expect("it was asked for"));
    std::thread::spawn(move || from.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
}

/// Status and body of a GET from a port of a worker.
pub(crate) fn get(port: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
