//! Which librdkafka properties an operator may set, and whether their values are good.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::Connection;
use crate::context::LastError;

/// A property that operators may not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnedProperty {
    /// Its name in librdkafka.
    pub name: &'static str,
    /// Why it is not theirs to set.
    pub reason: &'static str,
}

const fn owned(name: &'static str, reason: &'static str) -> OwnedProperty {
    OwnedProperty { name, reason }
}

const NAMED: &str = "it has a setting of its own";
const COMMITS: &str = "offsets are committed when, and only when, an outcome is acknowledged";
const DURABLE: &str = "an offset is committed when all in-sync replicas have the outcome, written once";
const PATIENT: &str = "a write in doubt is waited for; giving it up could lose or duplicate it";
const GROUP: &str = "partitions change owners one by one, after their last commits";
const TOPICS: &str = "whether topics are created on demand has a setting of its own";
const TEST: &str = "it replaces the brokers by simulated ones";

/// The properties that the worker owns, with reasons: its promises rest on them.
pub const OWNED_PROPERTIES: &[OwnedProperty] = &[
    owned("bootstrap.servers", NAMED),
    owned("metadata.broker.list", NAMED),
    owned("group.id", NAMED),
    owned("enable.auto.commit", COMMITS),
    owned("auto.commit.enable", COMMITS),
    owned("auto.commit.interval.ms", COMMITS),
    owned("enable.auto.offset.store", COMMITS),
    owned("offset.store.method", COMMITS),
    owned(
        "auto.offset.reset",
        "no job is skipped: reading starts at the beginning of the log",
    ),
    owned("acks", DURABLE),
    owned("request.required.acks", DURABLE),
    owned("enable.idempotence", DURABLE),
    owned("enable.gapless.guarantee", DURABLE),
    owned("transactional.id", DURABLE),
    owned("message.timeout.ms", PATIENT),
    owned("delivery.timeout.ms", PATIENT),
    owned("retries", PATIENT),
    owned("message.send.max.retries", PATIENT),
    owned("group.protocol", GROUP),
    owned("partition.assignment.strategy", GROUP),
    owned(
        "partitioner",
        "a key must map to the partition that Java producers choose",
    ),
    owned("isolation.level", "records of aborted transactions are not jobs"),
    owned(
        "enable.partition.eof",
        "the end of a partition is an event that only the tools read",
    ),
    owned(
        "batch.num.messages",
        "records of a refused request are sent again one by one",
    ),
    owned("allow.auto.create.topics", TOPICS),
    owned("test.mock.num.brokers", TEST),
    owned("test.mock.broker.rtt", TEST),
];

/// A property that cannot be accepted. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyProblem {
    /// Its name; `None` when it takes several to make the problem.
    pub property: Option<String>,
    /// The rule that it breaks.
    pub rule: String,
}

impl fmt::Display for PropertyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.property {
            Some(property) => write!(f, "{property}: {}", self.rule),
            None => f.write_str(&self.rule),
        }
    }
}

/// Everything that is wrong with these properties: owned ones, unknown ones, bad values, and, when each is good by
/// itself, what librdkafka finds when it makes a client of them (a certificate that is not there, an SASL mechanism that
/// is not built in). Connects to nothing; reads the files that the properties name.
#[must_use]
pub fn check_properties(properties: &BTreeMap<String, String>) -> Vec<PropertyProblem> {
    let mut problems = check_each(properties);
    if problems.is_empty() && !properties.is_empty() {
        problems.extend(check_together(properties));
    }
    problems
}

/// The properties that cannot be accepted whatever the others are.
pub(crate) fn check_each(properties: &BTreeMap<String, String>) -> Vec<PropertyProblem> {
    properties
        .iter()
        .filter_map(|(name, value)| check(name, value))
        .collect()
}

fn check(name: &str, value: &str) -> Option<PropertyProblem> {
    let rule = if let Some(owned) = OWNED_PROPERTIES.iter().find(|owned| owned.name == name) {
        format!("is set by the worker: {}", owned.reason)
    } else {
        let mut config = ClientConfig::new();
        config.set(name, value);
        match config.create_native_config().err()? {
            KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..) => {
                "is no property of librdkafka".to_owned()
            }
            KafkaError::ClientConfig(_, text, ..) if !is_secret(name) => plain(&text),
            KafkaError::Nul(_) => "must not hold a zero byte".to_owned(),
            _ => "has a value that librdkafka does not take".to_owned(),
        }
    };
    Some(PropertyProblem {
        property: Some(name.to_owned()),
        rule,
    })
}

fn check_together(properties: &BTreeMap<String, String>) -> Option<PropertyProblem> {
    let mut connection = Connection::new("");
    connection.properties.clone_from(properties);
    let mut config = connection.member(&[], &[]).ok()?;
    config.remove("bootstrap.servers"); // it connects to nothing
    let made = config.create_with_context::<_, BaseConsumer<LastError>>(LastError::default());
    let text = match made.err()? {
        KafkaError::ClientCreation(text) => plain(&text),
        error => error.to_string(),
    };
    // What librdkafka says here comes from its own texts and from OpenSSL; a secret in it would be their fault, and is
    // taken out all the same.
    let secrets = properties
        .iter()
        .filter(|(name, value)| is_secret(name) && !value.is_empty());
    let rule = secrets.fold(text, |text, (_, secret)| text.replace(secret.as_str(), "***"));
    Some(PropertyProblem { property: None, rule })
}

/// Whether the value may be a secret. Rather one too many: names only have to sound like it.
fn is_secret(name: &str) -> bool {
    [
        "password",
        "secret",
        "username",
        "pem",
        "oauthbearer.config",
        "jaas",
        "token",
        "assertion",
        "ssl.key",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// librdkafka's text as part of a sentence of ours.
fn plain(text: &str) -> String {
    text.trim().trim_end_matches('.').to_owned()
}

/// The main name of a property of which this crate sets a default.
pub(crate) fn canonical(name: &str) -> &str {
    match name {
        "compression.codec" => "compression.type",
        "queue.buffering.max.ms" => "linger.ms",
        "max.partition.fetch.bytes" => "fetch.message.max.bytes",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(properties: &[(&str, &str)]) -> Vec<String> {
        let properties = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        check_properties(&properties.collect())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_problem_is_named_and_no_secret_is() {
        let found = problems(&[
            ("group.id", "mine"),
            ("sasl.pasword", "hunter2"),
            ("security.protocol", "tls"),
            ("socket.timeout.ms", "-3"),
            ("ssl.key.pem", "a\0b"),
            ("sasl.password", "fine"),
        ]);
        assert_eq!(
            found,
            [
                "group.id: is set by the worker: it has a setting of its own",
                "sasl.pasword: is no property of librdkafka",
                "security.protocol: Invalid value \"tls\" for configuration property \"security.protocol\"",
                "socket.timeout.ms: Configuration property \"socket.timeout.ms\" value -3 is outside allowed range \
                 10..300000",
                "ssl.key.pem: must not hold a zero byte",
            ]
        );
    }

    #[test]
    fn properties_that_do_not_go_together_are_a_problem_too() {
        let found = problems(&[("security.protocol", "ssl"), ("ssl.ca.location", "/nowhere/ca.pem")]);
        assert!(
            found.len() == 1 && found[0].starts_with("ssl.ca.location failed"),
            "{found:?}"
        );
    }

    #[test]
    fn properties_have_to_fit_the_defaults() {
        let found = problems(&[("reconnect.backoff.ms", "3000")]);
        assert!(
            found.len() == 1 && found[0].contains("reconnect.backoff.max.ms"),
            "{found:?}"
        );
        let found = problems(&[("max.poll.interval.ms", "30000")]);
        assert!(found.len() == 1 && found[0].contains("session.timeout.ms"), "{found:?}");
        let shorter = [("max.poll.interval.ms", "30000"), ("session.timeout.ms", "30000")];
        assert_eq!(problems(&shorter), [""; 0]);
    }

    /// PLAIN, SCRAM and OAUTHBEARER need no more than OpenSSL; a build without them would only be noticed in production.
    #[test]
    fn a_build_has_tls_every_mechanism_of_sasl_but_gssapi_and_every_codec() {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] {
            let mut properties = vec![("security.protocol", "sasl_ssl"), ("sasl.mechanism", mechanism)];
            if mechanism != "OAUTHBEARER" {
                properties.extend([("sasl.username", "worker"), ("sasl.password", "hunter2")]);
            }
            assert_eq!(problems(&properties), [""; 0], "{mechanism}");
        }
        assert!(problems(&[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "GSSAPI")])[0].contains("SASL"));
        for codec in ["gzip", "snappy", "lz4", "zstd"] {
            assert_eq!(problems(&[("compression.type", codec)]), [""; 0], "{codec}");
        }
    }

    #[test]
    fn every_owned_property_is_one_of_librdkafka() {
        for owned in OWNED_PROPERTIES {
            let unknown = matches!(
                ClientConfig::new().set(owned.name, "x").create_native_config(),
                Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..))
            );
            assert!(!unknown, "{}", owned.name);
        }
    }
}
