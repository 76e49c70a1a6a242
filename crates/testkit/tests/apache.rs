//! The launcher of Apache Kafka itself: `make test-kafka` runs it; it needs Java and Maven.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stt_core::{Clock as _, SystemClock};
use stt_testkit::apache::{Cluster, Config};

/// What this program is asked to do when a test starts it again; to the harness it is one more filter.
const KEEP: &str = "keep-a-cluster";

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--nocapture", "--exact", test, KEEP]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn is_asked_to_keep() -> bool {
    std::env::args().any(|argument| argument == KEEP)
}

/// What follows `name` on the first line with it.
fn said(child: &mut Child, name: &str) -> String {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = lines.map_while(Result::ok).filter_map(|line| {
        let (_, rest) = line.split_once(name)?;
        Some(rest.to_owned())
    });
    found.next().unwrap()
}

fn answers(servers: &str) -> bool {
    TcpStream::connect(servers).is_ok()
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        SystemClock.sleep(Duration::from_millis(50));
    }
}

#[test]
fn without_java_it_fails_and_says_what_to_install() {
    if is_asked_to_keep() {
        let trouble = Cluster::start(&Config::default()).map(drop).unwrap_err();
        println!("trouble: {trouble}");
        return;
    }
    let mut child = again("without_java_it_fails_and_says_what_to_install");
    let mut child = child.env("PATH", "/nonexistent").spawn().unwrap();
    let trouble = said(&mut child, "trouble: ");
    child.wait().unwrap();
    assert!(
        trouble.contains("install default-jdk-headless and maven") && trouble.contains("cannot run java"),
        "{trouble}"
    );
}

#[test]
fn nothing_is_left_of_a_cluster_whose_process_is_killed() {
    if is_asked_to_keep() {
        let cluster = Cluster::start(&Config::default()).unwrap();
        println!("cluster: {} {}", cluster.bootstrap_servers(), cluster.log(0).display());
        loop {
            std::thread::park();
        }
    }
    let mut child = again("nothing_is_left_of_a_cluster_whose_process_is_killed");
    let mut child = child.spawn().unwrap();
    let line = said(&mut child, "cluster: ");
    let (servers, log) = line.split_once(' ').unwrap();
    assert!(answers(servers) && Path::new(log).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("its broker is killed", || !answers(servers));
    eventually("its files are removed", || !Path::new(log).parent().unwrap().exists());
}

#[test]
fn a_node_that_was_killed_comes_back_with_its_port_and_its_data() {
    comes_back(&Config::default());
}

#[test]
fn so_does_a_broker_whose_controller_stays() {
    comes_back(&Config {
        controller_apart: true,
        ..Config::default()
    });
}

fn comes_back(config: &Config) {
    let mut cluster = Cluster::start(config).unwrap();
    let servers = cluster.bootstrap_servers();
    let port = servers.rsplit(':').next().unwrap().parse().unwrap();
    let taken = Config {
        port: Some(port),
        ..Config::default()
    };
    let trouble = Cluster::start(&taken).map(drop).unwrap_err().to_string();
    assert!(trouble.contains(&format!("port {port} is not free")), "{trouble}");

    cluster
        .create_topic("stt.jobs", 2, &[("retention.ms", "60000")])
        .unwrap();
    let trouble = cluster.create_topic("stt.jobs", 2, &[]).unwrap_err().to_string();
    assert!(trouble.contains("'stt.jobs' already exists"), "{trouble}");

    cluster.kill(0).unwrap();
    assert!(!answers(&servers));
    assert!(
        cluster.kill(0).is_err() && cluster.pause(0).is_err(),
        "it is not running"
    );
    cluster.start_node(0).unwrap();
    assert!(cluster.start_node(0).is_err(), "it is running");
    assert_eq!(cluster.bootstrap_servers(), servers);
    let topics = cluster.tool(TOPICS, &["--describe", "--topic", "stt.jobs"]).unwrap();
    assert!(
        topics.contains("PartitionCount: 2") && topics.contains("retention.ms=60000"),
        "{topics}"
    );

    let directory: PathBuf = cluster.log(0).parent().unwrap().to_owned();
    cluster.stop(0).unwrap();
    assert!(!answers(&servers) && directory.exists());
    drop(cluster);
    assert!(!directory.exists());
}
