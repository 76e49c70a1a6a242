//! The options that both tools have.

use std::str::FromStr;
use std::time::Duration;

use lexopt::{Parser, ValueExt as _};
use stt_kafka::Connection;
use stt_settings::{Environment, KafkaSettings};

use crate::Failure;

/// How messages are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The message's own bytes, one message per line.
    #[default]
    Json,
    /// A row in aligned columns.
    Table,
    /// The transcript only, or the error.
    Text,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "table" => Ok(Self::Table),
            "text" => Ok(Self::Text),
            _ => Err("must be json, table or text".to_owned()),
        }
    }
}

/// Options that stand for a setting, and win over it.
const SETTINGS: [(&str, &str); 4] = [
    ("bootstrap-servers", "KAFKA_BOOTSTRAP_SERVERS"),
    ("jobs-topic", "STT_JOBS_TOPIC"),
    ("results-topic", "STT_RESULTS_TOPIC"),
    ("dlq-topic", "STT_DLQ_TOPIC"),
];

/// Where Kafka is and what the topics are called, as far as the command line says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brokers(Vec<(&'static str, String)>);

impl Brokers {
    /// Takes the option if it is one of these. False if it is not.
    ///
    /// # Errors
    /// [`Failure::Arguments`] when the value is missing or empty.
    pub fn take(&mut self, option: &str, parser: &mut Parser) -> Result<bool, Failure> {
        let Some((_, variable)) = SETTINGS.iter().find(|(name, _)| *name == option) else {
            return Ok(false);
        };
        let value = text(parser)?;
        if value.trim().is_empty() {
            return Err(Failure::Arguments(format!("--{option} must not be empty")));
        }
        self.0.push((variable, value));
        Ok(true)
    }

    /// The settings of the environment, with what the command line says instead.
    ///
    /// # Errors
    /// [`Failure::Settings`].
    pub fn settings(&self, environment: &Environment) -> Result<KafkaSettings, Failure> {
        let given = self.0.iter().map(|(variable, value)| (*variable, value.as_str()));
        let together = Environment::from_pairs(environment.iter().chain(given));
        KafkaSettings::read(&together).map_err(Failure::Settings)
    }

    /// How to reach the brokers of these settings.
    #[must_use]
    pub fn connection(settings: &KafkaSettings) -> Connection {
        Connection {
            bootstrap_servers: settings.bootstrap_servers.clone(),
            properties: settings.properties.clone(),
        }
    }
}

/// The value of an option, as text.
///
/// # Errors
/// [`Failure::Arguments`] when there is none, or it is no UTF-8.
pub fn text(parser: &mut Parser) -> Result<String, Failure> {
    Ok(parser.value()?.string()?)
}

/// Longest time an option takes, in seconds: a year.
const SECONDS_MAX: f64 = 31_536_000.0;

/// A time in seconds, with decimals if need be.
///
/// # Errors
/// The rule, when it is none, or not above 0, or more than a year.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok();
    seconds
        .filter(|seconds| *seconds > 0.0 && *seconds <= SECONDS_MAX)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("must be a number of seconds above 0, at most {SECONDS_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_above_zero_and_finite() {
        for text in ["", "0", "-1", "NaN", "inf", "1e9", "5s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let environment = Environment::from_pairs([
            ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"),
            ("STT_RESULTS_TOPIC", "out"),
            ("KAFKA_CONF_CLIENT_ID", "me"),
        ]);
        let mut parser = Parser::from_args(["--bootstrap-servers", "localhost:1", "--results-topic", ""]);
        let mut brokers = Brokers::default();
        parser.next().unwrap();
        assert!(brokers.take("bootstrap-servers", &mut parser).unwrap());
        parser.next().unwrap();
        let error = brokers.take("results-topic", &mut parser).unwrap_err().to_string();
        assert_eq!(error, "--results-topic must not be empty");
        assert!(!brokers.take("wait", &mut parser).unwrap());

        let settings = brokers.settings(&environment).unwrap();
        assert_eq!(settings.bootstrap_servers, "localhost:1");
        assert_eq!(
            (settings.results_topic.as_str(), settings.jobs_topic.as_str()),
            ("out", "stt.jobs")
        );
        assert_eq!(Brokers::connection(&settings).properties["client.id"], "me");
    }
}
