//! What librdkafka reports besides answers to requests: log lines, and errors that belong to no request.

use std::sync::{Mutex, PoisonError};

use log::Level;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// A client context that keeps the last error, so that a request without an answer can name a cause.
#[derive(Default)]
pub(crate) struct LastError {
    last: Mutex<Option<String>>,
}

impl LastError {
    /// The last error.
    pub(crate) fn get(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for LastError {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        forward_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // "all brokers are down" follows the error that says why.
        if last.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for LastError {}

/// Forwards a log line of librdkafka under its own target. Lines that also come as an error, or that repeat with every
/// attempt to connect, go to debug: the code that receives the error decides what to log.
pub(crate) fn forward_log(level: RDKafkaLogLevel, facility: &str, text: &str) {
    let level = match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => Level::Error,
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => match facility {
            // CONFWARN: consumer properties set on a producer and the like; the operator's properties go to all clients.
            "FAIL" | "ERROR" | "CONFWARN" => Level::Debug,
            _ => Level::Warn,
        },
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => Level::Debug,
        RDKafkaLogLevel::Debug => Level::Trace,
    };
    log::log!(target: "librdkafka", level, "{facility} {text}");
}
