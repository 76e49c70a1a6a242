//! One admitted record and where it stands.

use std::time::{Duration, Instant};

use stt_schema::{DetailLevel, ErrorCode};

use super::dedup::JobKey;
use super::events::JobLabel;
use super::incoming::{Form, IncomingJob};
use crate::{Failure, JobId, Outcome, OutcomeKind, OutcomeRecord, Partition, Site, StageTimes, Transcript, WorkStage};

/// One admitted record.
#[derive(Debug)]
pub(crate) struct Job {
    pub id: JobId,
    pub incoming: IncomingJob,
    /// Where its audio comes from; empty for invalid jobs.
    pub site: Site,
    /// Registered with the deduplicator under this key.
    pub key: Option<JobKey>,
    pub standing: Standing,
    pub state: JobState,
    pub admitted: Instant,
    /// Since when it is in its state.
    pub since: Instant,
    /// How many times in a row a fault of this worker held it.
    pub holds: u32,
}

/// Whose offset it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Ours: its outcome may be published, and then its offset passed.
    Owned,
    /// Its partition was lost. Nothing is published, as its new owner does; kept in case the partition comes back.
    Lost,
    /// Its record is gone (topic recreated): it is finished and published, as nobody else can, and no offset is passed.
    Orphaned,
}

/// Where an admitted record stands.
#[derive(Debug)]
pub(crate) enum JobState {
    /// Waits for its retry time, or for a fault of this worker to pass.
    Delayed { held: Option<ErrorCode> },
    /// Waits in the run queue.
    Queued,
    /// Waits for the outcome of another record of the same job.
    Following,
    /// Waits for the broker to know that it is started.
    Marking,
    /// Waits to run alone.
    Isolated,
    /// A worker has it.
    Running { stage: WorkStage, cancelled: bool },
    /// Its work is finished, its outcome is not acknowledged.
    Publishing(Publication),
    /// Its outcome was acknowledged while its partition was lost.
    PublishedWhileLost { completed: bool },
}

/// What was found, and how far its publication is.
#[derive(Debug)]
pub(crate) struct Publication {
    pub verdict: Verdict,
    pub form: Form,
    /// `None` while a sink has it.
    pub outcome: Option<Outcome>,
    pub times: StageTimes,
    pub refusals: u32,
    /// When it may be tried again.
    pub not_before: Option<Instant>,
}

/// What becomes of a job.
#[derive(Debug)]
pub(crate) enum Verdict {
    Completed(Transcript),
    Failed(Failure),
    Retry { wait: Duration, because: Failure },
}

impl Verdict {
    pub(crate) fn kind(&self) -> OutcomeKind {
        match self {
            Self::Completed(_) => OutcomeKind::Completed,
            Self::Failed(_) => OutcomeKind::Failed,
            Self::Retry { .. } => OutcomeKind::Retry,
        }
    }
}

impl Job {
    pub(crate) fn partition(&self) -> &Partition {
        &self.incoming.delivery().partition
    }

    pub(crate) fn offset(&self) -> i64 {
        self.incoming.delivery().offset
    }

    pub(crate) fn enter(&mut self, state: JobState, now: Instant) {
        self.state = state;
        self.since = now;
    }

    pub(crate) fn label(&self) -> JobLabel {
        JobLabel {
            job_id: self.incoming.job_id(),
            correlation_id: self.incoming.job().ok().map(|job| job.correlation_id.clone()),
            partition: self.partition().clone(),
            offset: self.offset(),
            attempt: self.incoming.attempt(),
            trace_id: self.incoming.trace().map(|trace| trace.trace_id),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, JobState::Running { .. })
    }

    pub(crate) fn is_publishing(&self) -> bool {
        matches!(self.state, JobState::Publishing(_))
    }

    /// Whether a sink has its outcome.
    pub(crate) fn is_in_flight(&self) -> bool {
        matches!(&self.state, JobState::Publishing(publication) if publication.outcome.is_none())
    }

    /// Name of the state in `/readyz`.
    pub(crate) fn stage_name(&self) -> &'static str {
        match &self.state {
            JobState::Delayed { .. } => "delayed",
            JobState::Queued => "queued",
            JobState::Following => "following",
            JobState::Marking => "marking",
            JobState::Isolated => "isolated",
            JobState::Running { stage, .. } => stage.as_str(),
            JobState::Publishing(_) => "publishing",
            JobState::PublishedWhileLost { .. } => "published",
        }
    }
}

/// What messages about jobs need beside the job.
#[derive(Clone, Copy)]
pub(crate) struct Wording<'a> {
    pub detail: DetailLevel,
    pub model_version: &'a str,
    pub wall: std::time::SystemTime,
}

impl Publication {
    pub(crate) fn new(
        id: JobId,
        incoming: &IncomingJob,
        verdict: Verdict,
        times: StageTimes,
        wording: Wording<'_>,
    ) -> Self {
        let mut publication = Self {
            verdict,
            form: Form::Full,
            outcome: None,
            times,
            refusals: 0,
            not_before: None,
        };
        publication.outcome = Some(publication.compose(id, incoming, wording));
        publication
    }

    fn compose(&self, job: JobId, incoming: &IncomingJob, wording: Wording<'_>) -> Outcome {
        let (form, model, wall) = (self.form, wording.model_version, wording.wall);
        let records = match &self.verdict {
            Verdict::Completed(transcript) => incoming.completed(transcript, wording.detail, form, model, wall),
            Verdict::Failed(failure) => incoming.failed(failure, form, model, wall),
            Verdict::Retry { wait, because } => incoming.retry(*wait, because, wall),
        };
        let kind = self.verdict.kind();
        Outcome { job, kind, records }
    }

    /// The next smaller form of an outcome that the broker refused as too large, keeping records that it acknowledged. False
    /// when there is none: then only the operator can help.
    pub(crate) fn reduce(
        &mut self,
        refused: &Outcome,
        incoming: &IncomingJob,
        failure: Failure,
        wording: Wording<'_>,
    ) -> bool {
        match (&mut self.verdict, self.form) {
            (Verdict::Completed(transcript), Form::Full) if transcript.detail(wording.detail).is_some() => {
                self.form = Form::Reduced;
            }
            (Verdict::Completed(_), _) => {
                let code = ErrorCode::ResultTooLarge;
                self.verdict = Verdict::Failed(Failure { code, ..failure });
                self.form = Form::Full;
            }
            (Verdict::Retry { because, .. }, _) => {
                let nothing = Failure::permanent(because.code, "");
                self.verdict = Verdict::Failed(std::mem::replace(because, nothing));
            }
            (Verdict::Failed(_), Form::Full) => self.form = Form::Reduced,
            (Verdict::Failed(_), Form::Reduced) => return false,
        }
        let mut outcome = self.compose(refused.job, incoming, wording);
        let known = |new: &OutcomeRecord| {
            let same = |old: &&OutcomeRecord| old.acknowledged && old.destination == new.destination;
            refused.records.iter().find(same).cloned()
        };
        if refused.kind == outcome.kind {
            for record in &mut outcome.records {
                if let Some(acknowledged) = known(record) {
                    *record = acknowledged;
                }
            }
        }
        self.outcome = Some(outcome);
        true
    }
}
