//! The tool against a broker.

#![allow(clippy::unwrap_used)] // all of this is tests, also what stands outside of #[test]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use stt_kafka::{Connection, EmbeddedBroker, JobProducer, ProducerConfig};

const COMPLETED: &str = include_str!("../../../fixtures/wire/result-completed.json");
const DETAIL: &str = include_str!("../../../fixtures/wire/result-detail.json");
const FAILED: &str = include_str!("../../../fixtures/wire/result-failed.json");
const DEAD: &str = include_str!("../../../fixtures/wire/dead-letter.json");
const ID: &str = "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01";

/// A broker with these records in its topics, one after the other in one partition.
struct Kafka(EmbeddedBroker);

impl Kafka {
    fn with(records: &[(&str, &str, &[u8])]) -> Self {
        let kafka = Self(EmbeddedBroker::start(&[("stt.results", 1), ("stt.jobs.dlq", 1)]).unwrap());
        for (topic, key, payload) in records {
            kafka.produce(topic, key, payload);
        }
        kafka
    }

    fn produce(&self, topic: &str, key: &str, payload: &[u8]) {
        let connection = Connection::new(self.0.bootstrap_servers());
        let producer = JobProducer::new(&connection, &ProducerConfig::default()).unwrap();
        producer
            .produce(topic, key.as_bytes(), payload.trim_ascii_end(), &[])
            .unwrap();
    }

    fn start(&self, args: &str) -> Child {
        start(self.0.bootstrap_servers(), args)
    }

    fn run(&self, args: &str) -> Output {
        self.start(args).wait_with_output().unwrap()
    }
}

fn start(bootstrap_servers: &str, args: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stt-consume"))
        .args(args.split_whitespace())
        .env_clear()
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{told}");
    assert!(told.contains(stderr) && told.is_empty() == stderr.is_empty(), "{told}");
}

#[test]
fn bad_arguments_and_settings_are_told_before_anything_is_tried() {
    let output = start("127.0.0.1:1", "--max-messages many").wait_with_output().unwrap();
    check(&output, 2, "", "must be a whole number from 1 on");
    let output = start("kafka:port", "").wait_with_output().unwrap();
    check(&output, 2, "", "KAFKA_BOOTSTRAP_SERVERS=kafka:port: ");
    let output = start("127.0.0.1:1", "--dlq-topic stt.jobs").wait_with_output().unwrap();
    check(&output, 2, "", "STT_DLQ_TOPIC=stt.jobs: ");
}

#[test]
fn a_broker_that_is_not_there_is_told_in_time() {
    let started = Instant::now();
    let output = start("127.0.0.1:1", "--timeout 2").wait_with_output().unwrap();
    check(&output, 1, "", "no answer from kafka at 127.0.0.1:1 within 2 s: ");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[test]
fn a_topic_that_is_not_there_is_told() {
    let output = Kafka::with(&[]).run("--results-topic new --timeout 10");
    check(&output, 1, "", "topic new does not exist");
}

#[test]
fn when_the_time_is_over_what_came_is_shown_and_the_rest_is_told() {
    let kafka = Kafka::with(&[("stt.results", ID, COMPLETED.as_bytes())]);
    let output = kafka.run("--from-beginning --max-messages 2 --timeout 3");
    check(&output, 3, COMPLETED, "the time is over after 1 of 2 messages");
    check(&kafka.run("--from-beginning --timeout 3"), 0, COMPLETED, "");
    check(&kafka.run("--timeout 2"), 0, "", "");
}

#[test]
fn what_cannot_be_read_is_shown_as_it_is_and_told() {
    let kafka = Kafka::with(&[("stt.results", "job-1", b"oops")]);
    let output = kafka.run("--from-beginning --max-messages 1 --timeout 20");
    check(&output, 0, "oops\n", "stt.results[0] at 0: it is no JSON object");
}

#[test]
fn nobody_reading_any_more_is_no_failure() {
    let many: Vec<_> = (0..40).map(|_| ("stt.results", ID, COMPLETED.as_bytes())).collect();
    let kafka = Kafka::with(&many);
    let mut child = kafka.start("--from-beginning --max-messages 1000 --timeout 20");
    let mut first = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert_eq!(first, COMPLETED);
    // Its output is closed now; one more message makes it notice.
    kafka.produce("stt.results", ID, COMPLETED.as_bytes());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""));
}

#[test]
fn results_and_dead_letters_come_in_each_format() {
    let kafka = Kafka::with(&[
        ("stt.results", ID, COMPLETED.as_bytes()),
        ("stt.results", ID, FAILED.as_bytes()),
        ("stt.jobs.dlq", ID, DEAD.as_bytes()),
    ]);
    let read = "--from-beginning --timeout 20";
    let error = "AUDIO_TOO_LARGE: more than 26214400 bytes\n";
    let table = format!(
        "JOB                                   STATUS     LANGUAGE  CONFIDENCE  TRANSCRIPT\n\
         {ID}  COMPLETED  mr        0.779       रवी ला चार\n\
         {ID}  FAILED     -         -           {error}"
    );
    for (args, stdout) in [
        ("--max-messages 2", format!("{COMPLETED}{FAILED}")),
        ("--max-messages 2 --format table", table),
        ("--max-messages 2 --format text", format!("रवी ला चार\n{error}")),
        ("--max-messages 1 --dlq", DEAD.to_owned()),
        ("--max-messages 1 --dlq --format text", error.to_owned()),
    ] {
        check(&kafka.run(&format!("{read} {args}")), 0, &stdout, "");
    }
}

#[test]
fn subtitles_are_of_one_result_or_of_none() {
    let kafka = Kafka::with(&[
        ("stt.results", "plain", COMPLETED.replace(ID, "plain").as_bytes()),
        ("stt.results", "failed", FAILED.replace(ID, "failed").as_bytes()),
        ("stt.results", "junk", b"oops"),
        ("stt.results", ID, DETAIL.as_bytes()),
        ("stt.results", ID, DETAIL.as_bytes()),
    ]);
    let read = "--from-beginning --timeout 20 --format";
    for (args, reason) in [
        (
            "srt --job-id plain",
            "the result of plain tells no times; the worker writes them with RESULT_DETAIL=segments",
        ),
        ("vtt --job-id failed", "the job failed FAILED: AUDIO_TOO_LARGE: "),
        ("vtt --job-id junk", "it is no JSON object"),
    ] {
        check(&kafka.run(&format!("{read} {args}")), 4, "", reason);
    }
    let told = "the time is over after 0 of 1 messages";
    check(
        &kafka.run("--from-beginning --timeout 3 --format srt --job-id none"),
        3,
        "",
        told,
    );
    let srt = "1\n00:00:00,320 --> 00:00:02,120\nरवी ला चार\n\n";
    check(&kafka.run(&format!("{read} srt --job-id {ID}")), 0, srt, "");
}

#[test]
fn one_job_is_told_from_the_others() {
    let other = COMPLETED.replace(ID, "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1bff");
    let kafka = Kafka::with(&[
        ("stt.results", "other", other.as_bytes()),
        ("stt.results", "by its key", b"oops"),
        ("stt.results", "", COMPLETED.as_bytes()),
    ]);
    let read = "--from-beginning --timeout 20 --max-messages 1 --job-id";
    check(&kafka.run(&format!("{read} {}", ID.to_uppercase())), 0, COMPLETED, "");
    let output = kafka.run(&format!("{read} other"));
    check(&output, 0, &other, "");
}
