//! Whatever other clients do, a probe is answered within a second.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use stt_serve::{Limits, Reply, Server};

const PATIENCE: Duration = Duration::from_secs(1);

/// More than one socket buffer takes.
const LONG: usize = 32 << 20;

fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Server::start("port", listener, Limits::default(), |request| {
        match (request.method(), request.path()) {
            (_, "/panic") => panic!("as asked"),
            ("GET", "/long") => Reply::text(200, "x".repeat(LONG)),
            ("GET", path) => Reply::text(200, format!("you asked for {path}")),
            _ => Reply::empty(405),
        }
    })
    .unwrap()
}

fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[track_caller]
fn probe(server: &Server) {
    let began = Instant::now();
    let reply = raw(server.address(), b"GET /live HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(reply.ends_with("\r\n\r\nyou asked for /live"), "{reply}");
    let took = began.elapsed();
    assert!(took < PATIENCE, "{took:?}");
}

/// Clients and server are in one process here.
fn allow_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[test]
fn two_thousand_idle_clients_keep_nobody_out() {
    allow_descriptors();
    let server = server();
    let clients: Vec<TcpStream> = (0..2000)
        .map(|number| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /live HTTP/1.1\r\nHost: ").unwrap();
            }
            if number % 100 == 0 {
                probe(&server);
            }
            stream
        })
        .collect();
    for _ in 0..20 {
        probe(&server);
    }
    drop(clients);
    probe(&server);
}

#[test]
fn clients_that_come_and_go_without_end_keep_nobody_out() {
    let server = server();
    let (address, stop) = (server.address(), Arc::new(AtomicBool::new(false)));
    let flood: Vec<_> = (0..4)
        .map(|number| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(mut stream) = TcpStream::connect(address) {
                        // Writing may fail: the server has its answer before the end.
                        let _ = match number {
                            0 => stream.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
                            1 => stream.write_all(&[b'A'; 1 << 16]),
                            2 => stream.write_all(b"GET / HTTP/1.1\r\n"),
                            _ => Ok(()),
                        };
                        // Thousands a second, but not more than the kernel queues: it drops a SYN that finds the queue full, and
                        // the probe's would come again only after a second, whatever the server does.
                        let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
                        let _ = stream.read(&mut [0; 64]);
                    }
                }
            })
        })
        .collect();
    for _ in 0..50 {
        probe(&server);
    }
    stop.store(true, Ordering::Relaxed);
    flood.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_stated_body_is_neither_allocated_nor_waited_for() {
    let server = server();
    let mut clients = vec![];
    for length in [
        "100000000000",
        "2000",
        "18446744073709551615",
        "-1",
        "99999999999999999999999",
    ] {
        let request = format!("GET /live HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let began = Instant::now();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(
            reply.starts_with("HTTP/1.1 200 ") && began.elapsed() < PATIENCE,
            "{reply}"
        );
        clients.push(stream); // it stays open at their side
        probe(&server);
    }
    for request in [
        "GET /live HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "GET /live HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "GET /live HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "GET /live HTTP/1.1\r\nTE: chunked;q=NaN\r\n\r\n",
    ] {
        let reply = raw(server.address(), request.as_bytes());
        assert!(reply.ends_with("\r\n\r\nyou asked for /live"), "{reply}");
    }
}

#[test]
fn a_body_sent_all_the_same_does_not_cost_the_reply() {
    let server = server();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .write_all(b"POST /live HTTP/1.1\r\nContent-Length: 300000\r\n\r\n")
        .unwrap();
    stream.write_all(&[b'x'; 300_000]).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 405 "), "{reply}");
}

#[test]
fn what_is_no_request_has_its_status_code() {
    let server = server();
    for (request, status) in [
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".as_slice(), "400"),
        (b"\x01\x02\r\n\r\n", "400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        (&[b"GET / HTTP/1.1\r\na: ".as_slice(), &[b'a'; 9000]].concat(), "431"),
        (
            &b"GET / HTTP/1.1\r\n"
                .iter()
                .chain(&b"a: b\r\n".repeat(2000))
                .copied()
                .collect::<Vec<u8>>(),
            "431",
        ),
        (b"GET /panic HTTP/1.1\r\n\r\n", "500"),
    ] {
        let reply = raw(server.address(), request);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        probe(&server);
    }
}

#[test]
fn slow_readers_and_slow_writers_end_and_hold_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits {
        head_wait: Duration::from_millis(300),
        silence_max: Duration::from_millis(300),
        connections_max: 8,
        ..Limits::default()
    };
    let server = Server::start("port", listener, limits, |request| match request.path() {
        "/long" => Reply::text(200, "x".repeat(LONG)),
        path => Reply::text(200, format!("you asked for {path}")),
    })
    .unwrap();
    let readers: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(b"GET /long HTTP/1.1\r\n\r\n").unwrap();
            probe(&server);
            stream
        })
        .collect();
    let mut slow = TcpStream::connect(server.address()).unwrap();
    slow.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let began = Instant::now();
    // A byte now and then does not prolong the time for a head.
    while slow.write_all(b"G").is_ok() && !matches!(slow.read(&mut [0; 1]), Ok(0)) {
        assert!(began.elapsed() < Duration::from_secs(10), "still open");
    }
    for mut reader in readers {
        let mut reply = vec![];
        let whole = reader.read_to_end(&mut reply).is_ok() && reply.len() > LONG;
        assert!(!whole, "what took nothing for so long was served to its end");
    }
    probe(&server);
}

#[test]
fn a_file_is_served_whole_and_a_dropped_server_is_gone() {
    let mut file = std::env::temp_dir();
    file.push(format!("stt-serve-{}", std::process::id()));
    let content: Vec<u8> = (0..3_000_001_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(&file, &content).unwrap();
    let path = file.clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start("port", listener, Limits::default(), move |_| {
        Reply::file(std::fs::File::open(&path).unwrap(), "audio/wav").unwrap()
    })
    .unwrap();
    let get = |method: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "{method} /a HTTP/1.1\r\n\r\n").unwrap();
        let mut reply = vec![];
        stream.read_to_end(&mut reply).unwrap();
        let body = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(reply[..body].to_vec()).unwrap();
        (head, reply.split_off(body))
    };
    let (head, body) = get("GET");
    assert!(head.contains("Content-Length: 3000001\r\n"), "{head}");
    assert!(body == content);
    let (head, body) = get("HEAD");
    assert!(
        head.contains("Content-Length: 3000001\r\n") && body.is_empty(),
        "{head}"
    );

    let address = server.address();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    std::fs::remove_file(file).unwrap();
}
