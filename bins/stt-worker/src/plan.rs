//! From settings to what the parts are made with.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use stt_audio::{DecodeConfig, FetchConfig};
use stt_core::{Backoff, CoordinatorConfig, DetailLevel, Limits};
use stt_hub::HubConfig;
use stt_kafka::{Connection, SinkConfig, SourceConfig, TransactionConfig};
use stt_settings::{
    Device, Environment, Problem, Problems, TranscriptionSettings, VadSettings, WorkerSettings, kafka_conf_variable,
};
use stt_whisper::{AudioContext, CompressionUnit, InitialPrompt, Options, Task, VadOptions};

use crate::egress::Egress;

/// Most jobs at once that `WORKER_CONCURRENCY=0` takes on the processor: each has room of its own in `TMP_DIR` and in memory.
const CPU_JOBS_MAX: usize = 16;

/// Settings that every part has agreed to.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) settings: WorkerSettings,
    egress: Egress,
}

impl Plan {
    /// Reads them; all problems are told at once, whichever part they are with.
    pub(crate) fn read(environment: &Environment) -> Result<Self, Problems> {
        let mut egress = Egress::default();
        let settings = WorkerSettings::read_and_check(environment, |draft| {
            let mut problems = kafka_problems(draft);
            egress = Egress::read(&draft.egress, &mut problems);
            problems
        })?;
        Ok(Self { settings, egress })
    }

    /// What `--check` prints.
    pub(crate) fn show(&self, environment: &Environment) -> String {
        stt_settings::warnings(environment).iter().fold(
            stt_settings::show(environment, &self.settings),
            |mut text, warning| {
                let _ = writeln!(text, "warning: {warning}"); // writing to a String cannot fail
                text
            },
        )
    }

    pub(crate) fn connection(&self) -> Connection {
        connection(&self.settings)
    }

    /// The topics that must exist.
    pub(crate) fn topics(&self) -> Vec<String> {
        let kafka = &self.settings.kafka;
        let topics = [&kafka.jobs_topic, &kafka.results_topic, &kafka.dlq_topic];
        topics.into_iter().chain(&kafka.retry_topic).cloned().collect()
    }

    /// An operator's `session.timeout.ms`, or the default.
    fn session_timeout(&self) -> Duration {
        let text = self.settings.kafka.properties.get("session.timeout.ms");
        let millis = text
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_millis);
        millis.unwrap_or(SourceConfig::default().session_timeout)
    }

    pub(crate) fn source(&self) -> SourceConfig {
        SourceConfig {
            group_id: self.settings.group_id.clone(),
            topic: self.settings.kafka.jobs_topic.clone(),
            retry_topic: self.settings.kafka.retry_topic.clone(),
            ..SourceConfig::default()
        }
    }

    pub(crate) fn sink(&self) -> SinkConfig {
        let kafka = &self.settings.kafka;
        SinkConfig {
            results_topic: kafka.results_topic.clone(),
            dlq_topic: kafka.dlq_topic.clone(),
            retry_topic: kafka.retry_topic.as_ref().unwrap_or(&kafka.jobs_topic).clone(),
            ..SinkConfig::default()
        }
    }

    /// How transactions are made, where they are.
    pub(crate) fn transactions(&self) -> Option<TransactionConfig> {
        let group = &self.settings.group_id;
        let id = || format!("{group}-{:016x}", fastrand::u64(..));
        self.settings.exactly_once.then(|| TransactionConfig {
            sink: self.sink(),
            ..TransactionConfig::new(self.settings.transactional_id.clone().unwrap_or_else(id))
        })
    }

    pub(crate) fn fetch(&self, tmp_dir: &Path) -> FetchConfig {
        FetchConfig {
            bytes_max: self.settings.audio_bytes_max,
            tmp_dir: tmp_dir.to_owned(),
            allow: self.egress.allow.clone(),
            deny: self.egress.deny.clone(),
            ports: self.settings.egress.ports.clone(),
            nat64_prefixes: self.egress.nat64_prefixes.clone(),
            proxy: self.egress.proxy.clone(),
            private_roots: self.egress.private_roots.clone(),
            urls_shown: self.settings.egress.urls_shown,
            ..FetchConfig::default()
        }
    }

    /// Most bytes in `TMP_DIR` at once: each job in the window has at most one download.
    pub(crate) fn spilled_bytes_max(&self) -> u64 {
        let settings = &self.settings;
        if settings.audio_bytes_max <= FetchConfig::default().memory_max {
            return 0;
        }
        let window = self.concurrency() + settings.queue_max;
        settings.audio_bytes_max.saturating_mul(window as u64)
    }

    pub(crate) fn decode(&self) -> DecodeConfig {
        DecodeConfig {
            duration_max: self.settings.audio_duration_max,
        }
    }

    pub(crate) fn hub(&self) -> HubConfig {
        let hub = &self.settings.hub;
        HubConfig {
            endpoint: hub.endpoint.clone(),
            token: hub.token.clone(),
            offline: hub.offline,
            revision: hub.revision.clone(),
            time_max: hub.download_timeout,
            ..HubConfig::new(hub.cache_dir.clone())
        }
    }

    /// What the model runs on, and how it transcribes.
    pub(crate) fn engine(&self, model_dir: &Path) -> stt_whisper::Config {
        stt_whisper::Config {
            device: match self.settings.device {
                Device::Cpu => stt_whisper::Device::Cpu,
                Device::Cuda => stt_whisper::Device::Cuda,
            },
            compute_type: self.settings.compute_type.clone(),
            replicas: self.settings.replicas,
            cpu_threads: self.settings.cpu_threads,
            batch_size: self.settings.transcription.batch_size,
            seed: self.settings.transcription.seed,
            options: options(&self.settings.transcription),
            ..stt_whisper::Config::new(model_dir)
        }
    }

    /// Jobs transcribed at once. A job of its own keeps each replica busy; on a GPU two calls of whole batches do.
    pub(crate) fn concurrency(&self) -> usize {
        let engine = self.engine(Path::new(""));
        match (self.settings.concurrency, engine.device) {
            (0, stt_whisper::Device::Cpu) => engine.replicas().min(CPU_JOBS_MAX),
            (0, stt_whisper::Device::Cuda) => 2 * engine.batch_size,
            (asked, _) => asked,
        }
    }

    pub(crate) fn pipeline(&self) -> stt_pipeline::Config {
        let settings = &self.settings;
        let coordinator = CoordinatorConfig {
            concurrency: self.concurrency(),
            queue_max: settings.queue_max,
            site_downloads_max: settings.egress.site_downloads_max,
            limits: Limits {
                download: settings.download_timeout,
                transcribe: settings.transcribe_timeout,
                attempts_max: settings.attempts_max,
                backoff: Backoff {
                    base: settings.backoff_base,
                    max: settings.backoff_max,
                },
                ..Limits::default()
            },
            priority_topic: settings.kafka.retry_topic.as_deref().map(Into::into),
            detail: settings.transcription.detail,
            model_version: settings.model.as_str().into(),
            session_timeout: self.session_timeout(),
            idempotency_ttl: settings.idempotency_ttl,
            idempotency_entries_max: settings.idempotency_entries_max,
            shutdown_grace: settings.shutdown_grace,
            leave_wait: crate::signals::LEAVE_WAIT,
            seed: fastrand::u64(..),
            ..CoordinatorConfig::default()
        };
        stt_pipeline::Config {
            coordinator,
            ..stt_pipeline::Config::default()
        }
    }
}

fn options(settings: &TranscriptionSettings) -> Options {
    let defaults = Options::default();
    Options {
        language: None,
        task: match settings.task {
            stt_settings::Task::Transcribe => Task::Transcribe,
            stt_settings::Task::Translate => Task::Translate,
        },
        languages: settings.languages.clone(),
        multilingual: settings.multilingual,
        language_detection_segments: settings.language_detection_segments,
        language_detection_threshold: settings.language_detection_threshold,
        vad_filter: settings.vad_filter,
        vad_parameters: vad(&settings.vad),
        beam_size: settings.beam_size,
        patience: settings.patience,
        best_of: settings.best_of,
        temperatures: settings.temperatures.clone(),
        initial_prompt: settings.initial_prompt.as_deref().map(InitialPrompt::from),
        prefix: settings.prefix.clone(),
        hotwords: settings.hotwords.clone(),
        condition_on_previous_text: settings.condition_on_previous_text,
        prompt_reset_on_temperature: settings.prompt_reset_on_temperature,
        without_timestamps: settings.without_timestamps,
        max_initial_timestamp: settings.max_initial_timestamp.into(),
        chunk_length: Some(settings.chunk_length).filter(|sec| *sec != 30),
        clip_timestamps: settings.clip_timestamps.clone(),
        suppress_tokens: settings.suppress_tokens.clone(),
        suppress_blank: settings.suppress_blank,
        prepend_punctuations: settings
            .prepend_punctuations
            .clone()
            .unwrap_or(defaults.prepend_punctuations),
        append_punctuations: settings
            .append_punctuations
            .clone()
            .unwrap_or(defaults.append_punctuations),
        audio_context: if settings.audio_context_auto {
            AudioContext::Auto
        } else {
            AudioContext::Full
        },
        encode_once: settings.encode_once,
        whole_context: settings.whole_context,
        compression_ratio_threshold: settings.compression_ratio_threshold,
        compression_unit: match settings.compression_ratio_unit {
            stt_settings::CompressionUnit::Characters => CompressionUnit::Characters,
            stt_settings::CompressionUnit::Bytes => CompressionUnit::Bytes,
        },
        log_prob_threshold: settings.log_prob_threshold,
        no_speech_threshold: settings.no_speech_threshold,
        hallucination_silence_threshold: settings.hallucination_silence_threshold.map(|time| time.as_secs_f64()),
        length_penalty: settings.length_penalty,
        repetition_penalty: settings.repetition_penalty,
        no_repeat_ngram_size: settings.no_repeat_ngram_size,
        max_new_tokens: settings.max_new_tokens,
        word_timestamps: settings.detail == DetailLevel::Words,
    }
}

fn vad(settings: &VadSettings) -> VadOptions {
    VadOptions {
        threshold: settings.threshold,
        neg_threshold: settings.neg_threshold,
        doubt_threshold: settings.doubt_threshold,
        min_speech_duration_ms: settings.min_speech_ms,
        max_speech_duration_s: settings.max_speech.map_or(f32::INFINITY, |most| most.as_secs_f32()),
        min_silence_duration_ms: settings.min_silence_ms,
        speech_pad_ms: settings.speech_pad_ms,
        keep_short_start: settings.keep_short_start,
    }
}

fn connection(settings: &WorkerSettings) -> Connection {
    Connection {
        bootstrap_servers: settings.kafka.bootstrap_servers.clone(),
        properties: settings.kafka.properties.clone(),
    }
}

fn kafka_problems(settings: &WorkerSettings) -> Vec<Problem> {
    let properties = &settings.kafka.properties;
    let name = |problem: stt_kafka::PropertyProblem| {
        let Some(property) = &problem.property else {
            return Problem::new("KAFKA_CONF_*", "***", problem.rule);
        };
        // A misspelt name does not tell whether its value is a secret. The rule quotes the value where it is none.
        let is_owned = stt_kafka::OWNED_PROPERTIES.iter().any(|owned| owned.name == *property);
        let value = properties
            .get(property)
            .filter(|_| is_owned)
            .map_or("***", String::as_str);
        Problem::new(kafka_conf_variable(property), value, problem.rule)
    };
    stt_kafka::check_properties(properties).into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_all_parts_are_told_at_once() {
        let environment = Environment::from_pairs([
            ("DEVICE", "gpu"),
            ("KAFKA_CONF_ACKS", "1"),
            ("KAFKA_CONF_SASL_PASWORD", "hunter2"),
            ("AUDIO_URL_ALLOW", "127.0.0.1/32,10.0.0.0/99"),
        ]);
        let text = Plan::read(&environment).unwrap_err().to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[0], "DEVICE=gpu: must be cpu or cuda");
        assert!(
            lines[1].starts_with("KAFKA_CONF_ACKS=1: is set by the worker: "),
            "{text}"
        );
        assert_eq!(lines[2], "KAFKA_CONF_SASL_PASWORD=***: is no property of librdkafka");
        assert!(lines[3].starts_with("AUDIO_URL_ALLOW=10.0.0.0/99: "), "{text}");
    }

    #[test]
    fn every_setting_reaches_its_part() {
        let environment = Environment::from_pairs([
            ("MAX_AUDIO_BYTES", "7"),
            ("MAX_AUDIO_DURATION_SEC", "8"),
            ("AUDIO_DOWNLOAD_TIMEOUT", "9"),
            ("TRANSCRIBE_TIMEOUT", "10"),
            ("MAX_ATTEMPTS", "11"),
            ("RETRY_BACKOFF_BASE_MS", "12"),
            ("RETRY_BACKOFF_MAX_MS", "13"),
            ("WORKER_CONCURRENCY", "14"),
            ("WORKER_QUEUE_MAX", "15"),
            ("CPU_THREADS", "16"),
            ("ENGINE_REPLICAS", "3"),
            ("SHUTDOWN_GRACE_SEC", "17"),
            ("DEVICE", "cuda"),
            ("COMPUTE_TYPE", "int8"),
            ("KAFKA_GROUP_ID", "g"),
            ("STT_JOBS_TOPIC", "j"),
            ("STT_RESULTS_TOPIC", "r"),
            ("STT_DLQ_TOPIC", "d"),
            ("STT_RETRY_TOPIC", "again"),
            ("AUDIO_URL_ALLOW", "media.internal"),
            ("AUDIO_URL_DENY", ".evil.example,10.0.0.1"),
            ("AUDIO_URL_PORTS", "8443"),
            ("EGRESS_PROXY", "http://me:hunter2@proxy:3128"),
            ("HF_TOKEN", "t"),
            ("RESULT_DETAIL", "words"),
        ]);
        let plan = Plan::read(&environment).unwrap();
        let (fetch, pipeline, engine) = (
            plan.fetch(Path::new("/t")),
            plan.pipeline().coordinator,
            plan.engine(Path::new("/m")),
        );
        assert_eq!(
            (fetch.bytes_max, fetch.tmp_dir.as_path(), fetch.allow.len()),
            (7, Path::new("/t"), 1)
        );
        assert_eq!((fetch.deny.len(), fetch.ports.as_slice()), (2, &[8443][..]));
        assert!(fetch.proxy.is_some() && !format!("{plan:?}").contains("hunter2"));
        assert_eq!(plan.decode().duration_max.as_secs(), 8);
        let limits = &pipeline.limits;
        assert_eq!(
            (
                limits.download.as_secs(),
                limits.transcribe.as_secs(),
                limits.attempts_max
            ),
            (9, 10, 11)
        );
        assert_eq!(
            (limits.backoff.base.as_millis(), limits.backoff.max.as_millis()),
            (12, 13)
        );
        assert_eq!((pipeline.concurrency, pipeline.queue_max), (14, 15));
        assert_eq!(pipeline.shutdown_grace.as_secs(), 17);
        assert_eq!(pipeline.detail, stt_core::DetailLevel::Words);
        assert_eq!((engine.cpu_threads, engine.device), (16, stt_whisper::Device::Cuda));
        assert_eq!(engine.replicas, 3);
        assert_eq!(engine.compute_type.as_deref(), Some("int8"));
        assert_eq!(
            (plan.source().group_id.as_str(), plan.source().topic.as_str()),
            ("g", "j")
        );
        assert_eq!(
            (plan.sink().results_topic.as_str(), plan.sink().dlq_topic.as_str()),
            ("r", "d")
        );
        assert_eq!(plan.sink().retry_topic, "again");
        assert_eq!(plan.source().retry_topic.as_deref(), Some("again"));
        assert_eq!(pipeline.priority_topic.as_deref(), Some("again"));
        assert_eq!(plan.topics(), ["j", "r", "d", "again"]);
        assert_eq!(plan.hub().token.as_deref(), Some("t"));
    }

    #[test]
    fn nothing_set_is_what_the_engine_recommends() {
        let plan = Plan::read(&Environment::from_pairs::<&str, &str>([])).unwrap();
        assert_eq!(plan.engine(Path::new("/m")).options, Options::recommended());
    }

    #[test]
    fn the_recipe_of_the_documentation_is_faster_whisper_to_the_last_option() {
        let page = include_str!("../../../docs/configuration.md");
        let recipe = page
            .split("<!-- faster-whisper -->")
            .nth(1)
            .and_then(|rest| rest.lines().find(|line| line.contains('=')))
            .expect("the recipe");
        let pairs = recipe.split_whitespace().filter_map(|pair| pair.split_once('='));
        let plan = Plan::read(&Environment::from_pairs(pairs)).unwrap();
        let engine = plan.engine(Path::new("/m"));
        assert_eq!(engine.options, Options::default());
        assert_eq!(engine.compute_type(), "default", "that of the saved model");
    }

    #[test]
    fn jobs_at_once_suit_the_device_unless_they_are_set() {
        let concurrency = |pairs: &[(&str, &str)]| {
            let plan = Plan::read(&Environment::from_pairs(pairs.iter().copied())).unwrap();
            assert_eq!(plan.pipeline().coordinator.concurrency, plan.concurrency());
            plan.concurrency()
        };
        assert_eq!(concurrency(&[("ENGINE_REPLICAS", "3")]), 3);
        assert_eq!(concurrency(&[("ENGINE_REPLICAS", "64")]), CPU_JOBS_MAX);
        assert_eq!(concurrency(&[("ENGINE_REPLICAS", "3"), ("SEED", "1")]), 1, "one by one");
        assert_eq!(concurrency(&[("DEVICE", "cuda"), ("BATCH_SIZE", "16")]), 32);
        assert_eq!(concurrency(&[("ENGINE_REPLICAS", "3"), ("WORKER_CONCURRENCY", "1")]), 1);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(concurrency(&[]), cores.min(CPU_JOBS_MAX));
    }

    #[test]
    fn every_compute_type_of_the_engine_can_be_set() {
        for name in stt_whisper::COMPUTE_TYPES {
            let environment = Environment::from_pairs([("COMPUTE_TYPE", *name)]);
            assert!(Plan::read(&environment).is_ok(), "{name}");
        }
    }
}
