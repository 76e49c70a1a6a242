//! Where the brokers are and how to talk to them.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

use crate::{ClientError, properties};

/// Where the brokers are, and the operator's librdkafka properties.
///
/// Clients set what they own themselves ([`crate::OWNED_PROPERTIES`]); everything else that they set is a default, which
/// a property of the same name replaces. `Debug` shows the names of the properties, never their values.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// `host:port`, more of them separated by commas.
    pub bootstrap_servers: String,
    /// librdkafka properties, as in `security.protocol` -> `SASL_SSL`.
    pub properties: BTreeMap<String, String>,
}

/// What every client sets unless the operator does.
const DEFAULTS: [(&str, &str); 5] = [
    ("client.id", "stt-worker"),
    // How soon a new topic or new partitions are noticed; librdkafka's own default is 5 minutes.
    ("topic.metadata.refresh.interval.ms", "10000"),
    // After an outage: with the default of 10 s, a broker that is back is noticed late.
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.keepalive.enable", "true"),
    // Brokers close idle connections; that is not an error.
    ("log.connection.close", "false"),
];

/// Properties of a member of a consumer group. librdkafka creates no consumer whose `max.poll.interval.ms` is below its
/// `session.timeout.ms`, and only a member gets that from [`crate::SourceConfig`]. So other clients do not get these.
const MEMBER_PROPERTIES: [&str; 4] = [
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "group.instance.id",
];

impl Connection {
    /// To these brokers, without further properties.
    #[must_use]
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            properties: BTreeMap::new(),
        }
    }

    /// The configuration of a member of a consumer group: defaults, then the operator's properties, then what the client owns.
    pub(crate) fn member(
        &self,
        defaults: &[(&str, &str)],
        owned: &[(&str, &str)],
    ) -> Result<ClientConfig, ClientError> {
        self.config(defaults, owned, |_| true)
    }

    /// The configuration of any other client, in the same order.
    pub(crate) fn client(
        &self,
        defaults: &[(&str, &str)],
        owned: &[(&str, &str)],
    ) -> Result<ClientConfig, ClientError> {
        self.config(defaults, owned, |property| !MEMBER_PROPERTIES.contains(&property))
    }

    fn config(
        &self,
        defaults: &[(&str, &str)],
        owned: &[(&str, &str)],
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<ClientConfig, ClientError> {
        let problems = properties::check_each(&self.properties);
        if !problems.is_empty() {
            return Err(ClientError::Properties(problems));
        }
        let mut config = ClientConfig::new();
        for (key, value) in DEFAULTS.iter().chain(defaults) {
            config.set(*key, *value);
        }
        for (key, value) in self.properties.iter().filter(|(key, _)| is_wanted(key)) {
            config.set(properties::canonical(key), value);
        }
        for (key, value) in owned {
            config.set(*key, *value);
        }
        config.set("bootstrap.servers", &self.bootstrap_servers);
        Ok(config)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::consumer::BaseConsumer;

    fn with(properties: &[(&str, &str)]) -> Connection {
        let mut connection = Connection::new("localhost:9092");
        let properties = properties
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        connection.properties.extend(properties);
        connection
    }

    #[test]
    fn an_owned_property_makes_no_client_and_no_secret_is_shown() {
        let connection = with(&[("acks", "1"), ("sasl.password", "hunter2")]);
        let error = connection.client(&[], &[]).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("acks: is set by the worker"), "{error}");
        assert!(!format!("{connection:?} {error:?} {error}").contains("hunter2"));
    }

    #[test]
    fn only_members_need_a_session_within_the_poll_interval() {
        let connection = with(&[("max.poll.interval.ms", "6000"), ("group.instance.id", "a")]);
        let member = |session| connection.member(&[("session.timeout.ms", session)], &[("group.id", "g")]);
        for (config, is_made) in [
            (connection.client(&[], &[]), true),
            (connection.client(&[], &[("group.id", "g")]), true),
            (member("6000"), true),
            (member("6001"), false),
        ] {
            let made: Result<BaseConsumer, _> = config.unwrap().create();
            assert_eq!(made.is_ok(), is_made, "{:?}", made.err());
        }
    }

    #[test]
    fn the_operator_wins_over_defaults_also_by_another_name_and_the_client_over_the_operator() {
        let connection = with(&[("compression.codec", "gzip"), ("client.id", "mine")]);
        let defaults = [("compression.type", "zstd")];
        let config = connection.client(&defaults, &[("acks", "all")]).unwrap();
        for (key, value) in [
            ("compression.type", Some("gzip")),
            ("compression.codec", None),
            ("client.id", Some("mine")),
            ("acks", Some("all")),
            ("bootstrap.servers", Some("localhost:9092")),
        ] {
            assert_eq!(config.get(key), value, "{key}");
        }
    }
}
