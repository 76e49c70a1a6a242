//! Records that strangers write, and topics that are created anew.

use std::time::{Duration, Instant};

use crate::story::{Story, eventually, shared, stop};

/// Their dead letters are larger than the topic takes. Each used to hold up its partition for ever.
#[test]
fn oversized_records_hold_up_no_other_job() {
    let story = Story::new("oversized", 2);
    let mut worker = story.worker(&[]);
    worker.says("partitions assigned: ");
    let junk = vec![b'x'; 780_000];
    let json = format!("{{\"jobId\":\"{}\"}}", "y".repeat(950_000));
    let topic = "t".repeat(500_000);
    for key in ["a", "b", "c", "d"] {
        story.produce_raw(key.as_bytes(), &junk, &[]);
        story.produce_raw(key.as_bytes(), json.as_bytes(), &[]);
        story.produce_raw(
            key.as_bytes(),
            b"not json",
            &[("original-topic", &topic), ("big", &topic[..400_000])],
        );
    }
    story.produce(0..6);
    let found = story.results_of_keys(0..6);
    assert!(found.values().all(|results| results.len() == 1), "{found:?}");
    story.passed(18);
    let letters = story.values("dlq");
    assert_eq!(letters.len(), 12);
    let omitted = letters.iter().filter(|letter| letter["originalBytes"] == 780_000);
    for letter in omitted.clone() {
        assert_eq!(
            (
                &letter["job"],
                &letter["originalTopic"],
                letter["originalSha256"].as_str().map(str::len)
            ),
            (&serde_json::Value::Null, &"oversized.jobs".into(), Some(64))
        );
    }
    assert_eq!(omitted.count(), 4);
    let said = stop(worker);
    assert!(said.contains("dead letter without payload"), "{said}");
}

/// 300 of them once stopped the intake of all partitions for a minute.
#[test]
fn forged_delays_hold_up_no_other_job() {
    let story = Story::new("forged", 1);
    for number in 0..300 {
        let headers = [("attempt", "2"), ("retry-delay-ms", "60000")];
        story.produce_job(1_000 + number, "waits", &headers);
        story.produce_raw(b"junk", b"{", &[("retry-delay-ms", "60000")]);
    }
    story.produce(0..4);
    let mut worker = story.worker(&[]);
    worker.says("partitions assigned: ");
    let began = Instant::now();
    story.results_of_keys(0..4);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    eventually("junk is dead-lettered without waiting", || story.count("dlq") == 300);
    stop(worker);
}

/// Offsets of the new topic are below those of the old one; all of its jobs are done.
#[test]
fn a_topic_that_is_created_anew_is_read_from_its_beginning() {
    let story = Story::new("anew", 1);
    let jobs = story.topic("jobs");
    let mut worker = story.worker(&[("WORKER_CONCURRENCY", "2")]);
    worker.says("partitions assigned: ");
    story.produce(0..6);
    story.passed(6);
    {
        let mut cluster = shared();
        cluster.delete_topic(&jobs).unwrap();
        cluster.create_topic(&jobs, 1, &[]).unwrap();
    }
    story.produce(10..24);
    let found = story.results_of_keys(10..24);
    assert!(found.values().all(|results| results.len() == 1), "{found:?}");
    eventually("the new topic's offsets are committed", || story.committed() == 14);
    let said = stop(worker);
    assert!(said.contains("anew.jobs[0]: the topic was created anew"), "{said}");
}

#[test]
fn retries_have_a_topic_of_their_own() {
    let story = Story::new("again", 1);
    let retries = story.topic("retries");
    shared().create_topic(&retries, 1, &[]).unwrap();
    let mut worker = story.worker(&[("STT_RETRY_TOPIC", &retries), ("RETRY_BACKOFF_BASE_MS", "100")]);
    worker.says("partitions assigned: again.jobs");
    story.produce_job(0, "busy/0", &[]);
    story.produce(1..3);
    let letters = story.dead_letters(0..1);
    assert_eq!(
        (&letters[&0][0]["attempt"], &letters[&0][0]["originalTopic"]),
        (&3.into(), &"again.jobs".into())
    );
    story.results(0..3);
    assert_eq!((story.count("retries"), story.count("jobs")), (2, 3));
    story.passed(3);
    stop(worker);
}
