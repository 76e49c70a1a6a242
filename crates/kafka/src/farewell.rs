//! Parting from a client without waiting for it forever.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Drops a client, waiting no longer than `wait`; true when it is gone by then.
///
/// A consumer's drop leaves the group and waits for the broker to agree, which takes a session's time when the broker is
/// dead. So it happens on a thread of its own, and goes on there when the wait is over.
pub(crate) fn drop_within<T: Send + 'static>(client: T, wait: Duration) -> bool {
    let (done, gone) = mpsc::channel();
    let parting = thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
        drop(client);
        done.send(()).ok();
    });
    match parting {
        Ok(_) => gone.recv_timeout(wait).is_ok(),
        // No thread to be had: the client was dropped with the closure.
        Err(_) => true,
    }
}
