//! What librdkafka says on the side: log lines, and troubles that belong to no request.

use std::sync::{Mutex, PoisonError};

use log::Level;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Remembers the last trouble, so that a request that got no answer can say why.
#[derive(Default)]
pub(crate) struct Listener {
    last: Mutex<Option<String>>,
}

impl Listener {
    /// The last trouble.
    pub(crate) fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        forward_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // "all brokers are down" follows upon the trouble that tells why.
        if last.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Listener {}

/// Passes a log line of librdkafka on, under its own target. What also comes as an error, or repeats with every attempt
/// to connect, is for debugging only: whoever gets the error decides what to say of it.
pub(crate) fn forward_log(level: RDKafkaLogLevel, facility: &str, text: &str) {
    let level = match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => Level::Error,
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => match facility {
            // CONFWARN: a property for consumers is set on a producer too, and so on; they are passed to all.
            "FAIL" | "ERROR" | "CONFWARN" => Level::Debug,
            _ => Level::Warn,
        },
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => Level::Debug,
        RDKafkaLogLevel::Debug => Level::Trace,
    };
    log::log!(target: "librdkafka", level, "{facility} {text}");
}
