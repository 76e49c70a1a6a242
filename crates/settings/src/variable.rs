//! The one table of settings.

use crate::Rule;

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variable {
    /// Name of the environment variable.
    pub name: &'static str,
    /// Its value when it is not set.
    pub default: Option<&'static str>,
    /// What the value must be.
    pub rule: Rule,
    /// What it does.
    pub meaning: &'static str,
    /// Whether it is never shown.
    pub secret: bool,
    /// Whether the tools read it too.
    pub tools: bool,
}

const fn worker(name: &'static str, default: &'static str, rule: Rule, meaning: &'static str) -> Variable {
    Variable {
        name,
        default: Some(default),
        rule,
        meaning,
        secret: false,
        tools: false,
    }
}

const fn shared(name: &'static str, default: &'static str, rule: Rule, meaning: &'static str) -> Variable {
    Variable {
        tools: true,
        ..worker(name, default, rule, meaning)
    }
}

const fn optional(name: &'static str, rule: Rule, meaning: &'static str) -> Variable {
    Variable {
        name,
        default: None,
        rule,
        meaning,
        secret: false,
        tools: false,
    }
}

const fn secret(name: &'static str, meaning: &'static str) -> Variable {
    Variable {
        secret: true,
        ..optional(name, Rule::Text, meaning)
    }
}

const fn whole(min: u64, max: u64, unit: &'static str) -> Rule {
    Rule::Whole { min, max, unit }
}

const fn number(min: f64, max: f64) -> Rule {
    Rule::Number { min, max }
}

const fn threshold(min: f64, max: f64) -> Rule {
    Rule::NumberOrOff { min, max }
}

const fn seconds(min: f64, max: f64) -> Rule {
    Rule::Seconds { min, max }
}

/// What CTranslate2 computes with.
const COMPUTE_TYPES: Rule = Rule::OneOf(&[
    "default",
    "auto",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
]);
const LOG_LEVELS: Rule = Rule::OneOf(&["off", "error", "warn", "info", "debug", "trace"]);
const DETAIL_LEVELS: Rule = Rule::OneOf(&["none", "segments", "words"]);
const TEMPERATURES: Rule = Rule::Numbers {
    min: 0.0,
    max: 2.0,
    count_max: 10,
};
const PORT: Rule = whole(0, 65_535, "");

/// Every setting. `KAFKA_CONF_<KEY>` comes on top: any property of librdkafka, see [`crate::KafkaSettings`].
#[rustfmt::skip]
pub const VARIABLES: &[Variable] = &[
    shared("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", Rule::Brokers, "Where Kafka is."),
    worker("KAFKA_GROUP_ID", "stt-worker", Rule::Text, "Consumer group that all workers share."),
    shared("STT_JOBS_TOPIC", "stt.jobs", Rule::Topic, "Topic of the jobs."),
    shared("STT_RESULTS_TOPIC", "stt.results", Rule::Topic, "Topic of the results."),
    shared("STT_DLQ_TOPIC", "stt.jobs.dlq", Rule::Topic, "Topic of the dead letters: jobs that failed for good."),
    optional("STT_RETRY_TOPIC", Rule::Topic, "Topic of the jobs to be tried again, read before `STT_JOBS_TOPIC`; that one when not set."),
    worker("DELIVERY_GUARANTEE", "at-least-once", Rule::OneOf(&["at-least-once", "exactly-once"]), "Whether results, dead letters, retries and offsets go in one transaction, so that readers of committed records see each outcome once."),
    optional("TRANSACTIONAL_ID", Rule::Text, "Name of this instance's transactions, unlike that of any other; a new one at each start when not set."),
    worker("MODEL_SIZE", "small", Rule::Text, "Whisper model: a CTranslate2 model directory, a name such as `small` or `large-v3`, or `org/repo` on the hub."),
    worker("DEVICE", "cpu", Rule::OneOf(&["cpu", "cuda"]), "What the model runs on; `cuda` needs a build with the feature `cuda`."),
    optional("COMPUTE_TYPE", COMPUTE_TYPES, "Number type of the computation, `default` for that of the saved model; when not set, `int8` on the CPU and `float16` on a GPU."),
    worker("CPU_THREADS", "0", whole(0, 256, "threads"), "CPU threads of all computations together; 0: as many as there are cores."),
    worker("ENGINE_REPLICAS", "0", whole(0, 256, "replicas"), "Computations that run at the same time, on one copy of the weights; 0: as many as threads on the CPU, 2 on a GPU."),
    worker("BATCH_SIZE", "8", whole(1, 64, "windows"), "Most windows of 30 s, of different jobs, that are decoded in one computation."),
    worker("RESULT_DETAIL", "none", DETAIL_LEVELS, "How much results tell beyond the text: nothing, segments with their times, or the words in them too."),
    optional("LANGUAGES", Rule::Languages, "Languages that detection may choose from; all when not set."),
    worker("MULTILINGUAL", "0", Rule::Switch, "Whether the language is detected anew in every window, for speech that changes its language; within `LANGUAGES`."),
    worker("LANGUAGE_DETECTION_SEGMENTS", "1", whole(1, 100, "windows"), "Windows that the language is detected from, until one passes the threshold."),
    worker("LANGUAGE_DETECTION_THRESHOLD", "0.5", number(0.0, 1.0), "A language that is more probable than this is taken at once."),
    worker("TASK", "transcribe", Rule::OneOf(&["transcribe", "translate"]), "Text in the language spoken, or in English."),
    worker("VAD_FILTER", "1", Rule::SwitchOr("silero"), "Whether Silero's network finds the speech before transcription: audio without any is not transcribed, and long silences are left out; `silero` is another word for 1."),
    worker("VAD_THRESHOLD", "0.5", number(0.0, 1.0), "Probability from which on 32 ms are speech."),
    optional("VAD_NEG_THRESHOLD", number(0.0, 1.0), "Probability below which speech ends; 0.15 below `VAD_THRESHOLD`, at least 0.01, when not set."),
    worker("VAD_DOUBT_THRESHOLD", "0.3", threshold(0.0, 1.0), "Probability below which a sound is surely no speech; between this and `VAD_THRESHOLD` the model decides. With `off` voice activity alone does, as in faster-whisper."),
    worker("VAD_MIN_SPEECH_MS", "0", whole(0, 60_000, "ms"), "Speech of this length or less is dropped."),
    optional("VAD_MAX_SPEECH_SEC", seconds(1.0, 86_400.0), "Longer speech is split, at a short silence where there is one."),
    worker("VAD_MIN_SILENCE_MS", "3000", whole(0, 600_000, "ms"), "Silence of this length or more is left out; faster-whisper: 2000."),
    worker("VAD_SPEECH_PAD_MS", "400", whole(0, 60_000, "ms"), "Audio kept before and after speech."),
    worker("VAD_KEEP_SHORT_START", "1", Rule::Switch, "Whether a silence at the beginning stays when it is shorter than `VAD_MIN_SILENCE_MS`; faster-whisper cuts it."),
    optional("INITIAL_PROMPT", Rule::Text, "Text that stands before the first window, as if it had been said."),
    optional("PREFIX", Rule::Text, "Text that the first window's transcript begins with."),
    optional("HOTWORDS", Rule::Text, "Words that stand before every window's prompt, so that they are expected."),
    worker("CONDITION_ON_PREVIOUS_TEXT", "0", Rule::Switch, "Whether the text so far is the prompt of the next window."),
    worker("PROMPT_RESET_ON_TEMPERATURE", "0.5", number(0.0, 2.0), "The text so far is forgotten after a window that took a higher temperature."),
    worker("WITHOUT_TIMESTAMPS", "0", Rule::Switch, "Whether text is generated without timestamps, one segment a window."),
    worker("MAX_INITIAL_TIMESTAMP", "1", number(0.0, 30.0), "Latest start of a window's first segment, in seconds."),
    worker("CHUNK_LENGTH", "30", whole(1, 30, "seconds"), "Length of a window."),
    worker("CLIP_TIMESTAMPS", "0", Rule::Numbers { min: 0.0, max: 86_400.0, count_max: 100 }, "Seconds at which transcription begins, ends, begins again, and so on; an odd count ends with the audio."),
    worker("SUPPRESS_TOKENS", "-1", Rule::Tokens, "Tokens never generated; -1 stands for the symbols that are not spoken."),
    worker("SUPPRESS_BLANK", "1", Rule::Switch, "Whether a window's text may not begin with a blank."),
    optional("PREPEND_PUNCTUATIONS", Rule::Text, "Punctuation that belongs to the word behind it; faster-whisper's when not set."),
    optional("APPEND_PUNCTUATIONS", Rule::Text, "Punctuation that belongs to the word before it; faster-whisper's when not set."),
    worker("AUDIO_CONTEXT", "full", Rule::OneOf(&["full", "auto"]), "How much of 30 s the encoder computes for a shorter window: all, as Whisper was trained; or the window and a margin, which is several times faster, and all where anything speaks against the text. Not for turbo and distilled models."),
    worker("ENCODE_ONCE", "1", Rule::Switch, "Whether the language is detected on the window that is transcribed then; faster-whisper encodes it twice."),
    worker("WHOLE_CONTEXT", "1", Rule::Switch, "Whether a window whose text fills the model's room is followed by one that begins where the text ends; without, the rest is lost, as in faster-whisper."),
    optional("SEED", whole(0, 4_294_967_295, ""), "Seed of what is sampled at temperatures above 0, with which one computation runs at a time; unpredictable when not set."),
    worker("BEAM_SIZE", "5", whole(1, 20, ""), "Hypotheses kept at temperature 0."),
    worker("PATIENCE", "1", number(0.1, 10.0), "Beam search goes on until `BEAM_SIZE` times this many hypotheses are finished."),
    worker("BEST_OF", "5", whole(1, 20, ""), "Hypotheses sampled at other temperatures."),
    worker("TEMPERATURE", "0,0.2,0.4,0.6,0.8,1", TEMPERATURES, "Temperatures tried one after another, until a window's text passes the thresholds; above 0 texts differ from run to run."),
    worker("COMPRESSION_RATIO_THRESHOLD", "2.4", threshold(0.0, 100.0), "A text whose compression ratio is above this repeats itself: next temperature."),
    worker("COMPRESSION_RATIO_UNIT", "characters", Rule::OneOf(&["characters", "bytes"]), "What the ratio that tells repetition counts: characters treat all scripts alike, bytes are faster-whisper's and misfire on Devanagari."),
    worker("LOG_PROB_THRESHOLD", "-1", threshold(-100.0, 0.0), "A text whose mean log-probability is below this is doubted: next temperature."),
    worker("NO_SPEECH_THRESHOLD", "0.6", threshold(0.0, 1.0), "A window whose probability of no speech is above this, and whose text is doubted, is silent."),
    optional("HALLUCINATION_SILENCE_THRESHOLD", seconds(0.1, 3_600.0), "Silence longer than this is passed where a text beside it seems invented; needs `RESULT_DETAIL=words`."),
    worker("LENGTH_PENALTY", "1", number(-10.0, 10.0), "Exponent of the length that a hypothesis' score is divided by."),
    worker("REPETITION_PENALTY", "1", number(0.1, 10.0), "Penalty on tokens generated before; over 1 penalises."),
    worker("NO_REPEAT_NGRAM_SIZE", "0", whole(0, 100, "tokens"), "Sequences of so many tokens are not repeated; 0 lets any be."),
    optional("MAX_NEW_TOKENS", whole(1, 448, "tokens"), "Most tokens generated for a window; half of the model's positions when not set."),
    worker("AUDIO_DOWNLOAD_TIMEOUT", "30", seconds(0.1, 3_600.0), "Time for a download, redirects included."),
    worker("TRANSCRIBE_TIMEOUT", "120", seconds(0.1, 86_400.0), "Time for decoding and transcription together."),
    worker("MAX_AUDIO_BYTES", "26214400", whole(1, 4 << 30, "bytes"), "Largest audio file taken."),
    worker("MAX_AUDIO_DURATION_SEC", "600", seconds(0.1, 14_400.0), "Longest audio taken."),
    worker("DECODE_ISOLATION", "process", Rule::OneOf(&["process", "require", "none"]), "Where audio is decoded: in processes that can do nothing else, so that what crashes FFmpeg fails one job; the same, or no start where the kernel lacks seccomp or any of Landlock; or in the worker's."),
    worker("DECODE_JOBS_MAX", "64", whole(1, 1_000_000, "jobs"), "Jobs that one such process decodes, one after another; 1 starts a new one for each, which takes some 50 ms."),
    worker("DECODE_MEMORY_BYTES", "536870912", whole(64 << 20, 64 << 30, "bytes"), "Memory that one such process may map beyond its program and libraries."),
    optional("DECODE_CPU_SEC", seconds(1.0, 86_400.0), "Time of the processor that such a process may use for one audio; `TRANSCRIBE_TIMEOUT` when not set."),
    worker("MAX_ATTEMPTS", "3", whole(1, 100, ""), "Attempts before a transient failure becomes final."),
    worker("RETRY_BACKOFF_BASE_MS", "500", whole(1, 600_000, "ms"), "Wait before the first retry; it doubles with each further one."),
    worker("RETRY_BACKOFF_MAX_MS", "60000", whole(1, 600_000, "ms"), "Longest wait before a retry, also where a server's Retry-After asks for more."),
    worker("IDEMPOTENCY_TTL_SEC", "3600", seconds(0.0, 604_800.0), "How long a completed job is remembered, so that a duplicate (same `jobId`, same payload) is not processed again."),
    worker("IDEMPOTENCY_MAX_ENTRIES", "10000", whole(0, 10_000_000, "jobs"), "How many completed jobs are remembered."),
    worker("WORKER_CONCURRENCY", "0", whole(0, 256, ""), "Jobs transcribed at once; 0 for what suits the device: on the CPU as many as `ENGINE_REPLICAS`, at most 16; on a GPU twice `BATCH_SIZE`."),
    worker("WORKER_QUEUE_MAX", "4", whole(0, 1_000, ""), "Jobs downloaded and decoded ahead of the engine, a thread each."),
    worker("METRICS_PORT", "9108", PORT, "Port of `/metrics` for Prometheus; 0 takes a free one."),
    optional("METRICS_HOST", Rule::Address, "Address that `METRICS_PORT` is opened at, such as 127.0.0.1; all interfaces when not set."),
    worker("HEALTH_PORT", "8081", PORT, "Port of `/livez` and `/readyz`; 0 takes a free one."),
    optional("HEALTH_HOST", Rule::Address, "Address that `HEALTH_PORT` is opened at; all interfaces when not set."),
    optional("OTEL_EXPORTER_OTLP_ENDPOINT", Rule::HttpUrl, "Collector for spans. Checked, but this version exports no spans yet."),
    worker("TMP_DIR", "/tmp/stt", Rule::Text, "Directory for large downloads, which nobody else may write to; made, private, when missing. Needs room for `MAX_AUDIO_BYTES` times `WORKER_CONCURRENCY` and `WORKER_QUEUE_MAX` together."),
    optional("AUDIO_URL_ALLOW", Rule::Text, "Hosts, domains (`.example.com`), addresses and networks (CIDR), or hosts at networks (`name=10.0.0.0/8:8080`), separated by commas, that audio may come from although they are private, at any port. A name alone opens neither this machine nor metadata services."),
    optional("AUDIO_URL_DENY", Rule::Text, "The same, for what audio must not come from, whatever is allowed."),
    worker("AUDIO_URL_PORTS", "80,443", Rule::Ports, "Ports that audio may come from; hosts of `AUDIO_URL_ALLOW` have them all."),
    optional("AUDIO_HOST_CONCURRENCY", whole(1, 1_256, "downloads"), "Downloads at once from the hosts of one domain; one less than `WORKER_CONCURRENCY` and `WORKER_QUEUE_MAX` together when not set, so that a slow host never has all places."),
    optional("AUDIO_NAT64_PREFIX", Rule::Text, "Prefixes of NAT64 gateways, such as 64:ff9b::/96, separated by commas: addresses in them are judged as the IPv4 addresses they stand for."),
    optional("AUDIO_CA_FILE", Rule::Text, "File with certificates (PEM) of authorities that are trusted for audio besides the system's."),
    Variable { secret: true, ..optional("EGRESS_PROXY", Rule::HttpUrl, "HTTP proxy for all audio, as `http://user:password@proxy:3128`; then the proxy looks hosts up, and must guard what they resolve to.") },
    worker("URL_IN_LOGS", "host", Rule::OneOf(&["host", "path", "none"]), "How much of audio URLs is shown in logs, results and dead letters' `errorMessage`: scheme and host, the path too, or nothing; the query never. The job in a dead letter stays whole."),
    worker("SHUTDOWN_GRACE_SEC", "25", seconds(0.0, 3_600.0), "Time for running jobs to end after SIGTERM."),
    worker("STARTUP_TIMEOUT_SEC", "60", seconds(0.1, 3_600.0), "Time for Kafka to answer at the start."),
    worker("LOG_LEVEL", "info", LOG_LEVELS, "How much is logged."),
    optional("RUST_LOG", Rule::Text, "Log filter by module, as in `info,stt_kafka=debug`; goes before `LOG_LEVEL`."),
    optional("HF_HOME", Rule::Text, "Where Hugging Face files are kept; `$XDG_CACHE_HOME/huggingface` or `~/.cache/huggingface` when not set."),
    optional("HF_HUB_CACHE", Rule::Text, "Where models are kept; `$HF_HOME/hub` when not set."),
    optional("MODEL_REVISION", Rule::Text, "Branch, tag or commit of the model on the hub; `main` when not set. A commit never changes, and the hub is asked for it once only."),
    worker("MODEL_DOWNLOAD_TIMEOUT", "3600", seconds(1.0, 86_400.0), "Time for fetching the model, waiting for another process that does included."),
    worker("HF_ENDPOINT", "https://huggingface.co", Rule::HttpUrl, "Where models are fetched from."),
    secret("HF_TOKEN", "Token for models that need one."),
    worker("HF_HUB_OFFLINE", "0", Rule::Switch, "Whether only models in the cache are used."),
];

/// The row of a variable of ours.
pub(crate) fn row(name: &str) -> &'static Variable {
    VARIABLES
        .iter()
        .find(|variable| variable.name == name)
        .expect("settings are read by names of the table")
}

/// Whether the value must not be shown. Of librdkafka's properties rather one too many: names only have to sound like it.
pub(crate) fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 8] = [
        "PASSWORD",
        "SECRET",
        "USERNAME",
        "PEM",
        "TOKEN",
        "JAAS",
        "ASSERTION",
        "SSL_KEY",
    ];
    let upper = name.to_ascii_uppercase().replace('.', "_");
    if upper.starts_with(crate::KAFKA_CONF_PREFIX) {
        WORDS.iter().any(|word| upper.contains(word)) || upper.ends_with("OAUTHBEARER_CONFIG")
    } else {
        VARIABLES
            .iter()
            .any(|variable| variable.secret && variable.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_keeps_its_own_rule_and_every_row_is_fit_for_a_table() {
        for variable in VARIABLES {
            assert!(
                variable.default.is_none_or(|value| variable.rule.accepts(value)),
                "{}",
                variable.name
            );
            let meaning = variable.meaning;
            assert!(
                meaning.ends_with('.') && !meaning.contains(['|', '\n']),
                "{}: {meaning}",
                variable.name
            );
            let twins = VARIABLES.iter().filter(|other| other.name == variable.name).count();
            assert_eq!(twins, 1, "{}", variable.name);
        }
    }
}
