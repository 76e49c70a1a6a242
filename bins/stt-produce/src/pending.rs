//! Which results are still to come.

use std::collections::BTreeMap;

use stt_consume::{Exit, JobId, Message, Report};

use crate::job::Outgoing;

/// The jobs that have no result yet, each with its label.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    jobs: BTreeMap<JobId, Option<String>>,
    failed: bool,
}

impl Pending {
    /// These jobs. Jobs of the same id have one result.
    pub(crate) fn of(jobs: &[Outgoing]) -> Self {
        let job = |job: &Outgoing| (JobId::of(&job.key), job.label.clone());
        Self {
            jobs: jobs.iter().map(job).collect(),
            failed: false,
        }
    }

    /// If the message is the first result of one of them, takes that off and returns its label.
    pub(crate) fn take(&mut self, message: &Message<'_>) -> Option<Option<String>> {
        let label = message.job_ids().find_map(|id| self.jobs.remove(&id))?;
        self.failed |= !matches!(message.report, Ok(Report::Completed { .. }));
        Some(label)
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// How it ended, if it ends now. That a result is missing is told rather than that another one is a failure.
    pub(crate) fn exit(&self) -> Exit {
        match (self.jobs.is_empty(), self.failed) {
            (false, _) => Exit::TimedOut,
            (true, true) => Exit::JobFailed,
            (true, false) => Exit::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stt_consume::Kind;

    const ID: &str = "7D8A3C1E-5A52-4A3C-9C0A-0D7F2A6A1B01";

    fn pending() -> Pending {
        let job = |key: &str, label: Option<&str>| Outgoing {
            key: key.into(),
            payload: vec![],
            label: label.map(str::to_owned),
        };
        Pending::of(&[job(ID, Some("a.ogg")), job("job-2", None), job("job-2", None)])
    }

    fn result(id: &str, status: &str) -> Vec<u8> {
        format!(r#"{{"jobId":"{id}","status":"{status}"}}"#).into_bytes()
    }

    fn take(pending: &mut Pending, key: &str, payload: &[u8]) -> Option<Option<String>> {
        pending.take(&Message::read(Kind::Results, Some(key.as_bytes()), Some(payload)))
    }

    #[test]
    fn the_results_of_others_and_second_results_change_nothing() {
        let mut pending = pending();
        assert_eq!(take(&mut pending, "job-3", &result("job-3", "FAILED")), None);
        assert_eq!(take(&mut pending, "job-2", &result("job-2", "COMPLETED")), Some(None));
        assert_eq!(take(&mut pending, "job-2", &result("job-2", "FAILED")), None);
        assert_eq!((pending.len(), pending.exit()), (1, Exit::TimedOut));
        let id = ID.to_lowercase();
        assert_eq!(
            take(&mut pending, &id, &result(&id, "COMPLETED")),
            Some(Some("a.ogg".into()))
        );
        assert_eq!((pending.len(), pending.exit()), (0, Exit::Done));
    }

    #[test]
    fn a_failure_is_told_when_all_have_come_and_junk_is_one() {
        for payload in [result("job-2", "FAILED"), b"junk".to_vec()] {
            let mut pending = pending();
            assert_eq!(take(&mut pending, "job-2", &payload), Some(None));
            assert_eq!(pending.exit(), Exit::TimedOut);
            take(&mut pending, "", &result(ID, "COMPLETED"));
            assert_eq!(pending.exit(), Exit::JobFailed);
        }
    }
}
