//! The tool against a broker.

#![allow(clippy::unwrap_used)] // all of this is tests, also what stands outside of #[test]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stt_kafka::{Connection, EmbeddedBroker, JobProducer, ProducerConfig, Start, Tail, TailConfig, Tailed};

const JOB: &str = include_str!("../../../fixtures/wire/job.json");
const COMPLETED: &str = include_str!("../../../fixtures/wire/result-completed.json");
const FAILED: &str = include_str!("../../../fixtures/wire/result-failed.json");
const ID: &str = "7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b01";
const URL: &str = "--audio-url https://media.example/a.ogg";

struct Kafka {
    broker: EmbeddedBroker,
    connection: Connection,
}

impl Kafka {
    fn start() -> Self {
        let broker = EmbeddedBroker::start(&[("stt.jobs", 2), ("stt.results", 2)]).unwrap();
        let connection = Connection::new(broker.bootstrap_servers());
        Self { broker, connection }
    }

    fn spawn(&self, args: &str) -> Child {
        spawn(self.broker.bootstrap_servers(), args)
    }

    fn run(&self, args: &str) -> Output {
        self.spawn(args).wait_with_output().unwrap()
    }

    fn jobs(&self) -> Tail {
        let config = TailConfig {
            start: Start::Beginning,
            ..TailConfig::new("stt.jobs")
        };
        Tail::open(&self.connection, &config).unwrap()
    }

    /// Everything that was published.
    fn published(&self) -> Vec<Tailed> {
        let mut jobs = self.jobs();
        let mut all = vec![];
        while !jobs.at_end() {
            all.extend(jobs.next(Duration::from_secs(5)).unwrap());
        }
        all
    }

    /// Waits for the next job; returns its id and where its audio is.
    fn next(jobs: &mut Tail) -> (String, String) {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if let Some(tailed) = jobs.next(Duration::from_secs(1)).unwrap() {
                let job: Value = serde_json::from_slice(&tailed.delivery.payload.unwrap()).unwrap();
                let text = |key: &str| job[key].as_str().unwrap().to_owned();
                return (text("jobId"), text("audioUrl"));
            }
        }
        panic!("no job was published");
    }

    /// Publishes a result as the worker would; returns it.
    fn answer(&self, id: &str, result: &str) -> String {
        let result = result.trim_end().replace(ID, id);
        let producer = JobProducer::new(&self.connection, &ProducerConfig::default()).unwrap();
        producer
            .produce("stt.results", id.as_bytes(), result.as_bytes(), &[])
            .unwrap();
        result
    }
}

fn spawn(bootstrap_servers: &str, args: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stt-produce"))
        .args(args.split_whitespace())
        .env_clear()
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Gives it these lines on stdin, and waits for its end.
fn feed(mut child: Child, lines: &str) -> Output {
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Checks how it ended, and returns what it said on stdout.
fn check(output: &Output, code: i32, stderr: &str) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(stderr) && told.is_empty() == stderr.is_empty(), "{told}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn payload(tailed: &Tailed) -> &str {
    std::str::from_utf8(tailed.delivery.payload.as_deref().unwrap()).unwrap()
}

fn key(tailed: &Tailed) -> &str {
    std::str::from_utf8(tailed.delivery.key.as_deref().unwrap()).unwrap()
}

/// One HTTP request, as another program would make it: the head and the body of the response.
fn request(method: &str, url: &str) -> (String, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut response = vec![];
    stream.read_to_end(&mut response).unwrap();
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let body = response.split_off(end + 4);
    (String::from_utf8(response).unwrap(), body)
}

#[test]
fn a_broker_that_is_not_there_is_told_in_time() {
    for args in [format!("{URL} --timeout 2"), format!("{URL} --timeout 2 --wait")] {
        let started = Instant::now();
        let output = spawn("127.0.0.1:1", &args).wait_with_output().unwrap();
        assert_eq!(
            check(&output, 1, "no answer from kafka at 127.0.0.1:1 within 2 s: "),
            ""
        );
        assert!(
            started.elapsed() < Duration::from_secs(6),
            "{args}: {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn what_is_no_job_is_not_sent() {
    let kafka = Kafka::start();
    for (args, told) in [
        ("--audio-url ftp://h/a", "audioUrl: only http and https URLs are taken"),
        (&format!("{URL} --job-id 1"), "jobId: not a UUID"),
        (
            &format!("{URL} --language-hint tlh"),
            "languageHint: \"tlh\" names no language",
        ),
        ("--audio-file /nowhere/a.wav", "/nowhere/a.wav: No such file"),
        ("--audio-file /", "/: is no file"),
        ("--jsonl /nowhere/jobs", "/nowhere/jobs: No such file"),
        ("--audio-url", "missing argument"),
        (
            &format!("{URL} --jobs-topic stt.results"),
            "STT_RESULTS_TOPIC=stt.results: ",
        ),
    ] {
        assert_eq!(check(&kafka.run(args), 2, told), "", "{args}");
    }
    let lines = "{\"audioUrl\":\"https://h/1\"}\n\n{\"audioUrl\":7}\noops\n";
    let output = feed(kafka.spawn("--jsonl -"), lines);
    assert_eq!(
        check(&output, 2, "line 3: audioUrl: not a string\nline 4: not JSON"),
        ""
    );
    assert!(kafka.published().is_empty());
}

#[test]
fn a_topic_that_is_not_there_is_told() {
    let kafka = Kafka::start();
    check(
        &kafka.run(&format!("{URL} --jobs-topic new")),
        1,
        "topic new does not exist",
    );
    check(
        &kafka.run(&format!("{URL} --wait --results-topic new")),
        1,
        "topic new does not exist",
    );
    assert!(kafka.published().is_empty());
}

#[test]
fn without_a_result_the_time_is_over() {
    let kafka = Kafka::start();
    let output = kafka.run(&format!("{URL} --wait --timeout 3"));
    assert_eq!(check(&output, 3, "the time is over, results still to come: 1"), "");
    assert_eq!(kafka.published().len(), 1);
}

#[test]
fn a_job_is_published_as_the_wire_has_it_and_its_id_is_told() {
    let kafka = Kafka::start();
    let args = format!("{URL} --job-id {ID} --task-id {ID} --correlation-id trace-1 --language-hint mr-IN");
    assert_eq!(check(&kafka.run(&args), 0, ""), format!("{ID}\n"));
    let published = kafka.published();
    let job: Value = serde_json::from_str(payload(&published[0])).unwrap();
    let expected = format!(
        r#"{{"jobId":"{ID}","taskId":"{ID}","audioUrl":"https://media.example/a.ogg","languageHint":"mr-IN","createdAt":{},"correlationId":"trace-1"}}"#,
        job["createdAt"]
    );
    assert_eq!((payload(&published[0]), key(&published[0])), (expected.as_str(), ID));
    assert!(job["createdAt"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn what_is_not_given_is_made_up_anew() {
    let kafka = Kafka::start();
    let ids: Vec<String> = (0..2)
        .map(|_| check(&kafka.run(URL), 0, "").trim_end().to_owned())
        .collect();
    let published = kafka.published();
    let mut keys: Vec<&str> = published.iter().map(key).collect();
    assert_ne!(ids[0], ids[1]);
    keys.sort_unstable_by_key(|key| ids.iter().position(|id| id == key));
    assert_eq!(keys, ids);
    for record in &published {
        let job = stt_schema::Job::parse(payload(record).as_bytes()).unwrap();
        assert_eq!(
            (job.job_id.to_string().as_str(), job.language_hint),
            (key(record), None)
        );
        assert_eq!(job.job_id.get_version_num(), 4);
    }
}

#[test]
fn every_line_is_a_job_and_what_is_none_goes_when_it_is_wanted_so() {
    let kafka = Kafka::start();
    let output = feed(
        kafka.spawn("--jsonl - --language-hint hi"),
        &format!("{JOB}\n{{\"audioUrl\":\"https://h/2\"}}"),
    );
    assert_eq!(check(&output, 0, "").lines().count(), 2);
    let output = feed(kafka.spawn("--jsonl - --no-validate"), "oops\n{\"jobId\":\"job-3\"}\n");
    assert!(check(&output, 0, "").ends_with("job-3\n"));
    let published = kafka.published();
    let payloads: Vec<&str> = published.iter().map(payload).collect();
    assert_eq!(payloads.len(), 4, "{payloads:?}");
    for payload in [JOB.trim_end(), "oops"] {
        assert!(payloads.contains(&payload), "{payload} in {payloads:?}");
    }
    assert!(
        payloads
            .iter()
            .any(|payload| payload.contains(r#""audioUrl":"https://h/2","languageHint":"hi""#))
    );
}

#[test]
fn a_result_is_waited_for_and_shown_and_a_failure_has_its_own_code() {
    for (result, format, code, shown) in [
        (COMPLETED, "json", 0, None),
        (COMPLETED, "text", 0, Some("रवी ला चार\n")),
        (FAILED, "json", 4, None),
        (FAILED, "text", 4, Some("AUDIO_TOO_LARGE: more than 26214400 bytes\n")),
    ] {
        let kafka = Kafka::start();
        kafka.answer(ID, COMPLETED); // of old: not what is waited for
        let child = kafka.spawn(&format!("{URL} --job-id {ID} --wait --timeout 30 --format {format}"));
        let (id, _) = Kafka::next(&mut kafka.jobs());
        kafka.answer("7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1bff", FAILED); // of another job
        let answer = kafka.answer(&id, result) + "\n";
        let output = child.wait_with_output().unwrap();
        let stdout = check(&output, code, &format!("published {ID}"));
        assert_eq!(stdout, shown.unwrap_or(&answer));
    }
}

#[test]
fn the_results_of_many_jobs_come_in_rows() {
    let kafka = Kafka::start();
    let mut child = kafka.spawn("--jsonl - --wait --timeout 30 --format table");
    let lines = "{\"audioUrl\":\"https://h/1\"}\n{\"audioUrl\":\"https://h/2\"}\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let mut jobs = kafka.jobs();
    let ids = [Kafka::next(&mut jobs).0, Kafka::next(&mut jobs).0];
    kafka.answer(&ids[0], COMPLETED);
    kafka.answer(&ids[1], FAILED);
    let stdout = check(&child.wait_with_output().unwrap(), 4, "published");
    let rows: Vec<&str> = stdout.lines().collect();
    assert_eq!(rows.len(), 3, "{stdout}");
    assert!(
        rows[0].starts_with("JOB ") && rows[0].ends_with("TRANSCRIPT"),
        "{stdout}"
    );
    for row in [
        format!("{}  COMPLETED  mr        0.779       रवी ला चार", ids[0]),
        format!(
            "{}  FAILED     -         -           AUDIO_TOO_LARGE: more than 26214400 bytes",
            ids[1]
        ),
    ] {
        assert!(rows.contains(&row.as_str()), "{row} in {stdout}");
    }
}

#[test]
fn files_are_served_until_their_results_have_come() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("note one.ogg", vec![7; 100_000]), ("two.wav", b"RIFF".to_vec())];
    for (name, bytes) in &files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let kafka = Kafka::start();
    let child = Command::new(env!("CARGO_BIN_EXE_stt-produce"))
        .args(["--timeout", "30", "--format", "table"])
        .args(
            files
                .iter()
                .flat_map(|(name, _)| ["--audio-file".into(), folder.path().join(name)]),
        )
        .env_clear()
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.broker.bootstrap_servers())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut jobs = kafka.jobs();
    let served = [Kafka::next(&mut jobs), Kafka::next(&mut jobs)];
    for (_, url) in &served {
        let file = usize::from(url.ends_with("/two.wav"));
        let (length, content_type) = (files[file].1.len(), ["audio/ogg", "audio/wav"][file]);
        for (method, body) in [("GET", files[file].1.clone()), ("HEAD", vec![])] {
            let (head, got) = request(method, url);
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert!(head.contains(&format!("Content-Length: {length}\r\n")), "{head}");
            assert!(head.contains(&format!("Content-Type: {content_type}\r\n")), "{head}");
            assert!(got == body, "{method} {url} gives {} bytes", got.len());
        }
        assert!(request("POST", url).0.starts_with("HTTP/1.1 405 "));
        assert!(request("GET", &format!("{url}x")).0.starts_with("HTTP/1.1 404 "));
    }
    kafka.answer(&served[0].0, COMPLETED);
    kafka.answer(&served[1].0, COMPLETED);
    let stdout = check(&child.wait_with_output().unwrap(), 0, "published");
    let rows: Vec<&str> = stdout.lines().collect();
    for (name, _) in &files {
        assert!(
            rows.iter().any(|row| row.starts_with(&format!("{name}  "))),
            "{name} in {stdout}"
        );
    }
    let host = served[0].1.split('/').nth(2).unwrap();
    assert!(TcpStream::connect(host).is_err(), "the port is still open");
}

#[test]
fn nobody_reading_the_ids_leaves_no_job_behind() {
    let kafka = Kafka::start();
    let mut child = kafka.spawn("--jsonl -");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin
        .write_all("{\"audioUrl\":\"https://h/1\"}\n".repeat(50).as_bytes())
        .unwrap();
    drop(stdin);
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    check(&child.wait_with_output().unwrap(), 0, "");
    assert_eq!(kafka.published().len(), 50);
}
