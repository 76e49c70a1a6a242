//! Where Kafka is and what the topics are called: for the worker and the tools.

use std::collections::BTreeMap;
use std::fmt;

use crate::read::Reader;
use crate::{Environment, Problems};

/// A variable of this prefix is a property of librdkafka: `KAFKA_CONF_SASL_USERNAME` is `sasl.username`.
pub const KAFKA_CONF_PREFIX: &str = "KAFKA_CONF_";

/// Where Kafka is and what the topics are called. `Debug` shows the names of properties, never their values.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, more of them separated by commas.
    pub bootstrap_servers: String,
    /// librdkafka properties. That they are known, good and not owned by the worker is for `stt-kafka` to check.
    pub properties: BTreeMap<String, String>,
    /// Topic of the jobs.
    pub jobs_topic: String,
    /// Topic of the results.
    pub results_topic: String,
    /// Topic of the dead letters.
    pub dlq_topic: String,
    /// Topic of the jobs to be tried again, where they have one of their own.
    pub retry_topic: Option<String>,
}

impl KafkaSettings {
    /// Reads them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(environment: &Environment) -> Result<Self, Problems> {
        let mut reader = Reader::new(environment);
        let settings = Self::read_with(&mut reader);
        reader.finish(settings)
    }

    pub(crate) fn read_with(reader: &mut Reader<'_>) -> Self {
        let settings = Self {
            bootstrap_servers: reader.text("KAFKA_BOOTSTRAP_SERVERS"),
            properties: properties(reader),
            jobs_topic: reader.text("STT_JOBS_TOPIC"),
            results_topic: reader.text("STT_RESULTS_TOPIC"),
            dlq_topic: reader.text("STT_DLQ_TOPIC"),
            retry_topic: reader.optional("STT_RETRY_TOPIC"),
        };
        // A worker that reads what it writes would feed on itself.
        if settings.results_topic == settings.jobs_topic {
            reader.refuse("STT_RESULTS_TOPIC", "must differ from STT_JOBS_TOPIC");
        }
        if [&settings.jobs_topic, &settings.results_topic].contains(&&settings.dlq_topic) {
            reader.refuse("STT_DLQ_TOPIC", "must differ from STT_JOBS_TOPIC and STT_RESULTS_TOPIC");
        }
        let others = [&settings.jobs_topic, &settings.results_topic, &settings.dlq_topic];
        if settings
            .retry_topic
            .as_ref()
            .is_some_and(|topic| others.contains(&topic))
        {
            let rule = "must differ from STT_JOBS_TOPIC, STT_RESULTS_TOPIC and STT_DLQ_TOPIC; unset it to keep retries in the \
                        jobs topic";
            reader.refuse("STT_RETRY_TOPIC", rule);
        }
        settings
    }
}

fn properties(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    for (name, value) in reader.environment.iter() {
        let Some(key) = name.strip_prefix(KAFKA_CONF_PREFIX) else {
            continue;
        };
        let property = key.to_ascii_lowercase().replace('_', ".");
        if property.is_empty() {
            reader.refuse(name, "must name a property, as in KAFKA_CONF_SECURITY_PROTOCOL");
        } else if properties.insert(property, value.to_owned()).is_some() {
            reader.refuse(name, "sets a property that another variable sets too");
        }
    }
    properties
}

/// The variable that sets a property, for messages about it.
#[must_use]
pub fn kafka_conf_variable(property: &str) -> String {
    format!("{KAFKA_CONF_PREFIX}{}", property.to_ascii_uppercase().replace('.', "_"))
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("topics", &[&self.jobs_topic, &self.results_topic, &self.dlq_topic])
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<KafkaSettings, Problems> {
        KafkaSettings::read(&Environment::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn properties_come_under_their_own_names() {
        let pem = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----";
        let settings = read(&[
            ("KAFKA_CONF_SECURITY_PROTOCOL", " SASL_SSL "),
            ("KAFKA_CONF_SASL_PASSWORD", "hunter2"),
            ("KAFKA_CONF_SSL_CA_PEM", pem),
            ("KAFKA_CONF_CLIENT_ID", ""),
            ("KAFKA_CONFIG", "not ours"),
        ]);
        let settings = settings.unwrap();
        let found: Vec<_> = settings
            .properties
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("sasl.password", "hunter2"),
                ("security.protocol", "SASL_SSL"),
                ("ssl.ca.pem", pem)
            ]
        );
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(kafka_conf_variable("sasl.password"), "KAFKA_CONF_SASL_PASSWORD");
    }

    #[test]
    fn topics_that_would_feed_on_each_other_are_refused() {
        let problems = read(&[
            ("KAFKA_BOOTSTRAP_SERVERS", "kafka:port"),
            ("STT_RESULTS_TOPIC", "stt.jobs"),
            ("STT_DLQ_TOPIC", "stt.jobs"),
            ("STT_RETRY_TOPIC", "stt.jobs"),
            ("KAFKA_CONF_", "x"),
            ("KAFKA_CONF_client.id", "x"),
            ("KAFKA_CONF_CLIENT_ID", "y"),
        ]);
        assert_eq!(
            problems.unwrap_err().to_string(),
            "KAFKA_BOOTSTRAP_SERVERS=kafka:port: must be host:port, more of them separated by commas\n\
             KAFKA_CONF_=x: must name a property, as in KAFKA_CONF_SECURITY_PROTOCOL\n\
             KAFKA_CONF_client.id=x: sets a property that another variable sets too\n\
             STT_RESULTS_TOPIC=stt.jobs: must differ from STT_JOBS_TOPIC\n\
             STT_DLQ_TOPIC=stt.jobs: must differ from STT_JOBS_TOPIC and STT_RESULTS_TOPIC\n\
             STT_RETRY_TOPIC=stt.jobs: must differ from STT_JOBS_TOPIC, STT_RESULTS_TOPIC and STT_DLQ_TOPIC; unset it to keep \
             retries in the jobs topic"
        );
    }
}
