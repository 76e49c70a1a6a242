//! Why a worker could not start or go on.

use std::path::PathBuf;

use stt_kafka::ClientError;

/// What lies behind an error, of whatever type.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a worker could not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("a stop was asked for")]
    Stopped,
    #[error("cannot use {} as TMP_DIR", .path.display())]
    TmpDir { path: PathBuf, source: std::io::Error },
    #[error("cannot serve {what} on port {port}")]
    Port {
        what: &'static str,
        port: u16,
        source: Cause,
    },
    #[error("cannot write the broker's address to {}", .path.display())]
    AddressFile { path: PathBuf, source: std::io::Error },
    #[error("the embedded broker did not start")]
    EmbeddedBroker(#[source] ClientError),
    #[error("the model {model} cannot be had")]
    Model {
        model: String,
        source: Box<stt_hub::HubError>,
    },
    #[error("the model {model} cannot be loaded")]
    Load {
        model: String,
        source: stt_whisper::LoadError,
    },
    #[error("kafka is not ready")]
    Kafka(#[source] ClientError),
    #[error(
        "no {} at {bootstrap_servers} within {} s, or this user may not see them; make each of them with \
         kafka-topics.sh --bootstrap-server {bootstrap_servers} --create --topic NAME --partitions 6, or name others in \
         STT_JOBS_TOPIC, STT_RESULTS_TOPIC and STT_DLQ_TOPIC",
        topics(.missing), .waited.as_secs_f32()
    )]
    Topics {
        missing: Vec<String>,
        bootstrap_servers: String,
        waited: std::time::Duration,
    },
    #[error("audio cannot be decoded in processes of their own")]
    Decoder(#[source] Cause),
    #[error("downloads cannot be made ready")]
    Fetch(#[source] Cause),
    #[error("metrics cannot be recorded")]
    Metrics(#[source] Cause),
    #[error("a thread could not be started, or broke down")]
    Thread(#[source] std::io::Error),
    #[error("signals cannot be heard")]
    Signals(#[source] std::io::Error),
    #[error("the worker ended on its own")]
    Ended(#[from] stt_pipeline::Ended),
}

fn topics(missing: &[String]) -> String {
    let noun = if missing.len() == 1 { "topic" } else { "topics" };
    format!("{noun} {}", missing.join(", "))
}
