//! Who may connect: SASL over TLS.

use std::time::{Duration, Instant};

use crate::story::{Login, PASSWORD, Story, let_work, not_ready, ready, shared, stop};

/// A worker that cannot connect ends by itself, with the cause on its last line and no secret on any.
#[test]
fn who_may_not_connect_is_told_why_within_the_startup_timeout() {
    let story = Story::new("strangers", 1);
    let login = |user, password| Login::new(&shared(), user, password);
    for (login, more, cause) in [
        (
            login("guest", "plugh-xyzzy"),
            [].as_slice(),
            "Authentication failed: Invalid username or password",
        ),
        (
            login("nobody", "plugh-xyzzy"),
            &[("KAFKA_CONF_SASL_MECHANISM", "SCRAM-SHA-512")],
            "Authentication failed",
        ),
        (
            login("guest", PASSWORD),
            &[("KAFKA_CONF_SSL_CA_LOCATION", "")],
            "certificate verify failed",
        ),
        (
            login("guest", PASSWORD),
            &[("KAFKA_CONF_SECURITY_PROTOCOL", "SASL_PLAINTEXT")],
            "no answer from kafka",
        ),
    ] {
        let began = Instant::now();
        let more = [&[("STARTUP_TIMEOUT_SEC", "4")], more].concat();
        let mut worker = story.worker(&login.with(&more));
        assert_eq!(worker.end().code(), Some(1), "{}", worker.said);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        let last = worker.said.lines().last().unwrap();
        assert!(
            last.contains("kafka is not ready: no answer from kafka at "),
            "{}",
            worker.said
        );
        assert!(last.contains(cause), "{last}");
        for secret in ["plugh-xyzzy", PASSWORD] {
            assert!(!worker.said.contains(secret), "{}", worker.said);
        }
    }
}

#[test]
fn a_user_who_may_see_no_topic_is_told_so() {
    let story = Story::new("unseen", 1);
    let login = Login::new(&shared(), "guest", PASSWORD);
    let mut worker = story.worker(&login.with(&[("STARTUP_TIMEOUT_SEC", "2")]));
    assert_eq!(worker.end().code(), Some(1), "{}", worker.said);
    let last = worker.said.lines().last().unwrap();
    assert!(
        last.contains("no topics unseen.jobs, unseen.results, unseen.dlq at 127.0.0.1:") && last.contains("this user"),
        "{last}"
    );
}

#[test]
fn with_the_right_password_jobs_are_done_by_either_mechanism() {
    let story = Story::new("welcome", 1);
    let_work(&mut shared(), "speaker", &story);
    let login = Login::new(&shared(), "speaker", PASSWORD);
    for (number, mechanism) in [(0, "PLAIN"), (1, "SCRAM-SHA-512")] {
        let mut worker = story.worker(&login.with(&[("KAFKA_CONF_SASL_MECHANISM", mechanism)]));
        worker.says("partitions assigned: ");
        story.produce(number..number + 1);
        let results = story.results(number..number + 1);
        assert_eq!(results[&number][0]["status"], "COMPLETED");
        let said = stop(worker);
        assert!(
            !said.contains(PASSWORD) && !said.contains("could not be committed"),
            "{said}"
        );
    }
}

/// Brokers ask for credentials again (`connections.max.reauth.ms`); these are not good any more, and then they are.
#[test]
fn a_user_who_is_put_out_waits_and_goes_on_when_let_in_again() {
    let story = Story::new("leaver", 1);
    let_work(&mut shared(), "leaver", &story);
    let login = Login::new(&shared(), "leaver", PASSWORD);
    let mut worker = story.worker(&login.with(&[("KAFKA_CONF_SASL_MECHANISM", "SCRAM-SHA-512")]));
    worker.says("partitions assigned: ");
    story.site.close();
    story.produce(0..1);
    story.site.wait_for_visitors(1);
    shared().set_scram_password("leaver", None).unwrap();
    worker.says("uthentication failed");
    story.site.open();
    not_ready(&mut worker, "publish-blocked");
    assert_eq!(story.committed(), 0);
    shared().set_scram_password("leaver", Some(PASSWORD)).unwrap();
    story.results(0..1);
    ready(&mut worker);
    story.passed(1);
    stop(worker);
}
