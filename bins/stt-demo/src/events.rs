//! What happens while the demo runs, in one line of events.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::DemoError;

/// Something that the demo waits for.
pub(crate) enum Event {
    /// A line of the worker's output; nothing at its end.
    Worker(Option<String>),
    /// A line of what the consumer reads; nothing at its end.
    Result(Option<String>),
}

/// Events in the order in which they happen; an interruption as an error.
pub(crate) struct Events {
    sender: Sender<Result<Event, DemoError>>,
    receiver: Receiver<Result<Event, DemoError>>,
}

impl Events {
    /// From now on SIGINT and SIGTERM are events, and no longer end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let interrupted = sender.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                let _ = interrupted.send(Err(DemoError::Interrupted));
            }
        })?;
        Ok(Self { sender, receiver })
    }

    /// Where the lines of a program go, as events of this kind.
    pub(crate) fn of(&self, kind: fn(Option<String>) -> Event) -> impl FnMut(Option<String>) + Send + 'static {
        let sender = self.sender.clone();
        move |line| drop(sender.send(Ok(kind(line))))
    }

    /// The next event. An error when SIGINT or SIGTERM came, or nothing at all within `wait`.
    pub(crate) fn next(&self, wait: Duration) -> Result<Event, DemoError> {
        let silence = DemoError::Silence {
            seconds: wait.as_secs(),
        };
        self.receiver.recv_timeout(wait).unwrap_or(Err(silence))
    }
}
