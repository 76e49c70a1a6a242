//! Events to metrics and log lines. Every metric of the pipeline is a row of [`METRICS`]; labels come from closed sets.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use stt_core::{Clock, FailureLabel, FlowEvent, IgnoredReason, NotReady, Partition, ResetCause, StageTimes, Status};

use crate::log_limit::{LogLimit, more};

/// What kind of series a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A metric: its row here is the only place that names it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// Kind.
    pub kind: MetricKind,
    /// Labels.
    pub labels: &'static [&'static str],
    /// For people.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $constant: Metric = Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every metric of the pipeline.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    RECEIVED = Counter "stt_jobs_received_total" [] "Records taken from the jobs topic.";
    IGNORED = Counter "stt_records_ignored_total" ["reason"] "Delivered records that were not taken in; they are delivered again to whoever owns their partition.";
    COMPLETED = Counter "stt_jobs_completed_total" [] "Jobs published with a transcript.";
    FAILED = Counter "stt_jobs_failed_total" ["stage", "code"] "Jobs that failed for good, by stage and code.";
    RETRIED = Counter "stt_jobs_retried_total" ["code"] "Jobs published for another attempt, by code.";
    REDUCED = Counter "stt_outcomes_reduced_total" ["kind"] "Outcomes published without detail or payload, as the broker did not take them whole.";
    REFUSED = Counter "stt_outcomes_refused_total" ["code"] "Times the broker did not take an outcome, which is published again.";
    ABANDONED = Counter "stt_jobs_abandoned_total" [] "Jobs left for another worker: shutdown or a lost partition.";
    HELD = Counter "stt_jobs_held_total" ["code"] "Times a job waited for a fault of this worker, by code.";
    LATE = Counter "stt_stale_settlements_total" [] "Outcomes acknowledged after their partition was given up: another worker may publish a second one.";
    DUPLICATE = Counter "stt_jobs_duplicate_total" ["twin"] "Records passed because the same job was completed recently (done) or ended with them (running).";
    DONE_BEFORE = Counter "stt_jobs_done_before_total" [] "Records passed because an earlier owner of the partition was done with them.";
    SUSPECT = Counter "stt_jobs_suspect_total" [] "Records that a process had started when it ended.";
    UNMARKED = Counter "stt_jobs_unmarked_total" [] "Jobs started although the broker did not acknowledge their start marker in time.";
    CUT_SHORT = Counter "stt_retries_early_total" [] "Retries run before their time, because too many waited.";
    TRANSACTIONS = Counter "stt_transactions_total" ["result"] "Transactions, by result.";
    AUDIO_SECONDS = Counter "stt_audio_seconds_total" [] "Audio transcribed.";
    STAGE_SECONDS = Histogram "stt_stage_seconds" ["stage"] "Time of one step of a job, by stage.";
    JOB_SECONDS = Histogram "stt_job_seconds" [] "Time of a completed job from its arrival to the broker's acknowledgement.";
    OPEN = Gauge "stt_jobs_open" [] "Records in memory whose offset is not passed yet.";
    RUNNING = Gauge "stt_jobs_running" [] "Jobs that worker threads have.";
    WINDOW = Gauge "stt_jobs_window" [] "Jobs that worker threads may have at once.";
    DELAYED = Gauge "stt_jobs_delayed" [] "Records that wait for their retry time, or for a fault of this worker to pass.";
    PUBLISHING = Gauge "stt_outcomes_waiting" [] "Outcomes that the broker has not acknowledged yet.";
    PAUSED = Gauge "stt_intake_paused" [] "1 while intake is paused because enough is in memory.";
    ASSIGNED = Gauge "stt_partitions_assigned" [] "Partitions that this worker owns.";
    NOT_READY = Gauge "stt_not_ready" ["reason"] "1 while the worker is not ready for this reason.";
    REBALANCES = Counter "stt_rebalances_total" ["kind"] "Changes of the assignment, by kind.";
    LOG_RESETS = Counter "stt_log_resets_total" ["cause"] "Positions that no longer existed in their partition, by cause: retention or a new log.";
    SKIPPED = Counter "stt_records_skipped_total" [] "Offsets that retention deleted before they were read.";
    COMMITS = Counter "stt_commits_total" ["result"] "Answers to offset commits, by result.";
    BROKER_ERRORS = Counter "stt_source_trouble_total" [] "Errors that the Kafka client reported and goes on from.";
}

/// Tells the installed recorder what each metric means, and starts the series without labels at zero.
pub fn describe_metrics() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => {
                describe_counter!(metric.name, metric.help);
                if metric.labels.is_empty() {
                    counter!(metric.name).increment(0);
                }
            }
            MetricKind::Gauge => describe_gauge!(metric.name, metric.help),
            MetricKind::Histogram => describe_histogram!(metric.name, metrics::Unit::Seconds, metric.help),
        }
    }
    for reason in IgnoredReason::ALL {
        counter!(IGNORED.name, "reason" => reason.as_str()).increment(0);
    }
}

/// Gauges from a snapshot.
pub(crate) fn levels(status: &Status) {
    gauge!(OPEN.name).set(status.open as f64);
    gauge!(RUNNING.name).set(status.running as f64);
    gauge!(WINDOW.name).set(status.window as f64);
    gauge!(DELAYED.name).set(status.delayed as f64);
    gauge!(PUBLISHING.name).set(status.publishing as f64);
    gauge!(PAUSED.name).set(f64::from(u8::from(status.intake_paused)));
    gauge!(ASSIGNED.name).set(status.partitions.len() as f64);
    for reason in NotReady::ALL {
        let holds = status.not_ready.contains(&reason);
        gauge!(NOT_READY.name, "reason" => reason.as_str()).set(f64::from(u8::from(holds)));
    }
}

/// Records events.
pub(crate) struct Telemetry {
    clock: Arc<dyn Clock>,
    limit: LogLimit,
}

impl Telemetry {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let limit = LogLimit::default();
        Self { clock, limit }
    }

    /// Counts an event and logs it: one line a job at its end, and repeated faults summarised.
    pub(crate) fn record(&mut self, event: FlowEvent) {
        match event {
            FlowEvent::Received => counter!(RECEIVED.name).increment(1),
            FlowEvent::Ignored(reason) => counter!(IGNORED.name, "reason" => reason.as_str()).increment(1),
            FlowEvent::DoneBefore => counter!(DONE_BEFORE.name).increment(1),
            FlowEvent::Duplicate { job, of_completed } => {
                counter!(DUPLICATE.name, "twin" => if of_completed { "done" } else { "running" }).increment(1);
                let other = if of_completed {
                    "a job completed recently"
                } else {
                    "a job that ran"
                };
                log::info!("{job} is a duplicate of {other}");
            }
            FlowEvent::CrashSuspect { job, crashes } => {
                counter!(SUSPECT.name).increment(1);
                log::warn!("{job} was started by {crashes} worker processes that ended before it was done");
            }
            FlowEvent::StartedUnmarked => counter!(UNMARKED.name).increment(1),
            FlowEvent::DelayCutShort => counter!(CUT_SHORT.name).increment(1),
            FlowEvent::Completed {
                job,
                times,
                publish,
                language,
                audio_seconds,
                confidence,
                elapsed,
                reduced,
            } => {
                counter!(COMPLETED.name).increment(1);
                counter!(AUDIO_SECONDS.name).increment(audio_seconds.ceil() as u64);
                histogram!(JOB_SECONDS.name).record(elapsed.as_secs_f64());
                count_reduced(reduced, "result");
                let steps = steps(&times, publish);
                let language = language.unwrap_or("-");
                log::info!(
                    "{job} completed: {audio_seconds:.1} s of {language}, confidence {confidence:.2}{}{steps}",
                    if reduced {
                        ", without detail, which kafka did not take"
                    } else {
                        ""
                    },
                );
            }
            FlowEvent::Failed {
                job,
                times,
                publish,
                failure,
                reduced,
            } => {
                let (stage, code) = (failure.code.stage().as_str(), failure.code.as_str());
                counter!(FAILED.name, "stage" => stage, "code" => code).increment(1);
                count_reduced(reduced, "dead-letter");
                let steps = steps(&times, publish);
                let reduced = if reduced { "; dead letter without payload" } else { "" };
                log::warn!("{job} failed: {stage}/{code}: {}{reduced}{steps}", failure.message);
            }
            FlowEvent::Retried {
                job,
                times,
                publish,
                failure,
                wait,
            } => {
                counter!(RETRIED.name, "code" => failure.code.as_str()).increment(1);
                let steps = steps(&times, publish);
                let FailureLabel { code, message, .. } = failure;
                log::warn!(
                    "{job} is tried again in {} ms: {code}: {message}{steps}",
                    wait.as_millis()
                );
            }
            FlowEvent::Held {
                job,
                failure,
                wait,
                count,
            } => {
                counter!(HELD.name, "code" => failure.code.as_str()).increment(1);
                self.warn("held", failure.code.as_str(), || {
                    let message = &failure.message;
                    format!("{job} held for {wait:?} by a fault of this worker (time {count}): {message}")
                });
            }
            FlowEvent::PublishRefused {
                job,
                failure,
                wait,
                count,
            } => {
                counter!(REFUSED.name, "code" => failure.code.as_str()).increment(1);
                self.warn("publish refused", &failure.message, || {
                    let message = &failure.message;
                    format!("outcome of {job} not published, next try in {wait:?} (refusal {count}): {message}")
                });
            }
            FlowEvent::Abandoned { job } => {
                counter!(ABANDONED.name).increment(1);
                log::info!("{job} left for another worker");
            }
            FlowEvent::LateOutcome { job } => {
                counter!(LATE.name).increment(1);
                log::warn!(
                    "outcome of {job} acknowledged after its partition was lost; its new owner may publish another"
                );
            }
            FlowEvent::PartitionsChanged {
                kind,
                partitions,
                owned,
            } => {
                counter!(REBALANCES.name, "kind" => kind).increment(1);
                log::info!("partitions {kind}: {} (now {owned})", names(&partitions));
            }
            FlowEvent::LogReset { partition, cause, jobs } => log_reset(&partition, cause, jobs),
            FlowEvent::CommitAnswered { error } => {
                counter!(COMMITS.name, "result" => if error.is_some() { "error" } else { "ok" }).increment(1);
                if let Some(error) = error {
                    self.warn("commit refused", &error, || {
                        format!("offset commit refused, repeated soon: {error}")
                    });
                }
            }
            FlowEvent::Transaction { failure } => {
                let result = if failure.is_some() { "aborted" } else { "committed" };
                counter!(TRANSACTIONS.name, "result" => result).increment(1);
                if let Some(FailureLabel { message, .. }) = failure {
                    self.warn("transaction aborted", &message, || {
                        format!("transaction aborted, repeated soon: {message}")
                    });
                }
            }
            FlowEvent::BrokerError(text) => {
                counter!(BROKER_ERRORS.name).increment(1);
                self.warn("broker", &text, || format!("kafka: {text}"));
            }
            FlowEvent::Breaker { open: true } => {
                log::warn!("a fault of this worker would fail any job: no job is started until a trial succeeds");
            }
            FlowEvent::Breaker { open: false } => log::info!("the trial succeeded: jobs are started again"),
        }
    }

    fn warn(&mut self, event: &'static str, detail: &str, text: impl FnOnce() -> String) {
        if let Some(suppressed) = self.limit.pass(event, detail, self.clock.now()) {
            log::warn!("{}{}", text(), more(suppressed));
        }
    }
}

fn count_reduced(reduced: bool, kind: &'static str) {
    if reduced {
        counter!(REDUCED.name, "kind" => kind).increment(1);
    }
}

fn log_reset(partition: &Partition, cause: ResetCause, jobs: usize) {
    match cause {
        ResetCause::Retention { skipped } => {
            counter!(LOG_RESETS.name, "cause" => "retention").increment(1);
            counter!(SKIPPED.name).increment(skipped);
            log::error!(
                "{partition}: retention deleted {skipped} offsets before they were read; reading on at the oldest record. Raise \
                 the topic's retention or add workers"
            );
        }
        ResetCause::NewLog => {
            counter!(LOG_RESETS.name, "cause" => "new-log").increment(1);
            log::warn!(
                "{partition}: the topic was created anew or lost its end; reading from its beginning. {jobs} jobs of the old log \
                 are finished without offsets"
            );
        }
    }
}

fn names(partitions: &[Partition]) -> String {
    if partitions.is_empty() {
        return "none".into();
    }
    let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    names.join(" ")
}

/// Counts what the steps of a job took, and says it for its log line.
fn steps(times: &StageTimes, publish: Duration) -> String {
    let named = times.iter().map(|(stage, took)| (stage.as_str(), *took));
    let mut text = String::new();
    for (stage, took) in named.chain([("publish", publish)]) {
        use std::fmt::Write as _;
        histogram!(STAGE_SECONDS.name, "stage" => stage).record(took.as_secs_f64());
        let _ = write!(text, ", {stage} {:.3} s", took.as_secs_f64()); // writing to a String cannot fail
    }
    text
}
