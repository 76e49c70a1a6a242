//! Whatever strangers send to its two ports, the worker lives and answers.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::place::Place;
use crate::support::get;

#[test]
fn hostile_clients_neither_end_the_worker_nor_hold_its_probes_up() {
    let place = Place::new();
    let mut worker = place.worker(&[("METRICS_HOST", "127.0.0.1"), ("HEALTH_HOST", "127.0.0.1")]);
    let port_line = worker.says("metrics on port ");
    let (metrics_port, health_port) = port_line.split_once(", health on port ").unwrap();
    let mut clients = vec![];
    for port in [metrics_port, health_port] {
        for request in [
            "GET /live HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000000\r\n\r\n",
            "GET /live HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n",
            "GET /live HTTP/1.1\r\nHost: ",
            "\u{16}\u{3}\u{1}",
            "",
        ] {
            for _ in 0..60 {
                let mut client = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
                client.write_all(request.as_bytes()).unwrap();
                clients.push(client);
            }
            let began = Instant::now();
            assert_eq!(get(health_port, "/live").0, 200);
            assert_eq!(get(metrics_port, "/metrics").0, 200);
            assert!(began.elapsed() < Duration::from_secs(1), "{request:?}");
        }
    }
    worker.says("partitions assigned: ");
    assert_eq!(get(health_port, "/ready").0, 200);
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
}
