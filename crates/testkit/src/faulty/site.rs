//! A server for any number of connections.

use std::net::TcpListener;
use std::sync::Arc;

use super::{Reply, read_head};

/// Listens on loopback and replies to each connection by its path, in a thread of its own, to the end of the process. The
/// base of its URLs, such as `http://127.0.0.1:4000`.
///
/// ```
/// use stt_testkit::faulty::{body, site, status};
///
/// let url = site(|path| if path == "/a.wav" { body(b"RIFF") } else { status(404, "") });
/// assert!(url.starts_with("http://127.0.0.1:"));
/// ```
///
/// # Panics
/// When loopback has no port left.
#[must_use]
pub fn site(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> String {
    site_at("127.0.0.1", reply)
}

/// The same at another address of this machine.
///
/// # Panics
/// When the address is not this machine's, or has no port left.
#[must_use]
pub fn site_at(address: &str, reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((address, 0)).expect("the address is ours and has a port");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let reply = Arc::new(reply);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let reply = Arc::clone(&reply);
            std::thread::spawn(move || {
                let head = read_head(&mut stream);
                let path = head.split(' ').nth(1).unwrap_or_default();
                reply(path)(&mut stream);
            });
        }
    });
    url
}
