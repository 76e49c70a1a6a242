//! Everything that the worker is told.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::read::Reader;
use crate::{EgressSettings, Environment, KafkaSettings, Problem, Problems, TranscriptionSettings};

/// What a model runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

/// Where models come from and are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Cache of models, in the hub's own layout.
    pub cache_dir: PathBuf,
    /// URL of the hub.
    pub endpoint: String,
    /// Token, if any.
    pub token: Option<String>,
    /// Whether only the cache is used.
    pub offline: bool,
    /// `MODEL_REVISION`: branch, tag or commit.
    pub revision: Option<String>,
    /// `MODEL_DOWNLOAD_TIMEOUT`.
    pub download_timeout: Duration,
}

/// Everything that the worker is told; defaults, units and ranges are in [`crate::VARIABLES`].
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSettings {
    /// Brokers, properties and topics.
    pub kafka: KafkaSettings,
    /// `KAFKA_GROUP_ID`.
    pub group_id: String,
    /// `DELIVERY_GUARANTEE`: whether it is exactly once.
    pub exactly_once: bool,
    /// `TRANSACTIONAL_ID`.
    pub transactional_id: Option<String>,
    /// `MODEL_SIZE`: a directory, a name, or `org/repo`.
    pub model: String,
    /// `DEVICE`.
    pub device: Device,
    /// `COMPUTE_TYPE`.
    pub compute_type: Option<String>,
    /// `CPU_THREADS`; 0: the number of cores.
    pub cpu_threads: usize,
    /// `ENGINE_REPLICAS`; 0: as suits the device.
    pub replicas: usize,
    /// How speech is transcribed.
    pub transcription: TranscriptionSettings,
    /// `AUDIO_DOWNLOAD_TIMEOUT`.
    pub download_timeout: Duration,
    /// `TRANSCRIBE_TIMEOUT`.
    pub transcribe_timeout: Duration,
    /// `MAX_AUDIO_BYTES`.
    pub audio_bytes_max: u64,
    /// `MAX_AUDIO_DURATION_SEC`.
    pub audio_duration_max: Duration,
    /// `DECODE_ISOLATION` is `process` or `require`.
    pub decode_isolated: bool,
    /// It is `require`.
    pub decode_isolation_required: bool,
    /// `DECODE_MEMORY_BYTES`.
    pub decode_memory_bytes: u64,
    /// `DECODE_CPU_SEC`.
    pub decode_cpu_max: Option<Duration>,
    /// `DECODE_JOBS_MAX`.
    pub decode_jobs_max: u32,
    /// `MAX_ATTEMPTS`.
    pub attempts_max: u32,
    /// `RETRY_BACKOFF_BASE_MS`.
    pub backoff_base: Duration,
    /// `RETRY_BACKOFF_MAX_MS`.
    pub backoff_max: Duration,
    /// `IDEMPOTENCY_TTL_SEC`.
    pub idempotency_ttl: Duration,
    /// `IDEMPOTENCY_MAX_ENTRIES`.
    pub idempotency_entries_max: usize,
    /// `WORKER_CONCURRENCY`; 0: what suits the device.
    pub concurrency: usize,
    /// `WORKER_QUEUE_MAX`.
    pub queue_max: usize,
    /// `METRICS_PORT`; 0 is a free one.
    pub metrics_port: u16,
    /// `METRICS_HOST`; `None` is all interfaces.
    pub metrics_host: Option<IpAddr>,
    /// `HEALTH_PORT`; 0 is a free one.
    pub health_port: u16,
    /// `HEALTH_HOST`; `None` is all interfaces.
    pub health_host: Option<IpAddr>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub otlp_endpoint: Option<String>,
    /// `TMP_DIR`.
    pub tmp_dir: PathBuf,
    /// Where audio may come from.
    pub egress: EgressSettings,
    /// `SHUTDOWN_GRACE_SEC`.
    pub shutdown_grace: Duration,
    /// `STARTUP_TIMEOUT_SEC`.
    pub startup_timeout: Duration,
    /// `RUST_LOG`, or else `LOG_LEVEL`.
    pub log_filter: String,
    /// `HF_*`.
    pub hub: HubSettings,
}

impl WorkerSettings {
    /// Reads them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(environment: &Environment) -> Result<Self, Problems> {
        Self::read_and_check(environment, |_| vec![])
    }

    /// Reads them, and lets others who know more look at them before the problems are told. They see defaults in place
    /// of the values that are wrong already.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read_and_check(
        environment: &Environment,
        check: impl FnOnce(&Self) -> Vec<Problem>,
    ) -> Result<Self, Problems> {
        let mut reader = Reader::new(environment);
        let read = &mut reader;
        let settings = Self {
            kafka: KafkaSettings::read_with(read),
            group_id: read.text("KAFKA_GROUP_ID"),
            exactly_once: read.text("DELIVERY_GUARANTEE") == "exactly-once",
            transactional_id: read.optional("TRANSACTIONAL_ID"),
            model: read.text("MODEL_SIZE"),
            device: if read.text("DEVICE") == "cuda" {
                Device::Cuda
            } else {
                Device::Cpu
            },
            compute_type: read.optional("COMPUTE_TYPE"),
            cpu_threads: read.whole("CPU_THREADS"),
            replicas: read.whole("ENGINE_REPLICAS"),
            transcription: TranscriptionSettings::read_with(read),
            download_timeout: read.seconds("AUDIO_DOWNLOAD_TIMEOUT"),
            transcribe_timeout: read.seconds("TRANSCRIBE_TIMEOUT"),
            audio_bytes_max: read.whole("MAX_AUDIO_BYTES"),
            audio_duration_max: read.seconds("MAX_AUDIO_DURATION_SEC"),
            decode_isolated: read.text("DECODE_ISOLATION") != "none",
            decode_isolation_required: read.text("DECODE_ISOLATION") == "require",
            decode_memory_bytes: read.whole("DECODE_MEMORY_BYTES"),
            decode_cpu_max: read.optional_seconds("DECODE_CPU_SEC"),
            decode_jobs_max: read.whole("DECODE_JOBS_MAX"),
            attempts_max: read.whole("MAX_ATTEMPTS"),
            backoff_base: read.millis("RETRY_BACKOFF_BASE_MS"),
            backoff_max: read.millis("RETRY_BACKOFF_MAX_MS"),
            idempotency_ttl: read.seconds("IDEMPOTENCY_TTL_SEC"),
            idempotency_entries_max: read.whole("IDEMPOTENCY_MAX_ENTRIES"),
            concurrency: read.whole("WORKER_CONCURRENCY"),
            queue_max: read.whole("WORKER_QUEUE_MAX"),
            metrics_port: read.whole("METRICS_PORT"),
            metrics_host: read.address("METRICS_HOST"),
            health_port: read.whole("HEALTH_PORT"),
            health_host: read.address("HEALTH_HOST"),
            otlp_endpoint: read.optional("OTEL_EXPORTER_OTLP_ENDPOINT"),
            tmp_dir: read.text("TMP_DIR").into(),
            egress: EgressSettings::read_with(read),
            shutdown_grace: read.seconds("SHUTDOWN_GRACE_SEC"),
            startup_timeout: read.seconds("STARTUP_TIMEOUT_SEC"),
            log_filter: log_filter(read),
            hub: HubSettings::read_with(read),
        };
        if settings.backoff_max < settings.backoff_base {
            reader.refuse("RETRY_BACKOFF_MAX_MS", "must not be less than RETRY_BACKOFF_BASE_MS");
        }
        if settings.health_port == settings.metrics_port && settings.health_port != 0 {
            reader.refuse("HEALTH_PORT", "must differ from METRICS_PORT");
        }
        reader.note(check(&settings));
        reader.finish(settings)
    }
}

fn log_filter(read: &mut Reader<'_>) -> String {
    let level = read.text("LOG_LEVEL");
    read.optional("RUST_LOG").unwrap_or(level)
}

impl HubSettings {
    pub(crate) fn read_with(read: &mut Reader<'_>) -> Self {
        let home = read.optional("HF_HOME").map(PathBuf::from);
        Self {
            cache_dir: match read.optional("HF_HUB_CACHE") {
                Some(dir) => dir.into(),
                None => home.unwrap_or_else(|| default_home(read.environment)).join("hub"),
            },
            revision: read.optional("MODEL_REVISION"),
            download_timeout: read.seconds("MODEL_DOWNLOAD_TIMEOUT"),
            endpoint: read.text("HF_ENDPOINT"),
            token: read.optional("HF_TOKEN"),
            offline: read.switch("HF_HUB_OFFLINE"),
        }
    }
}

/// As the Hugging Face libraries have it. A process without a home keeps its models where it was started.
fn default_home(environment: &Environment) -> PathBuf {
    let cache = environment.get("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(environment.get("HOME").unwrap_or(".")).join(".cache"));
    cache.join("huggingface")
}

impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSettings")
            .field("cache_dir", &self.cache_dir)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<WorkerSettings, Problems> {
        WorkerSettings::read(&Environment::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn every_problem_is_told_at_once_and_no_secret_with_it() {
        let problems = read(&[
            ("MAX_ATTEMPTS", "three"),
            ("DEVICE", "gpu"),
            ("TRANSCRIBE_TIMEOUT", "2m"),
            ("MAX_AUDIO_BYTES", "25MB"),
            ("METRICS_PORT", "8081"),
            ("RETRY_BACKOFF_BASE_MS", "60001"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://me:hunter2@collector"),
            ("HF_TOKEN", "hf_\u{7}bell"),
            ("STT_JOBS_TOPIC", "stt jobs"),
        ]);
        let text = problems.unwrap_err().to_string();
        assert_eq!(
            text,
            "STT_JOBS_TOPIC=stt jobs: must be 1 to 249 letters, digits, dots, dashes or underscores\n\
             DEVICE=gpu: must be cpu or cuda\n\
             TRANSCRIBE_TIMEOUT=2m: must be seconds, 0.1 to 86400, decimals allowed\n\
             MAX_AUDIO_BYTES=25MB: must be a whole number of bytes, 1 to 4294967296\n\
             MAX_ATTEMPTS=three: must be a whole number, 1 to 100\n\
             OTEL_EXPORTER_OTLP_ENDPOINT=grpc://***@collector: must be an http or https URL\n\
             HF_TOKEN=***: must be printable text\n\
             RETRY_BACKOFF_MAX_MS=60000: must not be less than RETRY_BACKOFF_BASE_MS\n\
             HEALTH_PORT=8081: must differ from METRICS_PORT"
        );
    }

    #[test]
    fn what_is_not_set_or_empty_has_its_default() {
        let settings = read(&[("MODEL_SIZE", "  "), ("HOME", "/home/me")]).unwrap();
        assert_eq!(settings, read(&[("HOME", "/home/me")]).unwrap());
        assert_eq!((settings.model.as_str(), settings.device), ("small", Device::Cpu));
        assert_eq!((settings.audio_bytes_max, settings.attempts_max), (26_214_400, 3));
        assert_eq!(settings.shutdown_grace, Duration::from_secs(25));
        assert_eq!(settings.hub.cache_dir, PathBuf::from("/home/me/.cache/huggingface/hub"));
        assert_eq!(settings.log_filter, "info");
        assert!(settings.decode_isolated && !settings.decode_isolation_required && settings.decode_jobs_max == 64);
        assert_eq!((settings.metrics_host, settings.health_host), (None, None));
    }

    #[test]
    fn what_is_set_is_taken_trimmed_and_typed() {
        let settings = read(&[
            ("AUDIO_DOWNLOAD_TIMEOUT", " 2.5 "),
            ("DECODE_ISOLATION", "none"),
            ("METRICS_PORT", "0"),
            ("HEALTH_PORT", "0"),
            ("HEALTH_HOST", "::1"),
            ("HF_HOME", "/data/hf"),
            ("HF_HUB_OFFLINE", "ON"),
            ("HF_TOKEN", "hf_abc"),
            ("LOG_LEVEL", "warn"),
            ("RUST_LOG", "debug"),
        ])
        .unwrap();
        assert_eq!(settings.download_timeout, Duration::from_millis(2_500));
        assert_eq!(settings.hub.cache_dir, PathBuf::from("/data/hf/hub"));
        assert!(settings.hub.offline && !settings.decode_isolated);
        assert_eq!(settings.log_filter, "debug");
        assert_eq!(settings.health_host, Some("::1".parse().unwrap()));
        assert!(!format!("{settings:?}").contains("hf_abc"));
    }
}
