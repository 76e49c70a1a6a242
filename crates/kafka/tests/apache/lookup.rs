//! What a member learns of its partitions from a real broker: beside an open transaction, after restarts of brokers.

use crate::support::*;
use crate::transaction::leave_open;
use stt_core::{Assignment, Source, SourceEvent};
use stt_kafka::Connection;
use stt_testkit::apache::{Cluster, Config};

#[test]
fn an_open_transaction_holds_up_only_its_own_partition() {
    let mut cluster = Cluster::start(&Config::default()).unwrap();
    cluster.create_topic("stt.jobs", 4, &[]).unwrap();
    cluster.create_topic("stt.results", 1, &[]).unwrap();
    let connection = Connection::new(cluster.bootstrap_servers());
    let producer = producer(&connection);
    for number in 0..40 {
        let key = format!("job-{number}");
        producer.produce("stt.jobs", key.as_bytes(), b"{}", &[]).unwrap();
    }
    // It commits for partition 0, and would stay open for 10 minutes.
    leave_open(&connection, "stt-worker-7", 600_000);
    let mut member = Member::join_for(&connection, seconds(20));
    let others = [jobs(1), jobs(2), jobs(3)];
    assert_eq!(member.assignments(3), others.clone().map(Assignment::from));
    member.until("records of the others", |events| {
        let all: Vec<_> = events.iter().filter_map(delivered).collect();
        let has = |partition: &stt_core::Partition| all.iter().any(|delivery| delivery.partition == *partition);
        others.iter().all(has).then_some(())
    });
    assert_eq!(member.commit_until_accepted(&commit(1, 1)), [""; 0]);
    member.poll_for(seconds(3));
    assert_eq!(member.events.iter().flat_map(assigned).count(), 3, "partition 0 waits");
    let errors = broker_errors(&member.events);
    let expected = "stt.jobs[0]: a transaction that commits for it is still open";
    assert!(errors.iter().any(|error| error.contains(expected)), "{errors:?}");

    // A second member takes over some of them, also while partition 0 waits.
    let mut second = Member::join_for(&connection, seconds(20));
    let started = std::time::Instant::now();
    while second.events.iter().flat_map(assigned).count() == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing is assigned to the second member");
        member.poll();
        second.poll();
        if let Some((given, lost)) = revoked(&member.events) {
            assert!(!lost);
            member.source.release(&given);
            member
                .events
                .retain(|event| !matches!(event, SourceEvent::Revoked { .. }));
        }
    }

    // The id is registered again, which ends the transaction.
    use rdkafka::producer::Producer as _;
    let again: rdkafka::producer::BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("transactional.id", "stt-worker-7")
        .create()
        .unwrap();
    again.init_transactions(PATIENCE).unwrap();
    let started = std::time::Instant::now();
    let has = |member: &Member| {
        member
            .events
            .iter()
            .flat_map(assigned)
            .any(|partition| partition == jobs(0))
    };
    while !has(&member) && !has(&second) {
        assert!(started.elapsed() < PATIENCE, "partition 0 is not assigned");
        member.poll();
        second.poll();
    }
}

/// Brokers are restarted one after the other, so the group's coordinator moves to another one while the old one is up again
/// and answers: what is committed is asked of the new one.
#[test]
fn partitions_come_back_after_each_broker_was_restarted() {
    let config = Config {
        nodes: 3,
        ..Config::default()
    };
    let mut cluster = Cluster::start(&config).unwrap();
    cluster.create_topic("stt.jobs", 2, &[]).unwrap();
    let connection = Connection::new(cluster.bootstrap_servers());
    let mut member = Member::join_for(&connection, seconds(20));
    member.assigned(2);
    for node in 0..3 {
        cluster.kill(node).unwrap();
        member.poll_for(seconds(3));
        cluster.start_node(node).unwrap();
        cluster.wait_until_in_sync().unwrap();
        member.poll_for(seconds(3));

        // A second member takes a partition and gives it back.
        let mut second = Member::join_for(&connection, seconds(20));
        member.events.clear();
        let started = std::time::Instant::now();
        while second.events.iter().flat_map(assigned).count() == 0 {
            assert!(
                started.elapsed() < PATIENCE,
                "nothing is assigned to the second member after a restart of broker {node}"
            );
            member.poll();
            second.poll();
            for event in std::mem::take(&mut member.events) {
                if let SourceEvent::Revoked {
                    partitions,
                    lost: false,
                } = event
                {
                    member.source.release(&partitions);
                }
            }
        }
        let moved = second.assigned(1)[0].clone();
        second.source.close(seconds(10));
        assert_eq!(member.assigned(1), [moved], "after a restart of broker {node}");
    }
}
