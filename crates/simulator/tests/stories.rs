//! The faults that were found in earlier versions, each as a history. Every one is judged by all invariants besides what it
//! says here: nothing lost, nothing twice without a window, good jobs in time, an honest status.

use stt_simulator::{Report, Script, trace};

fn play(script: &str) -> Report {
    let script: Script = script.parse().expect("a script");
    let report = trace(&script, None);
    if let Some(violation) = &report.violation {
        let last = report.trace.len().saturating_sub(40);
        panic!("{violation}\n{}", report.trace[last..].join("\n"));
    }
    report
}

impl Count for Report {
    fn count(&self, event: &str) -> u64 {
        self.events.get(event).copied().unwrap_or(0)
    }
}

trait Count {
    fn count(&self, event: &str) -> u64;
}

#[test]
fn fault_01_oversized_records_become_reduced_dead_letters() {
    let mut script = "set partitions 6\nset workers 1\nset record-bytes 1000000\n0 start 0\n".to_owned();
    for partition in 0..6 {
        script += &format!("500 produce 1 junk 780000 to {partition}\n");
        script += &format!("501 produce 1 large-json 990000 to {partition}\n");
        script += &format!("502 produce 1 forged-origin 500000 to {partition}\n");
        script += &format!("503 produce 1 good 100 to {partition}\n");
    }
    let report = play(&script);
    assert_eq!((report.count("Completed"), report.count("Failed")), (12, 12));
}

#[test]
fn fault_02_a_recreated_topic_loses_no_job() {
    let report = play(
        "set partitions 2\n0 start 0\n1000 produce 30 good 50 to 0\n1000 produce 30 good 50 to 1\n1500 recreate\n\
         1501 produce 100 good 20 to 0\n1501 produce 100 good 20 to 1\n",
    );
    assert!(
        report.count("LogReset") >= 2 && report.count("Completed") >= 200,
        "{:?}",
        report.events
    );
}

#[test]
fn fault_03_waiting_retries_stop_no_intake() {
    let report = play(
        "set intake 64\nset delayed 100\nset workers 1\n0 start 0\n900 produce 256 forged-delay 60000 to 0\n\
         900 produce 600 forged-junk 60000 to 1\n1000 produce 20 good 100 to 2\n1000 produce 20 good 100 to 0\n",
    );
    assert!(report.count("DelayCutShort") > 0 && report.count("Failed") == 600);
}

#[test]
fn fault_04_first_suspects_run_side_by_side() {
    let report = play(
        "set workers 1\nset partitions 1\nset concurrency 64\nset session 6000\n0 start 0\n1000 produce 64 good 3000 to 0\n2500 kill 0\n",
    );
    assert_eq!(report.count("CrashSuspect"), 64);
    assert!(report.lasted_ms < 25_000, "{} ms", report.lasted_ms);
}

#[test]
fn fault_05_an_outage_doubles_nothing_for_one_worker() {
    for guarantee in ["0", "1"] {
        let report = play(&format!(
            "set exactly-once {guarantee}\nset workers 1\nset concurrency 4\n0 start 0\n1000 produce 8 good 700 to 0\n\
             1000 produce 4 permanent 0 to 1\n1000 produce 4 transient 1 to 2\n1500 broker-hang for 25000\n",
        ));
        assert!(report.windows.is_empty(), "{:?}", report.windows);
        assert!(report.count("Completed") == 12 && report.count("Failed") == 4);
    }
}

#[test]
fn fault_06_a_failed_job_sent_again_has_an_outcome_again() {
    let report = play("set workers 1\n0 start 0\n1000 produce 1 permanent 0 to 0\n9000 produce 2 duplicate 0 to 0\n");
    assert_eq!(report.count("Failed") + report.count("Duplicate"), 3);
    assert!(report.count("Failed") >= 2);
}

#[test]
fn fault_07_a_hung_engine_ends_its_process_and_then_its_job() {
    let report =
        play("set workers 1\nset session 6000\n0 start 0\n1000 produce 1 hang 0 to 0\n1000 produce 5 good 100 to 1\n");
    assert_eq!((report.count("Completed"), report.count("Failed")), (5, 1));
    assert_eq!(report.processes, 4);
}

#[test]
fn fault_07_a_hung_engine_is_seen_after_its_partition_is_gone() {
    play(
        "set partitions 2\nset concurrency 1\nset session 6000\n0 start 0\n1000 produce 1 hang 0 to 0\n3000 start 1\n\
         9000 produce 3 good 100 to 1\n9000 produce 3 good 100 to 0\n",
    );
}

#[test]
fn fault_08_a_worker_without_membership_is_not_ready() {
    play(
        "set workers 1\n0 start 0\n1000 produce 4 good 500 to 0\n5000 broker-hang for 60000\n5500 produce 4 good 500 to 1\n",
    );
}

#[test]
fn fault_09_full_commit_metadata_stops_intake_in_time() {
    let report = play(
        "set exactly-once 1\nset workers 1\nset partitions 1\nset concurrency 400\nset intake 2000\nset session 6000\n0 start 0\n\
         900 produce 1 good 9000 to 0\n1000 produce 900 good 400 to 0\n4000 kill 0\n",
    );
    assert!(report.windows.is_empty() && report.records == 901);
}

#[test]
fn fault_10_a_hanging_transaction_holds_up_no_other_partition() {
    play(
        "set exactly-once 1\nset partitions 4\nset session 6000\n0 start 0\n0 start 1\n3000 produce 4 good 200 to 0\n\
         3000 produce 4 good 200 to 1\n3000 produce 4 good 200 to 2\n3000 produce 4 good 200 to 3\n3100 cut 0 for 15000\n3400 kill 1\n",
    );
}

#[test]
fn fault_11_one_attempt_and_a_kill_fail_no_job() {
    let report = play(
        "set attempts 1\nset workers 1\nset concurrency 8\nset session 6000\n0 start 0\n1000 produce 8 good 2000 to 0\n2500 kill 0\n",
    );
    assert_eq!((report.count("Failed"), report.count("Completed")), (0, 8));
}

#[test]
fn fault_12_a_held_job_waits_longer_and_longer() {
    let report =
        play("set workers 1\nset concurrency 1\n0 start 0\n900 disk-full 0 for 120000\n1000 produce 1 good 100 to 0\n");
    assert_eq!(report.count("Completed"), 1);
    assert!(
        (3..=10).contains(&report.count("Held")),
        "{} events",
        report.count("Held")
    );
}

#[test]
fn fault_13_suspects_without_commits_hold_up_no_other_job() {
    let report = play(
        "set workers 1\nset partitions 2\nset concurrency 4\nset session 6000\n0 start 0\n1000 produce 4 good 2000 to 0\n2500 kill 0\n\
         9000 refuse-commits for 60000\n12000 produce 20 good 100 to 1\n",
    );
    let is_other = |line: &&String| line.contains("Completed {") && line.contains("id: 1");
    let ended = report.trace.iter().rfind(is_other).unwrap();
    let second: f64 = ended.split_whitespace().next().unwrap().parse().unwrap();
    assert!(
        second < 60.0,
        "the jobs of the other partition ended only then: {ended}"
    );
}

#[test]
fn fault_14_a_large_result_becomes_a_failure() {
    let report = play(
        "set workers 1\n0 start 0\n1000 produce 2 large-result 40000 to 0\n1000 produce 2 large-result 9000 to 0\n",
    );
    assert_eq!((report.count("Completed"), report.count("Failed")), (2, 2));
}

#[test]
fn fault_16_retries_with_a_topic_of_their_own_come_first() {
    let backlog = "set workers 1\nset concurrency 1\nset retry-topic 1\n0 start 0\n1000 produce 3 transient 1 to 0\n1001 produce 300 good 500 to 0\n";
    let report = play(backlog);
    let attempt_2 = |line: &&String| line.contains("Completed {") && line.contains("stt.retries");
    let last = report.trace.iter().rfind(attempt_2).unwrap();
    let second: f64 = last.split_whitespace().next().unwrap().parse().unwrap();
    assert!(second < 20.0, "the retries waited behind the backlog: {last}");
}
