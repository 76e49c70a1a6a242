//! The model at the start: found, fetched if need be, loaded.

use std::time::Instant;

use stt_whisper::Whisper;

use crate::error::Error;
use crate::plan::Plan;
use crate::telemetry;

/// Finds the model and loads it. May take minutes.
pub(crate) fn load(plan: &Plan) -> Result<Whisper, Error> {
    let model = || plan.settings.model.clone();
    let directory = stt_hub::resolve(&plan.settings.model, &plan.hub(), &mut |progress| {
        log::info!("{progress}")
    })
    .map_err(|source| Error::Model {
        model: model(),
        source: source.into(),
    })?;
    let started = Instant::now();
    let config = plan.engine(&directory);
    let whisper = Whisper::load(&config).map_err(|source| Error::Load { model: model(), source })?;
    let took = started.elapsed();
    telemetry::loaded(&plan.settings.model, took);
    log::info!(
        "model {} loaded from {} in {:.1} s: {}, {} threads, {} replicas, batches of up to {}, {} jobs at once",
        model(),
        directory.display(),
        took.as_secs_f64(),
        whisper.compute_type(),
        config.threads(),
        config.replicas(),
        config.batch_size,
        plan.concurrency()
    );
    Ok(whisper)
}
