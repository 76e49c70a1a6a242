//! Events to metrics and log lines. Names and labels live here only; labels come from closed sets.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use stt_core::{Case, ErrorCode, Failure, Partition, Transcript};

/// What a step of a job is called in metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Download,
    Decode,
    Transcribe,
    Publish,
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Decode => "decode",
            Self::Transcribe => "transcribe",
            Self::Publish => "publish",
        }
    }
}

/// Tells the installed recorder what each metric means.
pub fn describe_metrics() {
    describe_counter!("stt_jobs_received_total", "Records taken from the jobs topic.");
    describe_counter!("stt_jobs_completed_total", "Jobs published with a transcript.");
    describe_counter!("stt_jobs_failed_total", "Jobs that failed for good, by stage and code.");
    describe_counter!("stt_jobs_retried_total", "Jobs published for another try, by code.");
    describe_counter!(
        "stt_jobs_abandoned_total",
        "Jobs left for another worker: shutdown or a lost partition."
    );
    describe_counter!(
        "stt_jobs_held_total",
        "Waits for a fault that was not the job's, by code."
    );
    describe_counter!(
        "stt_stale_settlements_total",
        "Outcomes published after their partition was given up."
    );
    describe_counter!(
        "stt_jobs_duplicate_total",
        "Records passed because the same job was done of late, or with the one that ran."
    );
    describe_counter!(
        "stt_jobs_done_before_total",
        "Records passed because an earlier owner of the partition noted them as done."
    );
    describe_counter!(
        "stt_jobs_suspect_total",
        "Records that a process had in hand when it ended; they are begun alone."
    );
    describe_counter!(
        "stt_jobs_unmarked_total",
        "Jobs begun although the broker did not acknowledge in time that they were."
    );
    describe_counter!("stt_transactions_total", "Transactions, by result.");
    describe_counter!("stt_audio_seconds_total", Unit::Seconds, "Audio transcribed.");
    describe_histogram!(
        "stt_stage_seconds",
        Unit::Seconds,
        "Time of one step of a job, by stage."
    );
    describe_gauge!("stt_jobs_open", "Records taken in whose offset is not passed yet.");
    describe_gauge!("stt_jobs_running", "Jobs that a worker thread has in hand.");
    describe_gauge!("stt_jobs_delayed", "Records that wait for their retry.");
    describe_gauge!("stt_intake_paused", "1 while intake is paused because enough is open.");
    describe_gauge!(
        "stt_partitions_assigned",
        "Partitions of the jobs topic that this worker owns."
    );
    describe_counter!("stt_rebalances_total", "Changes of the assignment, by kind.");
    describe_counter!("stt_commits_total", "Answers to offset commits, by result.");
    describe_counter!(
        "stt_source_trouble_total",
        "Errors that the Kafka client reported and goes on from."
    );
}

pub(crate) fn received() {
    counter!("stt_jobs_received_total").increment(1);
}

pub(crate) fn duplicate(twin: &'static str, case: &Case) {
    counter!("stt_jobs_duplicate_total", "twin" => twin).increment(1);
    let delivery = case.delivery();
    log::info!(
        "job {} ({}@{}) is a duplicate of one that was done",
        case.job_id(),
        delivery.partition,
        delivery.offset
    );
}

pub(crate) fn done_before() {
    counter!("stt_jobs_done_before_total").increment(1);
}

pub(crate) fn suspect(case: &Case, crashes: u32) {
    counter!("stt_jobs_suspect_total").increment(1);
    let delivery = case.delivery();
    log::warn!(
        "job {} ({}@{}) was in hand when a worker ended, {crashes} times so far",
        case.job_id(),
        delivery.partition,
        delivery.offset
    );
}

pub(crate) fn unmarked() {
    counter!("stt_jobs_unmarked_total").increment(1);
}

pub(crate) fn left(case: &Case) {
    Story::begin(case).abandoned();
}

pub(crate) fn transaction(failure: Option<&Failure>) {
    let result = if failure.is_some() { "aborted" } else { "committed" };
    counter!("stt_transactions_total", "result" => result).increment(1);
    if let Some(failure) = failure {
        log::warn!("a transaction was aborted: {}", failure.story());
    }
}

pub(crate) fn running(change: f64) {
    gauge!("stt_jobs_running").increment(change);
}

pub(crate) fn load(open: usize, delayed: usize, paused: bool) {
    gauge!("stt_jobs_open").set(open as f64);
    gauge!("stt_jobs_delayed").set(delayed as f64);
    gauge!("stt_intake_paused").set(f64::from(u8::from(paused)));
}

pub(crate) fn assigned(kind: &'static str, partitions: &[Partition], owned: usize) {
    counter!("stt_rebalances_total", "kind" => kind).increment(1);
    gauge!("stt_partitions_assigned").set(owned as f64);
    let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    log::info!(
        "partitions {kind}: {} (now {owned})",
        if names.is_empty() {
            "none".into()
        } else {
            names.join(" ")
        }
    );
}

pub(crate) fn committed(error: Option<&str>) {
    counter!("stt_commits_total", "result" => if error.is_some() { "error" } else { "ok" }).increment(1);
    if let Some(error) = error {
        log::warn!("a commit was refused and will be made again: {error}");
    }
}

pub(crate) fn trouble(what: &str) {
    counter!("stt_source_trouble_total").increment(1);
    log::warn!("kafka: {what}");
}

pub(crate) fn stale() {
    counter!("stt_stale_settlements_total").increment(1);
}

/// The story of one try, told in one line when it ends.
pub(crate) struct Story {
    subject: String,
    steps: Vec<(Stage, Duration)>,
}

impl Story {
    pub(crate) fn begin(case: &Case) -> Self {
        let (delivery, job, number) = (case.delivery(), case.job_id(), case.number());
        Self {
            subject: format!("job {job} ({}@{}, try {number})", delivery.partition, delivery.offset),
            steps: vec![],
        }
    }

    pub(crate) fn step(&mut self, stage: Stage, took: Duration) {
        histogram!("stt_stage_seconds", "stage" => stage.as_str()).record(took.as_secs_f64());
        self.steps.push((stage, took));
    }

    pub(crate) fn held(&self, failure: &Failure) {
        counter!("stt_jobs_held_total", "code" => failure.code.as_str()).increment(1);
        log::warn!("{} waits: {}", self.subject, failure.story());
    }

    pub(crate) fn completed(&self, transcript: &Transcript) {
        counter!("stt_jobs_completed_total").increment(1);
        counter!("stt_audio_seconds_total").increment(transcript.duration_sec.ceil() as u64);
        let language = transcript.language.map_or("-", |language| language.code());
        let (seconds, confidence) = (transcript.duration_sec, transcript.confidence());
        log::info!(
            "{} completed: {seconds:.1} s of {language}, confidence {confidence:.2}{}",
            self.subject,
            self.times()
        );
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        let (stage, code) = (failure.code.stage().as_str(), failure.code.as_str());
        counter!("stt_jobs_failed_total", "stage" => stage, "code" => code).increment(1);
        log::warn!(
            "{} failed: {stage}/{code}: {}{}",
            self.subject,
            failure.story(),
            self.times()
        );
    }

    pub(crate) fn retried(&self, wait: Duration, because: &Failure) {
        counter!("stt_jobs_retried_total", "code" => because.code.as_str()).increment(1);
        let (code, story) = (because.code, because.story());
        log::warn!(
            "{} tries again in {} ms: {code}: {story}{}",
            self.subject,
            wait.as_millis(),
            self.times()
        );
    }

    pub(crate) fn abandoned(&self) {
        counter!("stt_jobs_abandoned_total").increment(1);
        log::info!("{} left for another worker{}", self.subject, self.times());
    }

    fn times(&self) -> String {
        self.steps
            .iter()
            .map(|(stage, took)| format!(", {} {:.3} s", stage.as_str(), took.as_secs_f64()))
            .collect()
    }
}

/// A step that panicked.
pub(crate) fn crashed(stage: Stage, panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
    let stage = stage.as_str();
    log::error!("a worker panicked in {stage}: {text}");
    Failure::transient(ErrorCode::WorkerCrashed, format!("the worker crashed in {stage}"))
}
