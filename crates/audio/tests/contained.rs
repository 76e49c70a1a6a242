//! A contained process tries what it must not be able to. It is this program again; not a test harness, as it has one thread.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a program of tests

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, kill_process, setrlimit};

/// A probe, and how it ends: an error is as it should be.
type Probe<'a> = (&'a str, Box<dyn FnOnce() -> io::Result<()> + 'a>);

fn probes(port: u16, kept: &Path) -> Vec<Probe<'_>> {
    vec![
        ("reads a file", Box::new(|| File::open("/etc/passwd").map(drop))),
        ("lists a directory", Box::new(|| fs::read_dir("/").map(drop))),
        ("makes a file", Box::new(|| fs::write("/tmp/stt-contained", "x"))),
        ("removes a file", Box::new(move || fs::remove_file(kept))),
        (
            "connects",
            Box::new(move || TcpStream::connect(("127.0.0.1", port)).map(drop)),
        ),
        ("listens", Box::new(|| TcpListener::bind("127.0.0.1:0").map(drop))),
        (
            "sends a datagram",
            Box::new(|| UdpSocket::bind("127.0.0.1:0").map(drop)),
        ),
        ("makes a pair of sockets", Box::new(|| UnixStream::pair().map(drop))),
        (
            "starts a program",
            Box::new(|| Command::new("/bin/true").status().map(drop)),
        ),
        ("becomes a program", Box::new(|| Err(Command::new("/bin/true").exec()))),
        (
            "starts a thread",
            Box::new(|| std::thread::Builder::new().spawn(|| ()).map(drop)),
        ),
        (
            "kills its parent",
            Box::new(|| Ok(kill_process(getppid().unwrap_or(Pid::INIT), Signal::CONT)?)),
        ),
        (
            "sets a limit",
            Box::new(|| {
                let most = Rlimit {
                    current: Some(8),
                    maximum: Some(8),
                };
                Ok(setrlimit(Resource::Nofile, most)?)
            }),
        ),
    ]
}

/// Tries one of the probes; says what could be done all the same.
fn probe(number: usize, port: u16, kept: &Path) {
    let mut written = File::options().write(true).open(kept).unwrap();
    let holds = stt_audio::contain().unwrap();
    let mut done = format!("{holds:?}\n");
    if let Some((what, probe)) = probes(port, kept).into_iter().nth(number) {
        match probe() {
            Ok(()) => done.push_str(what),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => done.push_str(&format!("{what}: {error}")),
        }
    }
    // Standard output is a pipe: what is open stays usable, but for files.
    io::stdout().write_all(done.as_bytes()).unwrap();
    io::stdout().flush().unwrap();
    let _ = written.write_all(b"one byte is too many");
    println!("wrote a file");
}

/// Those that end the process; the others are refused.
const FATAL: [&str; 7] = [
    "reads a file",
    "lists a directory",
    "makes a file",
    "connects",
    "listens",
    "sends a datagram",
    "becomes a program",
];

fn nothing_of_it_can_be_done() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    fs::write(&kept, "").unwrap();
    let port = listener.local_addr().unwrap().port();
    let names: Vec<&str> = probes(port, &kept).into_iter().map(|(what, _)| what).collect();
    for (number, what) in names.into_iter().enumerate() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "probe".into(),
                number.to_string().into(),
                port.to_string().into(),
                kept.as_os_str().to_owned(),
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        if FATAL.contains(&what) {
            assert_eq!((said.as_str(), signal), ("", Some(libc::SIGSYS)), "{what}: {output:?}");
            continue;
        }
        // Where the kernel has neither, there is nothing to be shown, and that is no pass.
        assert!(
            said.starts_with("Containment { seccomp: true, landlock: "),
            "{what}: {output:?}"
        );
        assert!(
            !said.contains("landlock: 0") && said.ends_with("}\n"),
            "{what}: {output:?}"
        );
        assert_eq!(signal, Some(libc::SIGXFSZ), "a write to a file ends it: {output:?}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody connected");
    assert_eq!(fs::read(&kept).unwrap(), b"");
    assert!(!Path::new("/tmp/stt-contained").exists());
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, mode, number, port, kept] = &arguments[..]
        && mode == "probe"
    {
        return probe(number.parse().unwrap(), port.parse().unwrap(), Path::new(kept));
    }
    nothing_of_it_can_be_done();
    println!("a contained process could do nothing of what it tried ... ok");
}
