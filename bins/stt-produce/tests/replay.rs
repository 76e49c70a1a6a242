//! Dead letters put back by the tool, against a broker.

#![allow(clippy::unwrap_used)] // all of this is tests, also what stands outside of #[test]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use stt_core::{Delivery, Header};
use stt_kafka::{
    BrokerError, Connection, EmbeddedBroker, JobProducer, ProducerConfig, Request, Start, Tail, TailConfig,
};
use stt_schema::{DeadLetter, ErrorCode, Timestamp};

const JOB: &[u8] = include_bytes!("../../../fixtures/wire/job.json");

struct Kafka {
    broker: EmbeddedBroker,
    connection: Connection,
    producer: JobProducer,
}

impl Kafka {
    fn start() -> Self {
        let broker = EmbeddedBroker::start(&[("stt.jobs", 2), ("stt.jobs.dlq", 1), ("stt.results", 1)]).unwrap();
        let connection = Connection::new(broker.bootstrap_servers());
        let producer = JobProducer::new(&connection, &ProducerConfig::default()).unwrap();
        Self {
            broker,
            connection,
            producer,
        }
    }

    /// Publishes a dead letter as a worker would; returns its offset.
    fn bury(&self, key: &str, letter: &DeadLetter, headers: &[Header]) -> i64 {
        self.write(key, &letter.to_json(), headers)
    }

    fn write(&self, key: &str, value: &[u8], headers: &[Header]) -> i64 {
        let placed = self.producer.produce("stt.jobs.dlq", key.as_bytes(), value, headers);
        placed.unwrap().offset
    }

    fn spawn(&self, args: &str) -> Child {
        spawn(self.broker.bootstrap_servers(), args)
    }

    fn run(&self, args: &str) -> Output {
        self.spawn(args).wait_with_output().unwrap()
    }

    /// Everything in the topic.
    fn all(&self, topic: &str) -> Vec<Delivery> {
        let config = TailConfig {
            start: Start::Beginning,
            ..TailConfig::new(topic)
        };
        let mut tail = Tail::open(&self.connection, &config).unwrap();
        let mut all = vec![];
        while !tail.at_end() {
            all.extend(tail.next(Duration::from_secs(5)).unwrap().map(|tailed| tailed.delivery));
        }
        all
    }

    /// The keys of the jobs.
    fn replayed(&self) -> BTreeSet<String> {
        let jobs = self.all("stt.jobs");
        let keys: BTreeSet<_> = jobs.iter().map(|job| text(job.key.as_deref())).collect();
        assert_eq!(keys.len(), jobs.len(), "one came twice: {jobs:?}");
        keys
    }
}

fn spawn(bootstrap_servers: &str, args: &str) -> Child {
    command(bootstrap_servers, args).spawn().unwrap()
}

fn command(bootstrap_servers: &str, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stt-produce"));
    command
        .arg("--replay-dlq")
        .args(args.split_whitespace())
        .env_clear()
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Checks how it ended and that it said this on stderr, and returns what it said on stdout.
fn check(output: &Output, code: i32, told: &[&str]) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for told in told {
        assert!(stderr.contains(told), "{told:?} is not in {stderr}");
    }
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
}

fn header(key: &str, value: &str) -> Header {
    Header {
        key: key.to_owned(),
        value: Some(value.as_bytes().to_vec()),
    }
}

/// A letter of a job that failed so long ago.
fn letter(payload: &[u8], code: ErrorCode, ago: Duration) -> DeadLetter {
    DeadLetter {
        original_topic: "stt.jobs".into(),
        original_partition: 0,
        original_offset: 7,
        failed_at: Timestamp::from(SystemTime::now() - ago),
        failure_stage: code.stage(),
        payload: Some(payload.to_vec()),
        omitted: None,
        error_code: code,
        error_message: "as planned".into(),
        attempt: 3,
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_broker_that_is_not_there_is_told_in_time() {
    for args in ["--timeout 2", "--timeout 2 --dry-run"] {
        let started = Instant::now();
        let output = spawn("127.0.0.1:1", args).wait_with_output().unwrap();
        check(&output, 1, &["no answer from kafka at 127.0.0.1:1 within 2 s: "]);
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    }
}

#[test]
fn a_topic_that_is_not_there_is_told_and_so_is_what_was_done() {
    let kafka = Kafka::start();
    let output = kafka.run("--dlq-topic new");
    assert_eq!(check(&output, 1, &["topic new does not exist"]), "");
    kafka.bury("a", &letter(JOB, ErrorCode::AudioEmpty, HOUR), &[]);
    let output = kafka.run("--jobs-topic new");
    let told = ["topic new does not exist", "read 1, matched 1, replayed 0, skipped 0"];
    assert_eq!(check(&output, 1, &told), "");
}

#[test]
fn no_letters_are_no_work() {
    let kafka = Kafka::start();
    let told = "dead letters read 0, matched 0, replayed 0, skipped 0, unreadable 0\n";
    assert_eq!(check(&kafka.run(""), 0, &[told]), "");
}

#[test]
fn what_is_no_letter_is_named_and_the_rest_is_replayed() {
    let kafka = Kafka::start();
    let good = letter(JOB, ErrorCode::AudioEmpty, HOUR);
    let json = String::from_utf8(letter(b"oops", ErrorCode::InvalidJson, HOUR).to_json()).unwrap();
    kafka.bury("a", &good, &[]);
    let junk = [
        kafka.write("junk", b"\xff\x1b", &[]),
        kafka.write("empty", b"", &[]),
        kafka.write("other", JOB, &[]),
        kafka.write("damaged", json.replace("b29wcw==", "b29").as_bytes(), &[]),
        kafka.bury(
            "tombstone",
            &DeadLetter {
                payload: None,
                ..good.clone()
            },
            &[],
        ),
    ];
    kafka.bury("b", &good, &[]);
    let output = kafka.run("");
    let summary = "dead letters read 7, matched 3, replayed 2 (AUDIO_EMPTY 2), skipped 0, unreadable 5\n";
    check(
        &output,
        4,
        &[
            summary,
            "missing field `originalTopic`",
            "originalB64: ",
            "had no value",
        ],
    );
    for offset in junk {
        check(&output, 4, &[&format!("stt-produce: stt.jobs.dlq[0]@{offset}: ")]);
    }
    assert_eq!(kafka.replayed(), BTreeSet::from(["a", "b"].map(String::from)));
}

#[test]
fn the_payload_comes_back_byte_for_byte_and_starts_at_its_first_try() {
    let kafka = Kafka::start();
    let payloads: [&[u8]; 7] = [
        b" \t{ \"jobId\" :\t\"a\",\r\n  \"n\": 1.50e3, \"jobId\":2,\"a\":{\"x\":1,\"x\":1} }\r\n\n",
        br#"{"t":"\u0930\/\ud83d\ude00 \ud800","big":123456789012345678901234567890.10,"e":-0E+4000}"#,
        "{\"t\":\"\u{930}\u{935}\u{940}\"}".as_bytes(),
        b"null\n",
        b"not JSON \xff\x00",
        b"",
        JOB,
    ];
    let headers = [
        header("traceparent", "00-1"),
        header("attempt", "3"),
        header("original-topic", "stt.jobs"),
        header("original-partition", "1"),
        header("original-offset", "7"),
        header("retry-not-before", "1"),
        header("retry-delay-ms", "1"),
        header("last-error", "DOWNLOAD_FAILED"),
    ];
    for (number, payload) in payloads.iter().enumerate() {
        let letter = letter(payload, ErrorCode::DownloadFailed, HOUR);
        kafka.bury(&format!("key-{number}"), &letter, &headers);
    }
    let stdout = check(
        &kafka.run(""),
        0,
        &["matched 7, replayed 7 (DOWNLOAD_FAILED 7), skipped 0"],
    );
    assert_eq!(stdout.lines().count(), 7);
    assert!(stdout.starts_with("stt.jobs.dlq/0/0 DOWNLOAD_FAILED 2"), "{stdout}");
    assert!(stdout.ends_with("Z key-6\n"), "{stdout}");
    let jobs = kafka.all("stt.jobs");
    assert_eq!(jobs.len(), 7);
    for job in &jobs {
        let number: usize = text(job.key.as_deref()).strip_prefix("key-").unwrap().parse().unwrap();
        assert_eq!(job.payload.as_deref(), Some(payloads[number]));
        let from = format!("stt.jobs.dlq/0/{number}");
        let expected = [
            header("traceparent", "00-1"),
            header("dedup", "off"),
            header("replayed-from", &from),
        ];
        assert_eq!(job.headers, expected);
    }
    assert_eq!(kafka.all("stt.jobs.dlq").len(), 7, "the letters stay");
}

#[test]
fn codes_time_and_number_choose() {
    let buried = [
        ("empty-old", ErrorCode::AudioEmpty, 50),
        ("empty-new", ErrorCode::AudioEmpty, 1),
        ("late-old", ErrorCode::DownloadTimeout, 50),
        ("late-new", ErrorCode::DownloadTimeout, 1),
        ("long-new", ErrorCode::AudioTooLong, 1),
    ];
    let moment = Timestamp::from(SystemTime::now() - 24 * HOUR);
    for (args, keys, told) in [
        (
            "--error-code AUDIO_EMPTY,AUDIO_TOO_LONG".to_owned(),
            &["empty-new", "empty-old", "long-new"][..],
            "read 5, matched 3, replayed 3 (AUDIO_EMPTY 2, AUDIO_TOO_LONG 1), skipped 2",
        ),
        (
            "--since 2d".into(),
            &["empty-new", "late-new", "long-new"],
            "matched 3, replayed 3",
        ),
        (
            format!("--since {moment} --error-code DOWNLOAD_TIMEOUT"),
            &["late-new"],
            "matched 1, replayed 1 (DOWNLOAD_TIMEOUT 1), skipped 4",
        ),
        ("--since 30m".into(), &[], "matched 0, replayed 0, skipped 5"),
        (
            "--limit 2".into(),
            &["empty-new", "empty-old"],
            "--limit is reached, there may be more dead letters\nstt-produce: dead letters read 2, matched 2, replayed 2",
        ),
        (
            "--error-code DOWNLOAD_TIMEOUT --limit 1".into(),
            &["late-old"],
            "read 3, matched 1, replayed 1 (DOWNLOAD_TIMEOUT 1), skipped 2",
        ),
    ] {
        let kafka = Kafka::start();
        for (key, code, hours) in buried {
            kafka.bury(key, &letter(JOB, code, hours * HOUR), &[]);
        }
        let dry = check(
            &kafka.run(&format!("{args} --dry-run")),
            0,
            &[&told.replace("replayed ", "would replay ")],
        );
        assert!(kafka.replayed().is_empty(), "{args}: a dry run wrote");
        let wet = check(&kafka.run(&args), 0, &[told]);
        assert_eq!(dry, wet, "{args}: it did not do what it told");
        assert_eq!(
            kafka.replayed(),
            keys.iter().map(|key| (*key).to_owned()).collect(),
            "{args}"
        );
    }
}

#[test]
fn letters_written_meanwhile_are_left_for_another_time() {
    let kafka = Kafka::start();
    let letter = letter(JOB, ErrorCode::AudioEmpty, HOUR);
    kafka.broker.create_topic("two", 2).unwrap();
    let bury = |key: &str| {
        let placed = kafka.producer.produce("two", key.as_bytes(), &letter.to_json(), &[]);
        placed.unwrap().partition
    };
    // One partition is read to its end at once, and grows while the other is read.
    assert_ne!(bury("short"), bury("long"));
    for _ in 0..6 {
        bury("long");
    }
    // Fetched one or two at a time, so that newer letters of the short one come in between.
    let mut child = command(kafka.broker.bootstrap_servers(), "--dlq-topic two")
        .envs([
            ("KAFKA_CONF_MAX_PARTITION_FETCH_BYTES", "1000"),
            ("KAFKA_CONF_QUEUED_MIN_MESSAGES", "1"),
        ])
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    stdout.read_line(&mut told).unwrap();
    let mut meanwhile = 0;
    while child.try_wait().unwrap().is_none() {
        bury("short");
        meanwhile += 1;
    }
    stdout.read_to_string(&mut told).unwrap();
    check(
        &child.wait_with_output().unwrap(),
        0,
        &["read 8, matched 8, replayed 8 "],
    );
    assert!(meanwhile > 0);
    assert_eq!(told.lines().filter(|line| line.ends_with(" short")).count(), 1);
    assert_eq!(kafka.all("stt.jobs").len(), 8);
}

#[test]
fn a_signal_ends_it_between_two_jobs_and_the_count_is_told() {
    let kafka = Kafka::start();
    kafka.write("junk", b"junk", &[]);
    for number in 0..3 {
        kafka.bury(&number.to_string(), &letter(JOB, ErrorCode::AudioEmpty, HOUR), &[]);
    }
    // A write is tried again until the broker is in a better mood: time for the signal to come.
    kafka.broker.fail_next(Request::Produce, &[BrokerError::TimedOut; 8]);
    let mut child = kafka.spawn("");
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    stderr.read_line(&mut told).unwrap();
    assert!(told.contains("[0]@0: not a dead letter"), "{told}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{told}");
    let replayed = kafka.replayed().len();
    assert!(replayed < 3, "{told}");
    for expected in [
        "a signal ends the replay before the last".to_owned(),
        format!(" replayed {replayed}"),
    ] {
        assert!(told.contains(&expected), "{expected:?} is not in {told}");
    }
}
