//! An HTTP/1.1 server for ports that anyone may reach: `/metrics`, the health probes, files for a worker to fetch.
//!
//! [`Server`] answers GET and HEAD requests with a [`Reply`], on one thread, over non-blocking sockets. Every connection is
//! bounded by [`Limits`]: the size of a request's head, the time until it is complete, the time for which a client may
//! take no data. At most `connections_max` are open; a new one then closes the connection that has waited longest, so idle
//! clients cannot keep others out. A request's body is never read into memory, whatever length it states, and each
//! connection carries one request.
//!
//! It speaks no TLS, keeps no connection alive, authenticates nobody, and reads nothing of a request but the first line.
//!
//! ```
//! use stt_serve::{Limits, Reply, Server};
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let server = Server::start("example", listener, Limits::default(), |request| match request.path() {
//!     "/live" => Reply::text(200, "ok\n"),
//!     _ => Reply::text(404, "/live\n"),
//! })?;
//! assert_ne!(server.address().port(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```

mod connection;
mod head;
mod reply;
mod server;

pub use head::{BadRequest, Request};
pub use reply::Reply;
pub use server::{Limits, Server, listen_on_all};
