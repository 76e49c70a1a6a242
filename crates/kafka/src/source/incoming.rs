//! What is committed for partitions that are about to be ours.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode;
use stt_core::{Assignment, Partition};

use super::group::Group;
use super::shared::Shared;
use crate::record;

/// Partitions that the group gave to this member, while what is committed for them is looked up. librdkafka would look it
/// up by itself, but keeps the note to itself.
#[derive(Default)]
pub(super) struct Incoming {
    partitions: Vec<Partition>,
    lookup: Option<Lookup>,
}

/// What came of a lookup.
pub(super) enum Answer {
    /// Each partition with what is committed for it.
    Found(Vec<Assignment>),
    /// It is tried again.
    Trouble(Option<RDKafkaErrorCode>, String),
}

/// How long the first try waits. Closing may have to wait as long, so it is short; each next one waits twice as long, for
/// brokers that are slow, up to [`TRY_WAIT_MAX`].
const TRY_WAIT: Duration = Duration::from_secs(2);

const TRY_WAIT_MAX: Duration = Duration::from_secs(8);

/// How long after a failed try the next one is made.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// A coordinator that is just starting is no trouble before this is over.
const QUIET: Duration = Duration::from_secs(1);

impl Incoming {
    /// More of them: everything is looked up anew.
    pub(super) fn add(&mut self, partitions: Vec<Partition>) {
        self.partitions.extend(partitions);
        self.lookup = None;
    }

    /// Some are lost already. False when none is left.
    pub(super) fn forget(&mut self, partitions: &[Partition]) -> bool {
        self.partitions.retain(|partition| !partitions.contains(partition));
        !self.partitions.is_empty()
    }

    /// The answer, if there is one. Never waits.
    pub(super) fn answer(&mut self, consumer: &Shared, topic: &Arc<str>) -> Option<Answer> {
        let lookup = match &self.lookup {
            Some(lookup) => lookup,
            None => match Lookup::start(consumer.clone(), topic.clone(), self.partitions.clone()) {
                Ok(lookup) => self.lookup.insert(lookup),
                Err(error) => return Some(Answer::Trouble(None, unknown(&error))),
            },
        };
        let mut answer = lookup.answers.try_recv().ok()?;
        if let Answer::Found(assignments) = &mut answer {
            assignments.retain(|assignment| self.partitions.contains(&assignment.partition));
        }
        Some(answer)
    }
}

/// Asks on a thread of its own, until there is an answer. Dropping it lets the thread end by itself, within a try.
struct Lookup {
    answers: Receiver<Answer>,
    _asking: Sender<()>,
}

impl Lookup {
    fn start(consumer: Shared, topic: Arc<str>, partitions: Vec<Partition>) -> std::io::Result<Self> {
        let (answer, answers) = mpsc::channel();
        let (asking, asked) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("kafka-lookup".to_owned());
        thread.spawn(move || {
            let started = Instant::now();
            let mut wait = TRY_WAIT;
            loop {
                let Some(found) = consumer.with(|consumer| committed(consumer, &topic, &partitions, wait)) else {
                    return;
                };
                wait = (2 * wait).min(TRY_WAIT_MAX);
                match found {
                    Ok(assignments) => {
                        answer.send(Answer::Found(assignments)).ok();
                        return;
                    }
                    Err(_) if started.elapsed() < QUIET => {}
                    Err(error) => {
                        let code = error.rdkafka_error_code();
                        answer.send(Answer::Trouble(code, unknown(&error))).ok();
                    }
                }
                if asked.recv_timeout(RETRY_WAIT) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self {
            answers,
            _asking: asking,
        })
    }
}

/// Asks once. While a transaction is open that commits for one of the partitions, the broker does not say, and librdkafka
/// goes on asking by itself until the wait is over.
fn committed(
    consumer: &BaseConsumer<Group>,
    topic: &Arc<str>,
    partitions: &[Partition],
    wait: Duration,
) -> KafkaResult<Vec<Assignment>> {
    let list = consumer.committed_offsets(record::list(partitions), wait)?;
    let assignment = |entry: record::Entry| match entry.error {
        Some(error) => Err(error),
        None => Ok(Assignment {
            partition: entry.partition,
            committed: entry.committed,
        }),
    };
    record::entries(&list, topic).into_iter().map(assignment).collect()
}

fn unknown(error: &impl Display) -> String {
    format!(
        "cannot read yet what is committed for new partitions, trying again: no answer, or a transaction that commits for \
         them is still open: {error}"
    )
}
