//! What happens to the membership: callbacks of librdkafka, turned into events.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use stt_core::{Assignment, Due, Partition, SourceEvent};

use super::incoming::{Answer, Incoming};
use super::shared::Shared;
use crate::listener::forward_log;
use crate::{native, record};

/// Troubles of the same kind are told this often: librdkafka reports every attempt to connect.
const TROUBLE_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of the membership, and the events that were not told yet. Its callbacks run inside `poll`, on the
/// thread that polls.
pub(super) struct Group {
    topic: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: VecDeque<SourceEvent>,
    /// Partitions that the group gave us, and for which it is not known yet what is committed.
    incoming: Option<Incoming>,
    /// What may be committed for: assigned and not released.
    owned: BTreeSet<Partition>,
    /// A part of `owned` that we paused. Only that is resumed: resuming others upsets librdkafka.
    paused: BTreeSet<Partition>,
    /// The partitions of a revocation that waits for its release. There is one at a time: librdkafka begins the next
    /// only when this one is answered, and it takes one answer for all of its partitions.
    revoked: Vec<Partition>,
    /// Which of them are not released yet.
    unreleased: BTreeSet<Partition>,
    /// When a trouble of each code was told last.
    told: HashMap<Option<i32>, Instant>,
    closing: bool,
    /// Whether an assignment was told.
    joined: bool,
}

impl Group {
    pub(super) fn new(topic: Arc<str>) -> Self {
        Self {
            topic,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_event(&self) -> Option<SourceEvent> {
        self.state().events.pop_front()
    }

    pub(super) fn tell(&self, event: SourceEvent) {
        self.state().events.push_back(event);
    }

    pub(super) fn trouble(&self, text: String) {
        self.tell(SourceEvent::Trouble(text));
    }

    /// A trouble that goes on, told now and then.
    fn complain(&self, code: Option<RDKafkaErrorCode>, text: String) {
        let now = Instant::now();
        let mut state = self.state();
        let told = state.told.entry(code.map(|code| code as i32)).or_insert(now);
        if *told == now || now.duration_since(*told) >= TROUBLE_INTERVAL {
            *told = now;
            state.events.push_back(SourceEvent::Trouble(text));
        }
    }

    pub(super) fn owns(&self, partition: &Partition) -> bool {
        self.state().owned.contains(partition)
    }

    /// Those of the partitions that are owned and not paused.
    pub(super) fn running(&self, partitions: &[Partition]) -> Vec<Partition> {
        let state = self.state();
        let running = |partition: &&Partition| state.owned.contains(partition) && !state.paused.contains(partition);
        partitions.iter().filter(running).cloned().collect()
    }

    pub(super) fn paused(&self, partitions: Vec<Partition>) {
        self.state().paused.extend(partitions);
    }

    /// Resumes those of the partitions that we paused.
    pub(super) fn resume(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        let mut paused = partitions.to_vec();
        paused.retain(|partition| self.state().paused.remove(partition));
        if let Err(error) = consumer.resume(&record::list(&paused)) {
            self.trouble(format!("could not resume partitions: {error}"));
        }
    }

    /// Gives up revoked partitions; the broker hears of it when the last of them is released.
    pub(super) fn release(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        let mut state = self.state();
        for partition in partitions {
            if state.unreleased.remove(partition) {
                state.owned.remove(partition);
            }
        }
        if state.revoked.is_empty() || !state.unreleased.is_empty() {
            return;
        }
        let revoked = std::mem::take(&mut state.revoked);
        drop(state);
        self.give_up(consumer, &revoked);
    }

    /// From now on everything is given up at once.
    pub(super) fn close(&self, consumer: &BaseConsumer<Self>) {
        let unreleased: Vec<Partition> = {
            let mut state = self.state();
            state.closing = true;
            state.incoming = None;
            state.unreleased.iter().cloned().collect()
        };
        self.release(consumer, &unreleased);
    }

    /// Whether partitions wait for what is committed for them.
    pub(super) fn is_looking_up(&self) -> bool {
        self.state().incoming.is_some()
    }

    /// Begins and ends lookups.
    pub(super) fn look_up(&self, consumer: &BaseConsumer<Self>, shared: &Shared) {
        let answer = {
            let mut state = self.state();
            let Some(incoming) = &mut state.incoming else { return };
            let answer = incoming.answer(shared, &self.topic);
            if matches!(answer, Some(Answer::Found(_))) {
                state.incoming = None;
            }
            answer
        };
        match answer {
            Some(Answer::Found(assignments)) => self.take_over(consumer, assignments),
            Some(Answer::Trouble(code, text)) => self.complain(code, text),
            None => {}
        }
    }

    /// Owns partitions from now on. The answer is for all that the group gave last, and librdkafka waits for it.
    fn take_over(&self, consumer: &BaseConsumer<Self>, mut assignments: Vec<Assignment>) {
        if !native::is_member(consumer) {
            // They are somebody else's by now. librdkafka tells of the loss when it has its answer.
            assignments.clear();
        }
        let assigned = record::starts(&assignments).and_then(|list| consumer.incremental_assign(&list));
        match assigned {
            Ok(()) if assignments.is_empty() => {}
            Ok(()) => {
                let mut state = self.state();
                let partitions = assignments.iter().map(|assignment| assignment.partition.clone());
                state.owned.extend(partitions);
                state.joined = true;
                state.events.push_back(SourceEvent::Assigned(assignments));
            }
            Err(error) => self.trouble(format!("could not take partitions over: {error}")),
        }
    }

    fn give_up(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        // A partition that is given up paused would be paused still when it comes back.
        self.resume(consumer, partitions);
        // One that was lost before it was taken over is none of librdkafka's, and with it no other could be given up.
        let mut partitions = partitions.to_vec();
        if let Ok(assigned) = consumer.assignment() {
            let assigned = record::partitions(&assigned, &self.topic);
            partitions.retain(|partition| assigned.contains(partition));
        }
        // When leaving, librdkafka may want everything unassigned at once instead.
        let given_up = consumer
            .incremental_unassign(&record::list(&partitions))
            .or_else(|_| consumer.unassign());
        if let Err(error) = given_up {
            self.trouble(format!("could not give partitions up: {error}"));
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let mut partitions = record::partitions(list, &self.topic);
        let mut state = self.state();
        if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if !partitions.is_empty() && !state.closing {
                state.incoming.get_or_insert_default().add(partitions);
                return;
            }
            // One that gets nothing yet is a member all the same, and should be told so; once, not at every rebalance.
            let is_news = !std::mem::replace(&mut state.joined, true) && !state.closing;
            drop(state);
            self.take_over(consumer, Vec::new());
            if is_news {
                self.tell(SourceEvent::Assigned(vec![]));
            }
            return;
        }
        if state
            .incoming
            .as_mut()
            .is_some_and(|incoming| !incoming.forget(&partitions))
        {
            state.incoming = None;
        }
        let lost = consumer.assignment_lost();
        let given = partitions.clone();
        // Those that were still being looked up were never told of.
        partitions.retain(|partition| state.owned.contains(partition));
        if !lost && !state.closing && !partitions.is_empty() {
            state.unreleased.extend(partitions.iter().cloned());
            state.revoked.extend(given);
            state.events.push_back(SourceEvent::Revoked { partitions, lost });
            return;
        }
        state.owned.retain(|partition| !partitions.contains(partition));
        state.revoked.clear();
        state.unreleased.clear();
        drop(state);
        self.give_up(consumer, &given);
        if !partitions.is_empty() {
            self.tell(SourceEvent::Revoked { partitions, lost: true });
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let whole = result.err();
        let mut answers: BTreeMap<Option<String>, Vec<Due>> = BTreeMap::new();
        for entry in record::entries(offsets, &self.topic) {
            let Some(committed) = entry.committed else { continue };
            let error = entry.error.or_else(|| whole.clone());
            let partition = entry.partition;
            answers
                .entry(error.map(|error| error.to_string()))
                .or_default()
                .push(Due { partition, committed });
        }
        for (error, due) in answers {
            self.tell(SourceEvent::Committed { due, error });
        }
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        forward_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let missing = matches!(
            code,
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::TopicAuthorizationFailed)
        );
        let text = if missing {
            format!(
                "topic {} does not exist, or this user may not read it; waiting for it",
                self.topic
            )
        } else {
            reason.to_owned()
        };
        self.complain(code, text);
    }
}
