//! The whole path for real: the worker with its embedded broker, audio over HTTP, the engine, results on topics.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use crate::outcomes::tail;
use crate::place::{Place, id, job, serve};
use crate::support::{PATIENCE, Worker, fixture, get};
use rustix::process::Signal;
use serde_json::{Value, json};
use stt_kafka::{Connection, JobProducer, ProducerConfig, Tail};

/// An hour of silence, 8 kHz, 8 bits.
fn hour_of_wav() -> Vec<u8> {
    let (rate, length) = (8_000_u32, 8_000_u32 * 3_600);
    let mut wav = Vec::from(b"RIFF");
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend([rate.to_le_bytes(), rate.to_le_bytes()].concat());
    wav.extend(b"\x01\0\x08\0data");
    wav.extend(length.to_le_bytes());
    wav.resize(wav.len() + length as usize, 0x80);
    wav
}

/// The next messages of a topic, by key.
fn read(tail: &mut Tail, count: usize) -> BTreeMap<String, Value> {
    let deadline = Instant::now() + PATIENCE;
    let mut found = BTreeMap::new();
    while found.len() < count {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "only {found:?}");
        if let Some(message) = tail.next(left).unwrap() {
            let key = String::from_utf8(message.delivery.key.unwrap()).unwrap();
            let value = serde_json::from_slice(&message.delivery.payload.unwrap()).unwrap();
            assert!(found.insert(key.clone(), value).is_none(), "two messages of {key}");
        }
    }
    found
}

#[test]
fn bad_jobs_end_as_dead_letters_and_the_good_ones_beside_them_as_transcripts() {
    let place = Place::new();
    let mut worker = place.worker(&[("RESULT_DETAIL", "words"), ("LANGUAGES", "en,hi")]);
    let address = worker.says("embedded broker: ");
    let port_line = worker.says("metrics on port ");
    let (metrics_port, health_port) = port_line.split_once(", health on port ").unwrap();
    assert_eq!(get(health_port, "/live").0, 200);
    worker.says("partitions assigned: ");
    assert_eq!(fs::read_to_string(place.path("address")).unwrap(), address);
    let (status, body) = get(health_port, "/readyz");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["ready"], &body["state"]["member"]),
        (200, &json!(true), &json!(true))
    );

    let clip = |name: &str| fs::read(fixture("audio").join(name)).unwrap();
    let url = serve(BTreeMap::from([
        ("en-000.wav".to_owned(), clip("en-000.wav")),
        ("hi-001.flac".to_owned(), clip("hi-001.flac")),
        (
            "text.mp3".to_owned(),
            b"Minutes of the meeting, not a recording of it.\n".repeat(100),
        ),
        ("hour.wav".to_owned(), hour_of_wav()),
    ]));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let connection = Connection::new(&address);
    let producer = JobProducer::new(&connection, &ProducerConfig::default()).unwrap();
    for (key, payload) in [
        (id(1), job(1, &format!("{url}/en-000.wav"))),
        ("junk".to_owned(), b"not a job".to_vec()),
        (id(2), job(2, &format!("http://{closed}/a.wav"))),
        (id(3), job(3, &format!("{url}/text.mp3"))),
        (id(4), job(4, &format!("{url}/hour.wav"))),
        (id(5), job(5, &format!("{url}/hi-001.flac"))),
    ] {
        producer.produce("stt.jobs", key.as_bytes(), &payload, &[]).unwrap();
    }
    let results = read(&mut tail(&connection, "stt.results"), 6);
    let dead_letters = read(&mut tail(&connection, "stt.jobs.dlq"), 4);

    let goldens: Value = serde_json::from_slice(&clip("transcripts.json")).unwrap();
    for (number, name) in [(1, "en-000.wav"), (5, "hi-001.flac")] {
        let result = &results[&id(number)];
        assert_eq!(result["status"], "COMPLETED", "{result}\n{}", worker.said);
        assert_eq!(result["transcriptText"], goldens[name]["text"]);
        assert_eq!(result["detectedLanguage"], goldens[name]["language"]);
        assert_eq!(result["correlationId"], id(number + 200));
        let words = result["detail"]["segments"][0]["words"].as_array().expect("words");
        let words: String = words.iter().filter_map(|word| word["word"].as_str()).collect();
        assert_eq!(words.trim(), goldens[name]["text"].as_str().unwrap());
    }
    for (key, stage, code, attempt) in [
        ("junk", "VALIDATION", "INVALID_JSON", 1),
        (&id(2), "DOWNLOAD", "DOWNLOAD_FAILED", 3),
        (&id(3), "TRANSCRIBE", "AUDIO_UNSUPPORTED_FORMAT", 1),
        (&id(4), "TRANSCRIBE", "AUDIO_TOO_LONG", 1),
    ] {
        let (result, dead_letter) = (&results[key], &dead_letters[key]);
        assert_eq!(
            (&result["status"], &result["errorCode"]),
            (&json!("FAILED"), &json!(code)),
            "{result}"
        );
        assert_eq!(dead_letter["failureStage"], stage, "{dead_letter}");
        assert_eq!(
            (&dead_letter["errorCode"], &dead_letter["attempt"]),
            (&json!(code), &json!(attempt))
        );
        assert_eq!(dead_letter["originalTopic"], "stt.jobs");
        assert_eq!(
            dead_letter["job"].get("jobId"),
            result.get("jobId").filter(|_| key != "junk")
        );
    }
    assert_eq!(dead_letters["junk"]["originalB64"], "bm90IGEgam9i");

    let metrics = get(metrics_port, "/metrics").1;
    for line in [
        "stt_jobs_completed_total 2",
        "stt_engine_windows_total 2",
        "stt_jobs_failed_total{stage=\"DOWNLOAD\",code=\"DOWNLOAD_FAILED\"} 1",
        "stt_jobs_retried_total{code=\"DOWNLOAD_FAILED\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(
        metrics.contains("stt_stage_seconds_bucket{stage=\"transcribe\",le=\"0.01\"}"),
        "{metrics}"
    );

    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
    assert!(
        worker.said.contains("stopped: 8 outcomes published, 0 jobs left"),
        "{}",
        worker.said
    );
    assert!(!worker.said.contains("could not be committed"), "{}", worker.said);
    assert_eq!(place.tmp_files(), [""; 0]);
    assert!(!Path::new(&place.path("address")).exists());
}

#[test]
fn what_a_killed_worker_leaves_is_swept_by_the_next() {
    let place = Place::new();
    let mut worker = place.worker(&[]);
    worker.says("partitions assigned: ");
    worker.signal(Signal::KILL);
    assert_eq!(worker.end().code(), None);
    let left = place.tmp_files();
    assert_eq!(left.len(), 1, "{left:?}");
    fs::write(
        Path::new(&place.path("tmp")).join(&left[0]).join("audio"),
        "half a download",
    )
    .unwrap();

    let mut next = place.worker(&[]);
    next.says("partitions assigned: ");
    assert!(!place.tmp_files().contains(&left[0]), "{}", next.said);
    next.signal(Signal::INT);
    assert_eq!(next.end().code(), Some(0), "{}", next.said);
    assert_eq!(place.tmp_files(), [""; 0]);
    assert!(!Path::new(&place.path("address")).exists());
}

/// A job whose server takes the connection and says nothing.
fn hang(worker: &mut Worker) -> TcpStream {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.wav", silent.local_addr().unwrap());
    let connection = Connection::new(worker.says("embedded broker: "));
    let producer = JobProducer::new(&connection, &ProducerConfig::default()).unwrap();
    producer
        .produce("stt.jobs", id(1).as_bytes(), &job(1, &url), &[])
        .unwrap();
    silent.accept().unwrap().0
}

#[test]
fn a_job_that_does_not_end_within_the_grace_is_left_for_others() {
    let place = Place::new();
    let mut worker = place.worker(&[("SHUTDOWN_GRACE_SEC", "0.1")]);
    let _connection = hang(&mut worker);
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(0), "{}", worker.said);
    assert!(worker.said.contains("stopped: 0 outcomes published"), "{}", worker.said);
    assert_eq!(place.tmp_files(), [""; 0]);
}

#[test]
fn a_second_signal_waits_for_nothing() {
    let place = Place::new();
    let mut worker = place.worker(&[("SHUTDOWN_GRACE_SEC", "600")]);
    let _connection = hang(&mut worker);
    worker.signal(Signal::TERM);
    worker.says("a signal asks to stop");
    worker.says("a further signal ends the process at once");
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().code(), Some(143), "{}", worker.said);
}
