//! Closing a client without waiting for the broker forever.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Drops a client and waits for it at most `wait`; true when the drop is finished by then.
///
/// Dropping a consumer leaves the group and waits for the broker's answer, which takes a session timeout when the broker is
/// dead. So it runs on a thread of its own, and goes on there after `wait`.
pub(crate) fn close_with_timeout<T: Send + 'static>(client: T, wait: Duration) -> bool {
    let (done, closed) = mpsc::channel();
    let thread = thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
        drop(client);
        done.send(()).ok();
    });
    match thread {
        Ok(_) => closed.recv_timeout(wait).is_ok(),
        // No thread could be started: the client was dropped together with the closure.
        Err(_) => true,
    }
}
