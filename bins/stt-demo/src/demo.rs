//! The demo from beginning to end.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use stt_schema::JobResult;

use crate::args::Options;
use crate::clips;
use crate::compare::{Verdict, compare};
use crate::error::{DemoError, cannot};
use crate::events::{Event, Events};
use crate::jobs::Job;
use crate::parts::{CONSUME, NEXT_WAIT, PRODUCE, Parts, WORKER, failed};
use crate::processes::Program;
use crate::server::Server;
use crate::table;

/// Runs the demo and tells it on `out`. Whether every transcript is as expected.
pub(crate) fn run(options: &Options, out: &mut dyn Write) -> Result<bool, DemoError> {
    let began = Instant::now();
    let clips = clips::read(&options.audio)?;
    if !options.model.is_dir() {
        return Err(DemoError::NoModel(options.model.clone()));
    }
    let events = Events::listen().map_err(cannot("listen for signals"))?;
    let mut parts = Parts::find()?;

    let model = options.model.display();
    say(out, &format!("worker   {WORKER} with the model {model}"))?;
    let (mut worker, broker) = parts.worker(&options.model, &events)?;
    say(out, &format!("broker   {broker}, embedded in the worker"))?;
    let server = Server::start(&options.audio, &clips).map_err(cannot("serve the audio"))?;
    let (count, url) = (clips.len(), server.base_url());
    let audio_s: f64 = clips.iter().map(|clip| clip.seconds).sum();
    say(out, &format!("audio    {count} files, {audio_s:.0} s in all, at {url}"))?;
    let consumer = parts.consumer(count, &events)?;
    let jobs: Vec<Job<'_>> = clips.iter().map(|clip| Job::new(clip, SystemTime::now())).collect();
    parts.publish(&jobs, &url)?;
    say(out, &format!("jobs     {count} published with {PRODUCE}"))?;
    say(out, &format!("results  as {CONSUME} reads them:\n"))?;
    let differences = show(out, &jobs, &events, &worker, &consumer)?;

    drop(consumer);
    let status = worker.stop()?;
    if !status.success() {
        return Err(failed(&worker, format!("ended with {status}")));
    }
    report(out, count, &differences, began.elapsed())?;
    Ok(differences.is_empty())
}

/// Shows each result as it comes, until every job has its own. What differs, by file.
fn show(
    out: &mut dyn Write,
    jobs: &[Job<'_>],
    events: &Events,
    worker: &Program,
    consumer: &Program,
) -> Result<Vec<String>, DemoError> {
    let file_width = jobs.iter().map(|job| job.clip.file.len()).max().unwrap_or(0);
    let mut waiting: BTreeMap<String, &Job<'_>> = jobs.iter().map(|job| (job.id.to_string(), job)).collect();
    let mut differences = Vec::new();
    say(out, &table::heading(file_width))?;
    while !waiting.is_empty() {
        let ended = |program| Err(failed(program, format!("ended with {} results to come", waiting.len())));
        let line = match events.next(NEXT_WAIT)? {
            Event::Result(Some(line)) => line,
            Event::Result(None) => return ended(consumer),
            Event::Worker(None) => return ended(worker),
            Event::Worker(Some(_)) => continue,
        };
        let result: JobResult = match serde_json::from_str(&line) {
            Ok(result) => result,
            Err(source) => return Err(DemoError::NoResult { line, source }),
        };
        // Delivery is at least once, so a second result of a job is no surprise.
        let Some(job) = waiting.remove(&result.job_id) else {
            continue;
        };
        let verdict = compare(&job.clip.expected, &result);
        say(out, &table::row(file_width, job, &result, &verdict))?;
        if let Verdict::Different(how) = verdict {
            differences.push(format!("{}: {how}", job.clip.file));
        }
    }
    Ok(differences)
}

fn report(out: &mut dyn Write, count: usize, differences: &[String], took: Duration) -> Result<(), DemoError> {
    let same = count - differences.len();
    let took_s = took.as_secs_f64();
    say(
        out,
        &format!("\n{same} of {count} transcripts are as expected; {took_s:.1} s in all, and everything is stopped"),
    )?;
    differences
        .iter()
        .try_for_each(|difference| say(out, &format!("  {difference}")))
}

fn say(out: &mut dyn Write, text: &str) -> Result<(), DemoError> {
    writeln!(out, "{text}").map_err(cannot("write what happens"))
}
