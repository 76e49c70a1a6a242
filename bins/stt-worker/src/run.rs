//! From settings to a running worker, step by step, and to its end.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use stt_audio::HttpFetch;
use stt_core::{Fetch, SystemClock};
use stt_kafka::KafkaSource;
use stt_pipeline::{Report, Services, Stopping};
use stt_settings::Environment;
use stt_whisper::Whisper;

use crate::args::Options;
use crate::brokers::Embedded;
use crate::decode::Decoder;
use crate::error::Error;
use crate::health::Health;
use crate::http::{self, Answer};
use crate::plan::Plan;
use crate::tmp_dir::TmpDir;
use crate::{brokers, engine, hosts, signals, telemetry};

/// Runs until a signal comes or something breaks. When it returns, its files are gone.
pub(crate) fn run(mut plan: Plan, environment: &Environment, options: &Options) -> Result<Report, Error> {
    stt_settings::warnings(environment)
        .iter()
        .for_each(|warning| log::warn!("{warning}"));
    if plan.settings.otlp_endpoint.is_some() {
        log::warn!("OTEL_EXPORTER_OTLP_ENDPOINT is set, but this version exports no spans yet");
    }
    let stopping = Stopping::default();
    signals::listen(&stopping, plan.settings.shutdown_grace).map_err(Error::Signals)?;
    let tmp_dir = TmpDir::make(&plan.settings.tmp_dir, plan.spilled_bytes_max())?;
    let health = Arc::new(Health::starting("starting"));
    let engine = Arc::new(OnceLock::new());
    let decoder = Arc::new(Decoder::new(&plan, environment));
    decoder.check(plan.settings.decode_isolation_required)?;
    let fetch = Arc::new(HttpFetch::new(plan.fetch(tmp_dir.path())).map_err(|error| Error::Fetch(error.into()))?);
    open_ports(
        &plan,
        &health,
        Arc::clone(&engine),
        Arc::clone(&decoder),
        Arc::clone(&fetch),
    )?;

    let embedded = options
        .embedded_broker
        .then(|| Embedded::start(&plan.topics(), options))
        .transpose()?;
    if let Some(embedded) = &embedded {
        plan.settings.kafka.bootstrap_servers.clone_from(&embedded.address);
    }
    let plan = Arc::new(plan);

    health.step("loading the model");
    let shared = Arc::clone(&plan);
    let transcribe = Arc::new(signals::unless_stopped(&stopping, move || engine::load(&shared))??);
    engine.get_or_init(|| Arc::clone(&transcribe));
    health.step("waiting for kafka");
    let shared = Arc::clone(&plan);
    signals::unless_stopped(&stopping, move || {
        brokers::wait_for(&shared.connection(), &shared.topics(), shared.settings.startup_timeout)
    })??;

    let services = Services {
        fetch: Arc::clone(&fetch) as Arc<dyn Fetch>,
        decode: Arc::clone(&decoder.decode),
        transcribe,
        clock: Arc::new(SystemClock),
    };
    let mut source = KafkaSource::new(&plan.connection(), plan.source()).map_err(Error::Kafka)?;
    let mut sink = brokers::sink(&plan, &source).map_err(Error::Kafka)?;
    let shown = plan.settings.egress.urls_shown;
    let board = health.running(Instant::now(), move || {
        hosts::summary(&fetch.paused_hosts(Instant::now()), shown)
    });
    log::info!(
        "taking jobs from {} as {}",
        plan.settings.kafka.jobs_topic,
        plan.settings.group_id
    );
    Ok(stt_pipeline::run(
        &mut source,
        sink.as_mut(),
        &services,
        &plan.pipeline(),
        &board,
        &stopping,
    )?)
}

/// Metrics and health, from here to the end of the process.
fn open_ports(
    plan: &Plan,
    health: &Arc<Health>,
    engine: Arc<OnceLock<Arc<Whisper>>>,
    decoder: Arc<Decoder>,
    fetch: Arc<HttpFetch>,
) -> Result<(), Error> {
    let port = |what, port| move |source| Error::Port { what, port, source };
    let metrics = telemetry::install()?;
    let wanted = plan.settings.metrics_port;
    let metrics_port = http::serve("metrics", plan.settings.metrics_host, wanted, move |path| match path {
        "/metrics" => {
            if let Some(engine) = engine.get() {
                telemetry::engine(&engine.stats());
            }
            telemetry::decoders(&decoder.stats());
            telemetry::hosts(fetch.paused_hosts(Instant::now()).len());
            Answer {
                status: 200,
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: metrics.render(),
            }
        }
        _ => Answer::text(404, "/metrics  for Prometheus\n"),
    })
    .map_err(port("metrics", wanted))?;
    let (wanted, health) = (plan.settings.health_port, Arc::clone(health));
    let health_port = http::serve("health", plan.settings.health_host, wanted, move |path| {
        health.answer(path, Instant::now())
    })
    .map_err(port("health", wanted))?;
    log::info!("metrics on port {metrics_port}, health on port {health_port}");
    Ok(())
}
