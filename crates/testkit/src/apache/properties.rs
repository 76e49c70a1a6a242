//! What a node is configured with.

use std::fmt::Write as _;
use std::path::Path;

use super::certificate::{Certificate, PASSWORD};
use super::{Config, User};

/// Where one node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// Without protection: other brokers, tools, and whoever has no secrets.
    pub(super) plain: u16,
    /// Controllers.
    pub(super) controller: u16,
    /// SASL over TLS, for the users.
    pub(super) secure: u16,
}

/// Few threads and buffers, and short waits: a cluster for tests should be there soon, and notice soon what happens.
const DEFAULTS: [(&str, &str); 23] = [
    ("auto.create.topics.enable", "false"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
    // A broker that is killed counts as dead after this, and one that comes back is let in. By default 9 s.
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("controlled.shutdown.enable", "false"),
    ("log.initial.task.delay.ms", "500"),
    ("log.retention.check.interval.ms", "500"),
    ("log.segment.delete.delay.ms", "500"),
    ("log.cleaner.dedupe.buffer.size", "2097152"),
    ("log.cleaner.threads", "1"),
    ("log.index.size.max.bytes", "1048576"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    ("num.replica.fetchers", "1"),
    ("background.threads", "2"),
    ("num.recovery.threads.per.data.dir", "1"),
    ("socket.listen.backlog.size", "64"),
    ("group.coordinator.rebalance.protocols", "classic,consumer"),
];

/// The configuration of node `index` of those with these ports, as Java reads it. Later lines win. With a controller apart,
/// that is the last.
pub(super) fn of(
    config: &Config,
    index: usize,
    ports: &[Ports],
    data: &Path,
    certificate: Option<&Certificate>,
) -> String {
    let own = ports[index];
    let controllers = if config.controller_apart { config.nodes.. } else { 0.. };
    let (is_broker, is_controller) = (index < config.nodes, controllers.contains(&index));
    let mut text = String::new();
    let mut set = |key: &str, value: &str| {
        // Java takes a backslash for the beginning of an escape.
        writeln!(text, "{key}={}", value.replace('\\', "\\\\")).expect("a string takes all");
    };
    for (key, value) in DEFAULTS {
        set(key, value);
    }
    let voters = ports.iter().enumerate().skip(controllers.start);
    let voters = voters.map(|(index, ports)| format!("{}@127.0.0.1:{}", index + 1, ports.controller));
    let roles = match (is_broker, is_controller) {
        (true, true) => "broker,controller",
        (true, false) => "broker",
        (false, _) => "controller",
    };
    set("process.roles", roles);
    set("node.id", &(index + 1).to_string());
    set("controller.quorum.voters", &voters.collect::<Vec<_>>().join(","));
    set("controller.listener.names", "CONTROLLER");
    set("inter.broker.listener.name", "PLAIN");
    set("log.dirs", &data.to_string_lossy());
    let mut listeners = format!("PLAIN://127.0.0.1:{}", own.plain);
    let mut protocols = "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    if let Some(certificate) = certificate {
        write!(listeners, ",SECURE://127.0.0.1:{}", own.secure).expect("a string takes all");
        protocols.push_str(",SECURE:SASL_SSL");
        set("ssl.keystore.type", "PKCS12");
        set("ssl.keystore.location", &certificate.store.to_string_lossy());
        set("ssl.keystore.password", PASSWORD);
        set("ssl.key.password", PASSWORD);
        set("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512");
        set(
            "listener.name.secure.plain.sasl.jaas.config",
            &plain_users(&config.users),
        );
        set(
            "listener.name.secure.scram-sha-512.sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        );
        set(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        );
        set("super.users", "User:ANONYMOUS");
    }
    if is_broker {
        set("advertised.listeners", &listeners);
    }
    let controller = format!("CONTROLLER://127.0.0.1:{}", own.controller);
    let listeners = match (is_broker, is_controller) {
        (true, true) => format!("{listeners},{controller}"),
        (true, false) => listeners,
        (false, _) => controller,
    };
    set("listeners", &listeners);
    set("listener.security.protocol.map", &protocols);
    let replicas = config.nodes.to_string();
    let in_sync = if config.nodes > 1 { "2" } else { "1" };
    for topic in [
        "offsets.topic",
        "transaction.state.log",
        "share.coordinator.state.topic",
    ] {
        set(&format!("{topic}.replication.factor"), &replicas);
    }
    set("default.replication.factor", &replicas);
    for topic in ["transaction.state.log", "share.coordinator.state.topic"] {
        set(&format!("{topic}.min.isr"), in_sync);
    }
    set("min.insync.replicas", in_sync);
    for (key, value) in &config.properties {
        set(key, value);
    }
    text
}

fn plain_users(users: &[User]) -> String {
    let users = users
        .iter()
        .map(|user| format!(" user_{}=\"{}\"", user.name, user.password));
    format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required{};",
        users.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nodes_know_one_another_and_the_operator_has_the_last_word() {
        let ports = [1, 2, 3].map(|node| Ports {
            plain: 9090 + node,
            controller: 9190 + node,
            secure: 9290 + node,
        });
        let config = Config {
            nodes: 3,
            properties: vec![("num.io.threads".to_owned(), "7".to_owned())],
            ..Config::default()
        };
        let text = of(&config, 1, &ports, Path::new("/data"), None);
        for line in [
            "node.id=2",
            "controller.quorum.voters=1@127.0.0.1:9191,2@127.0.0.1:9192,3@127.0.0.1:9193",
            "listeners=PLAIN://127.0.0.1:9092,CONTROLLER://127.0.0.1:9192",
            "advertised.listeners=PLAIN://127.0.0.1:9092",
            "offsets.topic.replication.factor=3",
            "transaction.state.log.min.isr=2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(text.lines().last(), Some("num.io.threads=7"));

        let config = Config {
            nodes: 2,
            controller_apart: true,
            ..Config::default()
        };
        let broker = of(&config, 0, &ports, Path::new("/data"), None);
        let controller = of(&config, 2, &ports, Path::new("/data"), None);
        for (text, line) in [
            (&broker, "process.roles=broker"),
            (&broker, "controller.quorum.voters=3@127.0.0.1:9193"),
            (&broker, "listeners=PLAIN://127.0.0.1:9091"),
            (&controller, "process.roles=controller"),
            (&controller, "listeners=CONTROLLER://127.0.0.1:9193"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("SASL"), "{text}");
    }

    #[test]
    fn users_have_both_mechanisms_and_others_no_rights() {
        let ports = [Ports {
            plain: 1,
            controller: 2,
            secure: 3,
        }];
        let config = Config {
            users: vec![User::new("worker", "a\\b")],
            ..Config::default()
        };
        let certificate = Certificate {
            store: "/key.p12".into(),
        };
        let text = of(&config, 0, &ports, Path::new("/data"), Some(&certificate));
        assert!(text.contains("required user_worker=\"a\\\\b\";\n"), "{text}");
        assert!(text.contains("SECURE://127.0.0.1:3,CONTROLLER://"), "{text}");
        assert!(text.contains("\nauthorizer.class.name="), "{text}");
    }
}
