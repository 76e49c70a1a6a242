//! Which partitions wait for what is committed for them, and when to ask for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stt_core::{Assignment, Partition};

use crate::native::AdminError;
use crate::record::Entry;
use rdkafka::types::RDKafkaErrorCode;

/// How long after a failed try the next one is made.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// Failures are not reported before this time is over: a coordinator that is just starting is no problem.
const QUIET: Duration = Duration::from_secs(1);

/// The partitions that the group assigned to this member while what is committed for them is not known yet. librdkafka
/// would look it up by itself, but does not expose the metadata.
///
/// Each partition is answered by itself: the broker does not tell the offset of one for which a transaction is open, and
/// that must not hold up the others.
#[derive(Debug, Default)]
pub(super) struct OffsetLookup {
    partitions: BTreeMap<Partition, Step>,
    failing_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The next request asks for it, at that time or later.
    Due(Instant),
    /// The request with this number asks for it.
    Asked(usize),
}

/// What came of a request.
pub(super) struct LookupResult {
    /// Partitions whose lookup is finished.
    pub(super) found: Vec<Assignment>,
    /// Why others are not, when it should be reported.
    pub(super) error: Option<AdminError>,
}

impl OffsetLookup {
    pub(super) fn add(&mut self, now: Instant, partitions: Vec<Partition>) {
        let with_step = partitions.into_iter().map(|partition| (partition, Step::Due(now)));
        self.partitions.extend(with_step);
    }

    pub(super) fn remove(&mut self, partitions: &[Partition]) {
        partitions.iter().for_each(|partition| {
            self.partitions.remove(partition);
        });
    }

    pub(super) fn clear(&mut self) {
        self.partitions.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The partitions that a request with this number should ask for now; it counts as made.
    pub(super) fn take_due(&mut self, now: Instant, request: usize) -> Vec<Partition> {
        let due = self.partitions.iter_mut().filter_map(|(partition, step)| {
            let is_due = matches!(step, Step::Due(at) if *at <= now);
            is_due.then(|| {
                *step = Step::Asked(request);
                partition.clone()
            })
        });
        due.collect()
    }

    /// When the next request is due, if one is.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.partitions.values().filter_map(|step| match step {
            Step::Due(at) => Some(*at),
            Step::Asked(_) => None,
        });
        due.min()
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        request: usize,
        result: Result<Vec<Entry>, AdminError>,
    ) -> LookupResult {
        let (entries, mut error) = match result {
            Ok(entries) => (entries, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            if self.partitions.get(&entry.partition) != Some(&Step::Asked(request)) {
                continue; // lost meanwhile
            }
            if let Some(code) = entry.error {
                error.get_or_insert_with(|| (code, format!("{}: {}", entry.partition, describe(code))));
                continue;
            }
            self.partitions.remove(&entry.partition);
            found.push(Assignment {
                partition: entry.partition,
                committed: entry.committed,
            });
        }
        for step in self.partitions.values_mut() {
            if *step == Step::Asked(request) {
                *step = Step::Due(now + RETRY_WAIT);
            }
        }
        let failing_since = match error {
            Some(_) => *self.failing_since.get_or_insert(now),
            None => {
                self.failing_since = None;
                now
            }
        };
        let error = error.filter(|_| now.duration_since(failing_since) >= QUIET);
        LookupResult { found, error }
    }
}

fn describe(code: RDKafkaErrorCode) -> String {
    match code {
        RDKafkaErrorCode::UnstableOffsetCommit => "a transaction that commits for it is still open".to_owned(),
        code => code.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(id: i32) -> Partition {
        let topic = "stt.jobs".into();
        Partition { topic, id }
    }

    fn entry(id: i32, error: Option<RDKafkaErrorCode>) -> Entry {
        Entry {
            partition: partition(id),
            committed: None,
            error,
        }
    }

    /// A lookup of partitions 0 and 1 that waits for the answer to request 7.
    fn asked() -> (OffsetLookup, Instant) {
        let now = Instant::now();
        let mut lookup = OffsetLookup::default();
        lookup.add(now, vec![partition(0), partition(1)]);
        assert_eq!(lookup.take_due(now, 7), [partition(0), partition(1)]);
        (lookup, now)
    }

    #[test]
    fn an_unstable_partition_holds_up_no_other() {
        let (mut lookup, now) = asked();
        let unstable = Some(RDKafkaErrorCode::UnstableOffsetCommit);
        let answer = lookup.answered(now, 7, Ok(vec![entry(0, unstable), entry(1, None)]));
        assert_eq!(answer.found, [Assignment::from(partition(1))]);
        assert!(answer.error.is_none(), "not reported at once");
        assert_eq!(lookup.next_due(), Some(now + RETRY_WAIT));
        let later = now + QUIET;
        assert_eq!(lookup.take_due(later, 8), [partition(0)]);
        let answer = lookup.answered(later, 8, Ok(vec![entry(0, unstable)]));
        let (_, text) = answer.error.unwrap();
        assert_eq!(text, "stt.jobs[0]: a transaction that commits for it is still open");
    }

    #[test]
    fn a_failed_request_is_repeated_and_an_old_answer_ignored() {
        let (mut lookup, now) = asked();
        let failed = Err((RDKafkaErrorCode::OperationTimedOut, "timed out".to_owned()));
        assert!(lookup.answered(now, 7, failed).found.is_empty());
        lookup.remove(&[partition(1)]);
        assert_eq!(lookup.take_due(now + RETRY_WAIT, 8), [partition(0)]);
        assert!(lookup.answered(now, 7, Ok(vec![entry(0, None)])).found.is_empty());
        assert_eq!(
            lookup
                .answered(now, 8, Ok(vec![entry(0, None), entry(1, None)]))
                .found
                .len(),
            1
        );
        assert!(lookup.is_empty());
    }
}
