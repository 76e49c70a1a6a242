//! Outcomes to the sink, and its answers.

use std::time::Duration;

use super::Coordinator;
use crate::flow::events::{FailureLabel, FlowEvent, Output};
use crate::flow::incoming::Form;
use crate::flow::job::{Job, JobState, Publication, Standing, Verdict};
use crate::{Batch, BatchId, BatchResult, Failure, Fault, JobId, Outcome, OutcomeResult, Partition};

/// How long no transaction is begun after one was aborted: the cause is seldom gone at once.
const AFTER_ABORT: Duration = Duration::from_millis(100);

/// Most outcomes in one transaction, so that it fits its timeout.
const TRANSACTION_OUTCOMES_MAX: usize = 1_000;

impl Coordinator {
    /// Hands outcomes to the sink: each on its own, or all that are ready in one transaction.
    pub(super) fn publish(&mut self) {
        while let Some(id) = self.publish_later.pop(self.now) {
            self.to_publish.push_back(id);
        }
        if self.unsure_until.is_some() || self.sink_broken || self.config.transactional {
            return; // transactions are begun together with their commits
        }
        while let Some(id) = self.to_publish.pop_front() {
            if let Some(outcome) = self.take_outcome(id) {
                self.send(vec![outcome], vec![]);
            }
        }
    }

    /// The next transaction: the outcomes that are ready, with the commits that may be made once they are published; or,
    /// when it is time to commit, commits alone.
    pub(super) fn transact(&mut self, commit_due: bool) {
        let waits = self.transaction_not_before.is_some_and(|begin| self.now < begin);
        if self.transaction.is_some() || waits || self.unsure_until.is_some() || self.sink_broken {
            return;
        }
        if self.to_publish.is_empty() && !commit_due {
            return;
        }
        let mut outcomes = vec![];
        while outcomes.len() < TRANSACTION_OUTCOMES_MAX
            && let Some(id) = self.to_publish.pop_front()
        {
            outcomes.extend(self.take_outcome(id));
        }
        let closing: Vec<(Partition, i64)> = outcomes
            .iter()
            .filter_map(|outcome| self.jobs.get(&outcome.job))
            .filter(|job| job.standing == Standing::Owned)
            .map(|job| (job.partition().clone(), job.offset()))
            .collect();
        let commits = self.take_commits(&closing);
        if !outcomes.is_empty() || !commits.is_empty() {
            self.transaction = Some(self.send(outcomes, commits));
        }
    }

    fn take_outcome(&mut self, id: JobId) -> Option<Outcome> {
        match &mut self.jobs.get_mut(&id)?.state {
            JobState::Publishing(publication) => publication.outcome.take(),
            _ => None,
        }
    }

    fn send(&mut self, outcomes: Vec<Outcome>, commits: Vec<crate::Commit>) -> BatchId {
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.outputs.push_back(Output::Publish(Batch { id, outcomes, commits }));
        id
    }

    pub(super) fn published(&mut self, result: BatchResult) {
        let is_transaction = self.transaction.take_if(|id| *id == result.id).is_some();
        let committed = result.failure.is_none();
        if is_transaction {
            self.transaction_event(result.failure.as_ref());
        }
        for OutcomeResult { outcome, result } in result.outcomes {
            match result {
                Ok(()) => self.acknowledged(&outcome),
                Err(failure) => self.refused(outcome, failure),
            }
        }
        if is_transaction {
            self.commits_answered(&result.commits, committed);
            if !committed {
                self.transaction_not_before = Some(self.now + AFTER_ABORT);
            }
        }
        if let Some(failure) = result.failure.filter(|failure| failure.fault == Fault::Fatal) {
            self.sink_broken = true;
            self.fail_process(failure);
        }
    }

    fn acknowledged(&mut self, outcome: &Outcome) {
        self.report.published += 1;
        let id = outcome.job;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let completed = matches!(
            job.state,
            JobState::Publishing(Publication {
                verdict: Verdict::Completed(_),
                ..
            })
        );
        if job.standing == Standing::Lost {
            let event = published_event(job, self.now);
            let label = job.label();
            job.enter(JobState::PublishedWhileLost { completed }, self.now);
            self.outputs.extend(event.map(Output::Event));
            return self.event(FlowEvent::LateOutcome { job: label });
        }
        let Some(job) = self.remove(id) else { return };
        self.outputs.extend(published_event(&job, self.now).map(Output::Event));
        self.close_offset(&job);
        self.finish_followers(&job, completed);
    }

    /// The records of the same job that waited for this outcome are done with it.
    pub(super) fn finish_followers(&mut self, job: &Job, completed: bool) {
        let Some(key) = &job.key else { return };
        let attempt = job.incoming.attempt();
        for follower in self.dedup.finish(key, attempt, job.id, completed, self.now) {
            self.close_duplicate(follower, false);
        }
    }

    fn refused(&mut self, outcome: Outcome, failure: Failure) {
        let id = outcome.job;
        let (detail, model_version, wall) = (self.config.detail, self.config.model_version.clone(), self.wall);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let JobState::Publishing(publication) = &mut job.state else {
            return;
        };
        let is_lost = job.standing == Standing::Lost;
        if failure.fault == Fault::Permanent {
            let wording = crate::flow::job::Wording {
                detail,
                model_version: &model_version,
                wall,
            };
            let message = failure.error_chain();
            let copy = Failure::permanent(failure.code, message);
            if publication.reduce(&outcome, &job.incoming, copy, wording) {
                if !is_lost {
                    self.to_publish.push_back(id);
                }
                return;
            }
        }
        publication.outcome = Some(outcome);
        match failure.fault {
            Fault::Fatal => {
                self.sink_broken = true;
                self.fail_process(failure);
            }
            Fault::Transient { .. } if is_lost => {}
            Fault::Transient { .. } => self.to_publish.push_back(id),
            Fault::WorkerLocal | Fault::NoRoom | Fault::Permanent => {
                publication.refusals += 1;
                let (count, wait) = (publication.refusals, Self::hold_wait(publication.refusals));
                publication.not_before = Some(self.now + wait);
                let (job, failure) = (job.label(), FailureLabel::from(&failure));
                self.event(FlowEvent::PublishRefused {
                    job,
                    failure,
                    wait,
                    count,
                });
                if !is_lost {
                    self.publish_later.push(self.now + wait, id);
                }
            }
        }
    }
}

/// What logs and metrics say of a job whose outcome is acknowledged.
fn published_event(job: &Job, now: std::time::Instant) -> Option<FlowEvent> {
    let JobState::Publishing(publication) = &job.state else {
        return None;
    };
    let label = job.label();
    let times = publication.times.clone();
    let publish = now.saturating_duration_since(job.since);
    let reduced = publication.form == Form::Reduced;
    Some(match &publication.verdict {
        Verdict::Completed(transcript) => FlowEvent::Completed {
            job: label,
            times,
            publish,
            language: transcript.language.map(|language| language.code()),
            audio_seconds: transcript.duration_sec,
            confidence: transcript.confidence(),
            elapsed: now.saturating_duration_since(job.admitted),
            reduced,
        },
        Verdict::Failed(failure) => FlowEvent::Failed {
            job: label,
            times,
            publish,
            failure: failure.into(),
            reduced,
        },
        Verdict::Retry { wait, because } => FlowEvent::Retried {
            job: label,
            times,
            publish,
            failure: because.into(),
            wait: *wait,
        },
    })
}
