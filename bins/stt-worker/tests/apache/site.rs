//! A web site with one clip, which can keep its visitors waiting.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Serves the same clip at every path of loopback, but for `/busy/…`, which is status 503; to the end of the process.
pub(crate) struct Site {
    pub(crate) url: String,
    gate: Arc<Gate>,
}

struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    open: bool,
    /// Downloads that were asked for.
    asked: usize,
}

impl Site {
    pub(crate) fn new(clip: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Mutex::new(State { open: true, asked: 0 });
        let gate = Arc::new(Gate {
            state,
            changed: Condvar::new(),
        });
        let (clip, at_gate) = (Arc::new(clip), Arc::clone(&gate));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (clip, gate) = (Arc::clone(&clip), Arc::clone(&at_gate));
                std::thread::spawn(move || drop(answer(stream, &clip, &gate)));
            }
        });
        Self { url, gate }
    }

    /// From now on visitors wait.
    pub(crate) fn close(&self) {
        self.gate.set(false);
    }

    pub(crate) fn open(&self) {
        self.gate.set(true);
    }

    /// Waits until so many downloads were asked for since the beginning.
    pub(crate) fn wait_for_visitors(&self, count: usize) {
        let state = self.gate.state.lock().unwrap();
        let patience = crate::worker::PATIENCE;
        let waited = self
            .gate
            .changed
            .wait_timeout_while(state, patience, |state| state.asked < count);
        let (state, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "{} downloads of {count}", state.asked);
    }
}

impl Gate {
    fn set(&self, open: bool) {
        self.state.lock().unwrap().open = open;
        self.changed.notify_all();
    }
}

fn answer(mut stream: TcpStream, clip: &[u8], gate: &Gate) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let mut state = gate.state.lock().unwrap();
    state.asked += 1;
    gate.changed.notify_all();
    drop(gate.changed.wait_while(state, |state| !state.open).unwrap());
    if head.starts_with(b"GET /busy/") {
        return write!(
            stream,
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        clip.len()
    )?;
    stream.write_all(clip)
}
