//! Alone in its process, as it takes all descriptors that this may have.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use stt_serve::{Limits, Reply, Server};

#[test]
fn a_process_without_descriptors_serves_again_once_it_has_some() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start("port", listener, Limits::default(), |_| Reply::text(200, "here")).unwrap();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(64);
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut client = TcpStream::connect(server.address()).unwrap();
    let mut held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(held.len() > 10 && File::open("/dev/null").is_err());
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();

    // Accepting fails meanwhile, or this connection was accepted before all were taken; the next ones cannot be.
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = client.read(&mut [0; 1]);
    held.truncate(1);
    for _ in 0..3 {
        let mut client = TcpStream::connect(server.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert!(reply.ends_with("here"), "{reply}");
    }
}
