//! A short run on a real Apache Kafka: `make test-kafka` runs it; it needs Java and Maven. `make chaos` is the long one.

use std::process::Command;

/// SIGKILL and SIGSTOP of workers, SIGKILL of the broker: the conductor fails on a lost job and on a second outcome.
#[test]
fn exactly_once_outlives_killed_and_frozen_workers_and_a_killed_broker() {
    let arguments = [
        "--jobs",
        "200",
        "--kills",
        "10",
        "--seed",
        "11",
        "--guarantee",
        "exactly-once",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_stt-chaos"))
        .args(arguments)
        .output()
        .expect("the binary was built for this test");
    let said = String::from_utf8_lossy(&output.stdout);
    let troubles = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{troubles}");
    for kind in ["SIGKILL worker", "SIGSTOP worker", "SIGKILL broker"] {
        assert!(said.contains(kind), "no {kind} in this run:\n{said}");
    }
    assert!(said.contains("PASSED: 200 jobs and 10 kills, exactly-once"), "{said}");
}
