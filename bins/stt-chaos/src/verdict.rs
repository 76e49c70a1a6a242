//! The ledger: what became of every job, held against the plan and the guarantee.

use std::collections::BTreeMap;

use stt_schema::ErrorCode;

use crate::guarantee::Guarantee;
use crate::history::{History, Turn};
use crate::job::{End, Fate, Job};
use crate::plan::Plan;
use crate::tally::{Letter, Outcome, Tally};
use crate::worker::ATTEMPTS_MAX;

/// What became of the jobs.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Jobs with a text.
    pub(crate) completed: usize,
    /// Jobs that failed, by code.
    pub(crate) failed: BTreeMap<&'static str, usize>,
    /// Outcomes beyond the first of a job, by what is known of their cause.
    pub(crate) duplicates: BTreeMap<String, usize>,
    /// Dead letters beyond the first of a job.
    pub(crate) letters_twice: usize,
    /// Jobs without an outcome.
    pub(crate) lost: usize,
    /// Jobs given up because their workers were killed so often while they had them in hand.
    pub(crate) killed_too_often: usize,
    /// What breaks the guarantee, as sentences.
    pub(crate) faults: Vec<String>,
}

/// What a duplicate of a job that was published twice is called.
const SENT_TWICE: &str = "job sent twice";
/// One of a job with retries: then it is not known whose end it was that brought it.
const RETRIED_TWICE: &str = "among retries";

impl Verdict {
    pub(crate) fn of(plan: &Plan, tally: &Tally, history: &History, guarantee: Guarantee) -> Self {
        let mut verdict = Self::default();
        let mut known = 0;
        for job in &plan.jobs {
            let id = job.id();
            let outcomes = tally.outcomes.get(&id).map_or(&[][..], Vec::as_slice);
            let letters = tally.letters.get(&id).map_or(&[][..], Vec::as_slice);
            known += usize::from(!outcomes.is_empty());
            verdict.judge(job, outcomes, letters, history, guarantee);
        }
        if known < tally.ended() {
            let strangers = tally.ended() - known;
            verdict.faults.push(format!("{strangers} outcomes are of no job"));
        }
        verdict.faults.extend_from_slice(&tally.odd);
        verdict
    }

    fn judge(&mut self, job: &Job, outcomes: &[Outcome], letters: &[Letter], history: &History, guarantee: Guarantee) {
        let Some(first) = outcomes.first() else {
            self.lost += 1;
            return self.fault(job, "is lost");
        };
        match &first.end {
            End::Completed(_) => self.completed += 1,
            End::Failed(code) => *self.failed.entry(code.as_str()).or_default() += 1,
        }
        let mut killed_too_often = false;
        for Outcome { by, end } in outcomes {
            if *end == job.end() {
                continue;
            }
            killed_too_often |= is_fair(job, end, history);
            if !is_fair(job, end, history) {
                self.fault(job, &format!("ended as {end} in worker {by}, not as {}", job.end()));
            }
        }
        self.killed_too_often += usize::from(killed_too_often);
        self.judge_letters(job, outcomes, letters);
        self.count_duplicates(job, outcomes, history, guarantee);
        self.letters_twice += letters.len().saturating_sub(1);
        if guarantee == Guarantee::ExactlyOnce && outcomes.len().max(letters.len()) > job.copies {
            let (outcomes, letters, records) = (outcomes.len(), letters.len(), job.copies);
            self.fault(
                job,
                &format!("has {outcomes} outcomes and {letters} dead letters for {records} records"),
            );
        }
    }

    /// A failed job has its dead letter, and nobody else has one.
    fn judge_letters(&mut self, job: &Job, outcomes: &[Outcome], letters: &[Letter]) {
        let failed = |code| outcomes.iter().any(|outcome| outcome.end == End::Failed(code));
        for Letter { code, attempt } in letters {
            if !failed(*code) {
                self.fault(job, &format!("has a dead letter {code} and no such outcome"));
            }
            let tries_over = *code == ErrorCode::DownloadFailed && *attempt != ATTEMPTS_MAX;
            if tries_over || *attempt > ATTEMPTS_MAX {
                self.fault(job, &format!("was given up as {code} after {attempt} tries"));
            }
        }
        for outcome in outcomes {
            if let End::Failed(code) = outcome.end
                && !letters.iter().any(|letter| letter.code == code)
            {
                self.fault(job, &format!("failed as {code} and has no such dead letter"));
            }
        }
    }

    fn count_duplicates(&mut self, job: &Job, outcomes: &[Outcome], history: &History, guarantee: Guarantee) {
        for (index, pair) in outcomes.windows(2).enumerate() {
            let cause = if index + 1 < job.copies {
                SENT_TWICE.to_owned()
            } else if matches!(job.fate, Fate::Flaky | Fate::Stubborn) {
                RETRIED_TWICE.to_owned()
            } else {
                let turns = history.turns(&pair[0].by);
                if guarantee == Guarantee::AtLeastOnce && !may_double(turns, history) {
                    let by = &pair[0].by;
                    self.fault(
                        job,
                        &format!("has a second outcome although its first writer {by} was not hurt"),
                    );
                }
                match turns.first() {
                    Some(turn) => format!("first writer {turn}"),
                    None => "first writer unhurt".to_owned(),
                }
            };
            *self.duplicates.entry(cause).or_default() += 1;
        }
    }

    fn fault(&mut self, job: &Job, what: &str) {
        self.faults.push(format!("job {} ({:?}) {what}", job.number, job.fate));
    }
}

/// Whether a job that is no poison was rightly taken for it. The last time it runs alone, so that crash was no other job's, but
/// a blow to the very process that ran it, or its marker could not be taken back when the session ran out; the crashes before
/// may have been anybody's.
fn is_fair(job: &Job, end: &End, history: &History) -> bool {
    let is_struck = history.hits(job.number) >= 1 || history.was_lost(&job.id());
    *end == End::Failed(ErrorCode::WorkerCrashed) && job.fate != Fate::Poison && is_struck
}

/// Whether `docs/delivery.md` names a window for a second outcome: the first writer was killed, frozen or fenced (windows 2, 3
/// and 5), or the broker was away, so that sessions ran out, or a stop or a revocation outlasted it (windows 4 and 5).
fn may_double(turns: &[Turn], history: &History) -> bool {
    history.broker_was_away || turns.iter().any(|turn| *turn != Turn::Left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(jobs: &[(Fate, usize)]) -> Plan {
        let job = |(number, (fate, copies)): (usize, &(Fate, usize))| Job {
            number,
            fate: *fate,
            work_ms: 1,
            copies: *copies,
        };
        Plan {
            jobs: jobs.iter().enumerate().map(job).collect(),
            stream: vec![],
            blows: vec![],
        }
    }

    fn ended(tally: &mut Tally, job: &Job, by: &str, end: End) {
        let outcomes = tally.outcomes.entry(job.id()).or_default();
        outcomes.push(Outcome { by: by.to_owned(), end });
    }

    fn dead(tally: &mut Tally, job: &Job, code: ErrorCode, attempt: u32) {
        let letters = tally.letters.entry(job.id()).or_default();
        letters.push(Letter { code, attempt });
    }

    #[test]
    fn a_lost_job_a_wrong_text_and_a_missing_letter_are_faults_in_either_mode() {
        let plan = plan(&[(Fate::Good, 1), (Fate::Good, 1), (Fate::Gone, 1)]);
        let mut tally = Tally::default();
        ended(
            &mut tally,
            &plan.jobs[1],
            "0.1",
            End::Completed("of another".to_owned()),
        );
        ended(
            &mut tally,
            &plan.jobs[2],
            "0.1",
            End::Failed(ErrorCode::DownloadHttpStatus),
        );
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            let verdict = Verdict::of(&plan, &tally, &History::default(), guarantee);
            assert_eq!(verdict.lost, 1);
            assert_eq!(
                verdict.faults,
                [
                    "job 0 (Good) is lost",
                    "job 1 (Good) ended as COMPLETED \"of another\" in worker 0.1, not as COMPLETED \"heard \
                     http://chaos.invalid/1/good/1\"",
                    "job 2 (Gone) failed as DOWNLOAD_HTTP_STATUS and has no such dead letter",
                ]
            );
        }
    }

    #[test]
    fn a_second_outcome_is_a_fault_only_where_exactly_once_was_promised_and_not_of_a_job_sent_twice() {
        let plan = plan(&[(Fate::Good, 1), (Fate::Good, 2)]);
        let (once, copied) = (&plan.jobs[0], &plan.jobs[1]);
        let mut tally = Tally::default();
        for by in ["0.1", "1.1"] {
            ended(&mut tally, once, by, once.end());
            ended(&mut tally, copied, by, copied.end());
        }
        let mut history = History::default();
        history.turned("0.1", Turn::Killed);
        let verdict = Verdict::of(&plan, &tally, &history, Guarantee::AtLeastOnce);
        assert_eq!(verdict.faults, [""; 0]);
        let duplicates: Vec<_> = verdict.duplicates.into_iter().collect();
        assert_eq!(
            duplicates,
            [("first writer killed".to_owned(), 1), (SENT_TWICE.to_owned(), 1)]
        );
        let verdict = Verdict::of(&plan, &tally, &history, Guarantee::ExactlyOnce);
        assert_eq!(
            verdict.faults,
            ["job 0 (Good) has 2 outcomes and 0 dead letters for 1 records"]
        );
    }

    #[test]
    fn a_job_taken_for_poison_is_a_fault_without_a_cause() {
        let plan = plan(&[(Fate::Good, 1)]);
        let job = &plan.jobs[0];
        let mut tally = Tally::default();
        ended(&mut tally, job, "0.3", End::Failed(ErrorCode::WorkerCrashed));
        dead(&mut tally, job, ErrorCode::WorkerCrashed, 1);
        let mut history = History::default();
        history.struck_with([5]);
        let faults = Verdict::of(&plan, &tally, &history, Guarantee::AtLeastOnce).faults;
        assert!(
            matches!(&faults[..], [fault] if fault.contains("ended as FAILED WORKER_CRASHED")),
            "{faults:?}"
        );
        history.struck_with([0]);
        let verdict = Verdict::of(&plan, &tally, &history, Guarantee::AtLeastOnce);
        assert_eq!((verdict.faults, verdict.killed_too_often), (vec![], 1));
        let mut history = History::default();
        history.lost_with_session(&format!(
            "[t INFO telemetry] job {} (stt.jobs[0]@0, attempt 1) was started by 2 worker processes that ended\n\
             [t INFO telemetry] partitions lost: stt.jobs[0] (now 0)\n",
            job.id()
        ));
        let verdict = Verdict::of(&plan, &tally, &history, Guarantee::AtLeastOnce);
        assert_eq!((verdict.faults, verdict.killed_too_often), (vec![], 1));
    }

    #[test]
    fn a_job_given_up_before_its_last_try_is_a_fault() {
        let plan = plan(&[(Fate::Stubborn, 1)]);
        let job = &plan.jobs[0];
        let mut tally = Tally::default();
        ended(&mut tally, job, "0.1", job.end());
        dead(&mut tally, job, ErrorCode::DownloadFailed, 2);
        let verdict = Verdict::of(&plan, &tally, &History::default(), Guarantee::AtLeastOnce);
        assert_eq!(
            verdict.faults,
            ["job 0 (Stubborn) was given up as DOWNLOAD_FAILED after 2 tries"]
        );
    }
}
