//! Metrics of the process, and the recorder that gathers all of them.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use stt_audio::DecodeStats;
use stt_core::{Clock as _, SystemClock};
use stt_whisper::Stats;

use crate::error::Error;

/// Upper bounds of the buckets of `stt_stage_seconds`: from a small download to the longest transcription.
const STAGE_BUCKETS: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Samples pile up until they are read or this is over.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder of this process; the handle renders what Prometheus reads.
pub(crate) fn install() -> Result<PrometheusHandle, Error> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| Error::Metrics(error.to_string().into()))?;
    stt_pipeline::describe_metrics();
    describe();
    let upkeep = handle.clone();
    let thread = std::thread::Builder::new().name("metrics-upkeep".to_owned());
    thread
        .spawn(move || {
            loop {
                SystemClock.sleep(UPKEEP_EVERY);
                upkeep.run_upkeep();
            }
        })
        .map_err(Error::Thread)?;
    Ok(handle)
}

fn recorder() -> Result<PrometheusRecorder, Error> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("stt_stage_seconds".to_owned()), &STAGE_BUCKETS)
        .map(PrometheusBuilder::build_recorder)
        .map_err(|error| Error::Metrics(error.into()))
}

fn describe() {
    describe_gauge!(
        "stt_worker_info",
        "Always 1; its labels tell the version and the model."
    );
    describe_gauge!(
        "stt_model_load_seconds",
        Unit::Seconds,
        "Time that loading the model took."
    );
    for (name, what, _) in ENGINE {
        describe_counter!(name, what);
    }
    describe_gauge!(
        "stt_hosts_paused",
        "Hosts that are not asked for a while, as they timed out again and again."
    );
    describe_counter!("stt_decoders_started_total", "Processes started to decode audio.");
    describe_counter!("stt_decoders_ended_total", "Of those, how many ended, and why.");
}

/// How many hosts are not asked now.
pub(crate) fn hosts(paused: usize) {
    gauge!("stt_hosts_paused").set(paused as f64);
}

/// What became of the processes that decode so far.
pub(crate) fn decoders(stats: &DecodeStats) {
    counter!("stt_decoders_started_total").absolute(stats.started);
    for (why, count) in [
        ("retired", stats.retired),
        ("crash", stats.crashed),
        ("violation", stats.violated),
        ("deadline", stats.expired),
        ("cancelled", stats.cancelled),
        ("protocol", stats.protocol),
    ] {
        counter!("stt_decoders_ended_total", "why" => why).absolute(count);
    }
}

/// A count of the engine: its metric, its meaning, itself.
type EngineCount = (&'static str, &'static str, fn(&Stats) -> u64);

const ENGINE: [EngineCount; 13] = [
    (
        "stt_engine_windows_total",
        "Windows, of up to 30 s, transcribed.",
        |stats| stats.windows,
    ),
    (
        "stt_engine_encoded_total",
        "Windows encoded; more than transcribed by detection with ENCODE_ONCE=0.",
        |stats| stats.encoded,
    ),
    ("stt_engine_batches_total", "Calls that generated text.", |stats| {
        stats.batches
    }),
    (
        "stt_engine_batched_windows_total",
        "Windows in those calls; over the calls, the mean size of a batch.",
        |stats| stats.generated,
    ),
    (
        "stt_engine_batches_failed_total",
        "Batches that failed and were tried again in parts.",
        |stats| stats.batches_failed,
    ),
    (
        "stt_engine_fallbacks_total",
        "Windows decoded again at a higher temperature.",
        |stats| stats.fallbacks,
    ),
    (
        "stt_engine_silent_windows_total",
        "Windows that the model itself found silent.",
        |stats| stats.silent,
    ),
    (
        "stt_engine_capped_windows_total",
        "Windows whose text filled half of the model's positions, so that the next window began where the text ended.",
        |stats| stats.capped,
    ),
    (
        "stt_engine_decoder_steps_total",
        "Decoder steps: tokens generated.",
        |stats| stats.steps,
    ),
    (
        "stt_engine_aligned_total",
        "Windows whose text was aligned with the audio.",
        |stats| stats.aligned,
    ),
    (
        "stt_engine_no_speech_total",
        "Audios in which nobody speaks.",
        |stats| stats.no_speech,
    ),
    (
        "stt_engine_short_contexts_total",
        "Windows decoded in a short context (AUDIO_CONTEXT=auto).",
        |stats| stats.short_contexts,
    ),
    (
        "stt_engine_short_contexts_redone_total",
        "Of these, windows that were encoded and decoded again in full.",
        |stats| stats.short_contexts_redone,
    ),
];

/// What the engine did so far.
pub(crate) fn engine(stats: &Stats) {
    for (name, _, count) in ENGINE {
        counter!(name).absolute(count(stats));
    }
}

pub(crate) fn loaded(model: &str, took: Duration) {
    gauge!("stt_worker_info", "version" => env!("CARGO_PKG_VERSION"), "model" => model.to_owned()).set(1.0);
    gauge!("stt_model_load_seconds").set(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString};
    use std::sync::Mutex;

    /// Hears only what is described.
    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);

    impl Names {
        fn note(&self, name: &KeyName) {
            self.0.lock().unwrap().push(name.as_str().to_owned());
        }
    }

    impl Recorder for Names {
        fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            self.note(&name);
        }

        fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            self.note(&name);
        }

        fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            self.note(&name);
        }

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn every_metric_is_in_the_operations_page_and_no_other() {
        let names = Names::default();
        metrics::with_local_recorder(&names, || {
            stt_pipeline::describe_metrics();
            describe();
        });
        let mut described = names.0.into_inner().unwrap();
        described.sort();
        let page = include_str!("../../../docs/operations.md");
        let rows = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `stt_")?.split_once('`'));
        let mut documented: Vec<_> = rows.map(|(name, _)| format!("stt_{name}")).collect();
        documented.sort();
        assert_eq!(described, documented);
    }

    #[test]
    fn times_are_rendered_in_buckets() {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("stt_stage_seconds", "stage" => "decode").record(0.2)
        });
        let text = recorder.handle().render();
        assert!(
            text.contains("stt_stage_seconds_bucket{stage=\"decode\",le=\"0.25\"} 1"),
            "{text}"
        );
    }
}
