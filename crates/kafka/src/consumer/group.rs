//! The group membership: librdkafka's callbacks, turned into events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use stt_core::{Assignment, Commit, Partition, ResetCause, SourceEvent};

use super::buffer::Buffer;
use super::offset_lookup::OffsetLookup;
use super::topic_ids::{self, TopicIds};
use super::wakeup::Wakeup;
use crate::context::forward_log;
use crate::native;
use crate::native::AdminResult;
use crate::record::{self, TopicNames};

/// Errors of the same kind are reported this often: librdkafka reports every attempt to connect.
const ERROR_INTERVAL: Duration = Duration::from_secs(10);

/// After a loss, a client that has had a member id for this long is a member again, even if no rebalance said so.
const REJOIN_WAIT: Duration = Duration::from_secs(10);

/// What is known of the membership. The callbacks run inside a poll, on the thread that polls, and so does everything else
/// here.
pub(super) struct Group {
    topics: TopicNames,
    state: Mutex<State>,
    /// Topics with their new ids. Written by threads of librdkafka, so under a lock of its own: the polling thread may wait
    /// for them while it holds the other one.
    changed_ids: Mutex<Vec<(String, String)>>,
    wakeup: Arc<Wakeup>,
}

pub(super) struct State {
    /// Events and records that wait to be returned by a poll.
    pub(super) buffer: Buffer,
    /// Partitions that the group assigned, and for which it is not known yet what is committed.
    pub(super) lookup: OffsetLookup,
    topic_ids: TopicIds,
    /// Partitions that were reported as assigned and are neither lost nor released.
    owned: BTreeMap<Partition, Owned>,
    /// The last commit sent for each partition.
    sent: HashMap<Partition, i64>,
    /// The partitions of a revocation that waits for its release. There is one at a time: librdkafka begins the next
    /// only when this one is answered, and it takes one answer for all of its partitions.
    revoked: Vec<Partition>,
    /// Which of them are not released yet.
    unreleased: BTreeSet<Partition>,
    /// When an error of each code was reported last.
    reported: HashMap<Option<i32>, Instant>,
    closing: bool,
    /// Whether this consumer was reported as a member, and not as lost since.
    member: bool,
    /// Since when a client that was reported as lost has had a member id.
    rejoining_since: Option<Instant>,
}

/// A partition that this member owns.
#[derive(Debug, Default)]
struct Owned {
    /// The offset that the next record has at least; unknown where reading begins with the log.
    position: Option<i64>,
    /// Whether a record was delivered since it was assigned.
    delivered: bool,
}

impl Group {
    pub(super) fn new(topics: TopicNames, wakeup: Arc<Wakeup>) -> Self {
        Self {
            topics,
            state: Mutex::new(State {
                buffer: Buffer::default(),
                lookup: OffsetLookup::default(),
                topic_ids: TopicIds::default(),
                owned: BTreeMap::new(),
                sent: HashMap::new(),
                revoked: vec![],
                unreleased: BTreeSet::new(),
                reported: HashMap::new(),
                closing: false,
                member: false,
                rejoining_since: None,
            }),
            changed_ids: Mutex::default(),
            wakeup,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topics(&self) -> &TopicNames {
        &self.topics
    }

    /// The next event or record, if there is one.
    pub(super) fn next_event(&self, consumer: &BaseConsumer<Self>) -> Option<SourceEvent> {
        let mut state = self.state();
        let event = state.buffer.next();
        let refill = state.buffer.take_resumable();
        drop(state);
        self.resume_fetching(consumer, &refill);
        event
    }

    pub(super) fn report(&self, event: SourceEvent) {
        self.state().buffer.push_event(event);
    }

    fn broker_error(&self, text: String) {
        self.report(SourceEvent::BrokerError(text));
    }

    /// An error that persists, reported now and then.
    fn broker_error_of(&self, code: Option<RDKafkaErrorCode>, text: String) {
        let now = Instant::now();
        let mut state = self.state();
        let last = state.reported.entry(code.map(|code| code as i32)).or_insert(now);
        if *last == now || now.duration_since(*last) >= ERROR_INTERVAL {
            *last = now;
            state.buffer.push_event(SourceEvent::BrokerError(text));
        }
    }

    pub(super) fn owns(&self, partition: &Partition) -> bool {
        self.state().owned.contains_key(partition)
    }

    /// Remembers commits that are about to be sent.
    pub(super) fn committing(&self, commits: &[Commit]) {
        let sent = commits
            .iter()
            .map(|commit| (commit.partition.clone(), commit.committed.next_offset));
        self.state().sent.extend(sent);
    }

    /// A record was fetched. Those of partitions that are not owned any more, or are about to be given up, are for the next
    /// owner.
    pub(super) fn delivered(&self, consumer: &BaseConsumer<Self>, delivery: stt_core::Delivery) {
        if self.check_topic_ids(consumer).contains(&delivery.partition) {
            return; // of the old log, or read again from the beginning of the new one
        }
        let mut state = self.state();
        let State {
            owned,
            buffer,
            unreleased,
            ..
        } = &mut *state;
        let partition = &delivery.partition;
        let Some(owned) = owned.get_mut(partition) else { return };
        if unreleased.contains(partition) {
            return;
        }
        let cause = owned.position.and_then(|position| {
            if delivery.offset < position {
                return Some(ResetCause::NewLog);
            }
            // Offsets are also missing where there are transaction markers, or in compacted topics.
            let log_start = (delivery.offset > position)
                .then(|| native::cached_log_start(consumer, &partition.topic, partition.id))
                .flatten()?;
            let skipped = log_start.min(delivery.offset).checked_sub(position)?;
            let skipped = u64::try_from(skipped).ok().filter(|skipped| *skipped > 0)?;
            Some(ResetCause::Retention { skipped })
        });
        if let Some(cause) = cause {
            if cause == ResetCause::NewLog {
                buffer.forget_records(partition);
            }
            let partition = partition.clone();
            buffer.push_event(SourceEvent::LogReset { partition, cause });
        }
        owned.position = Some(delivery.offset + 1);
        owned.delivered = true;
        let full = buffer.push_record(delivery);
        drop(state);
        if let Some(full) = full {
            self.stop_fetching(consumer, &full);
        }
    }

    /// Stops delivery. Fetching goes on into the buffer, until that is full: librdkafka throws away what it has fetched when
    /// a partition is paused, and fetches it again when that is resumed.
    pub(super) fn pause(&self, partitions: &[Partition]) {
        let mut state = self.state();
        let State { buffer, owned, .. } = &mut *state;
        let owned = partitions.iter().filter(|partition| owned.contains_key(partition));
        owned.for_each(|partition| buffer.pause(partition));
    }

    pub(super) fn resume(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        let mut state = self.state();
        partitions.iter().for_each(|partition| state.buffer.resume(partition));
        let refill = state.buffer.take_resumable();
        drop(state);
        self.resume_fetching(consumer, &refill);
    }

    fn stop_fetching(&self, consumer: &BaseConsumer<Self>, partition: &Partition) {
        if let Err(error) = consumer.pause(&record::list([partition])) {
            self.broker_error(format!("cannot pause {partition}: {error}"));
        }
    }

    fn resume_fetching(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = consumer.resume(&record::list(partitions)) {
            self.broker_error(format!("cannot resume partitions: {error}"));
        }
    }

    /// Gives up revoked partitions; the broker is told when the last of them is released.
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
            state.lookup.clear();
            state.unreleased.iter().cloned().collect()
        };
        self.release(consumer, &unreleased);
    }

    /// The answer to a request for committed offsets.
    pub(super) fn committed_answered(&self, consumer: &BaseConsumer<Self>, (request, result): AdminResult) {
        let result = result.map(|elements| record::entries(elements, &self.topics));
        let answer = self.state().lookup.answered(Instant::now(), request, result);
        if !answer.found.is_empty() {
            self.take_over(consumer, answer.found);
        }
        if let Some((code, text)) = answer.error {
            let text = format!("committed offsets of new partitions are not known yet, asking again: {text}");
            self.broker_error_of(Some(code), text);
        }
    }

    /// Restarts partitions whose topic was deleted and created again. Gives those that are read from the beginning.
    pub(super) fn check_topic_ids(&self, consumer: &BaseConsumer<Self>) -> Vec<Partition> {
        let changed = {
            let mut changed = self.changed_ids.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *changed)
        };
        if changed.is_empty() {
            return Vec::new();
        }
        let mut restarted = Vec::new();
        let mut state = self.state();
        let State {
            owned,
            topic_ids,
            buffer,
            sent,
            ..
        } = &mut *state;
        for (topic, id) in changed {
            topic_ids.changed(&self.topics, &topic, &id);
        }
        for (partition, owned) in owned {
            if !topic_ids.is_new_log(partition) {
                continue;
            }
            buffer.forget_records(partition);
            let cause = ResetCause::NewLog;
            buffer.push_event(SourceEvent::LogReset {
                partition: partition.clone(),
                cause,
            });
            // A position that another member committed for the new log is good.
            if owned.delivered || owned.position.is_none() || sent.get(partition).copied() == owned.position {
                *owned = Owned::default();
                restarted.push(partition.clone());
            }
        }
        drop(state);
        for partition in &restarted {
            // Not `Offset::Beginning`: librdkafka may answer that from its cache, with the start of the old log.
            let sought = consumer.seek(&partition.topic, partition.id, Offset::Offset(0), Duration::ZERO);
            if let Err(error) = sought {
                self.broker_error(format!("cannot read {partition} from its beginning: {error}"));
            }
        }
        restarted
    }

    /// Owns partitions from now on.
    fn take_over(&self, consumer: &BaseConsumer<Self>, assignments: Vec<Assignment>) {
        if !native::is_member(consumer) {
            return; // others own them by now; librdkafka is about to report the loss
        }
        let mut state = self.state();
        let mut list = TopicPartitionList::new();
        let (mut added, mut new_logs) = (Ok(()), Vec::new());
        for Assignment { partition, committed } in &assignments {
            let is_new_log = state.topic_ids.is_new_log(partition);
            let sent = state.sent.get(partition);
            // What this process committed for the log before is about other records. (The brokers forget commits when a topic
            // is deleted; one that was made after that is kept.)
            let is_stale = |offset: &i64| is_new_log && sent == Some(offset);
            let position = committed.as_ref().map(|committed| committed.next_offset);
            let position = position.filter(|offset| !is_stale(offset));
            if is_new_log {
                new_logs.push(partition.clone());
            }
            let start = match position {
                Some(offset) => Offset::Offset(offset),
                None if is_new_log => Offset::Offset(0), // see `check_topic_ids`
                None => Offset::Beginning,
            };
            added = added.and_then(|()| list.add_partition_offset(&partition.topic, partition.id, start));
            let owned = Owned {
                position,
                delivered: false,
            };
            state.owned.insert(partition.clone(), owned);
        }
        drop(state);
        let assigned = added.and_then(|()| consumer.incremental_assign(&list));
        let mut state = self.state();
        match assigned {
            Ok(()) => {
                state.joined();
                state.buffer.push_event(SourceEvent::Assigned(assignments));
                for partition in new_logs {
                    let cause = ResetCause::NewLog;
                    state.buffer.push_event(SourceEvent::LogReset { partition, cause });
                }
            }
            Err(error) => {
                for assignment in &assignments {
                    state.owned.remove(&assignment.partition);
                }
                let text = format!("cannot take over assigned partitions: {error}");
                state.buffer.push_event(SourceEvent::BrokerError(text));
            }
        }
    }

    fn give_up(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        let mut state = self.state();
        // A partition that is given up while paused in librdkafka would still be paused when it comes back.
        let stopped: Vec<Partition> = partitions
            .iter()
            .filter(|one| state.buffer.remove(one))
            .cloned()
            .collect();
        drop(state);
        self.resume_fetching(consumer, &stopped);
        // Partitions that were lost before they were taken over are unknown to librdkafka's assignment, and with one of
        // them in the list no other could be given up.
        let mut partitions = partitions.to_vec();
        if let Ok(assigned) = consumer.assignment() {
            let assigned = record::partitions(&assigned, &self.topics);
            partitions.retain(|partition| assigned.contains(partition));
        }
        // When leaving, librdkafka may want everything unassigned at once instead.
        let given_up = consumer
            .incremental_unassign(&record::list(&partitions))
            .or_else(|_| consumer.unassign());
        if let Err(error) = given_up {
            self.broker_error(format!("cannot give up partitions: {error}"));
        }
    }

    /// Compares what was reported with what the client knows now and then: librdkafka has no callback for a membership that
    /// is lost while no partition is assigned, or while a revocation waits for its release.
    pub(super) fn check_membership(&self, consumer: &BaseConsumer<Self>) {
        let is_member = native::is_member(consumer);
        let now = Instant::now();
        let mut state = self.state();
        if state.closing {
            return;
        }
        if is_member {
            let is_back = |since: Instant| !state.member && now.duration_since(since) >= REJOIN_WAIT;
            if state.rejoining_since.is_some_and(is_back) {
                state.report_member();
            }
            return;
        }
        if let Some(since) = &mut state.rejoining_since {
            *since = now;
        }
        let reported_by_callback = !state.lookup.is_empty()
            || state
                .owned
                .keys()
                .any(|partition| !state.unreleased.contains(partition));
        if !state.member || reported_by_callback {
            return;
        }
        let revoked = std::mem::take(&mut state.revoked);
        state.lost(now);
        drop(state);
        if !revoked.is_empty() {
            self.give_up(consumer, &revoked);
        }
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: Vec<Partition>) {
        let mut state = self.state();
        if !state.closing {
            state.lookup.add(Instant::now(), partitions);
            if !state.member {
                state.report_member();
            }
        }
        drop(state);
        // The rebalance is answered at once. Each partition is added when its lookup is finished.
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            self.broker_error(format!("cannot answer an assignment: {error}"));
        }
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, given: Vec<Partition>) {
        let lost = consumer.assignment_lost() || !native::is_member(consumer);
        let mut state = self.state();
        state.lookup.remove(&given);
        let is_owned = |partition: &&Partition| state.owned.contains_key(partition);
        let owned: Vec<Partition> = given.iter().filter(is_owned).cloned().collect();
        if !lost && !state.closing && !owned.is_empty() {
            for partition in &owned {
                state.buffer.forget_records(partition);
            }
            state.unreleased.extend(owned.iter().cloned());
            state.revoked.extend(given);
            let partitions = owned;
            state.buffer.push_event(SourceEvent::Revoked { partitions, lost });
            return;
        }
        if lost && !state.closing {
            let lost: Vec<Partition> = owned;
            state.lost_partitions(lost, Instant::now());
        } else {
            state.owned.retain(|partition, _| !given.contains(partition));
        }
        state.revoked.clear();
        state.unreleased.clear();
        drop(state);
        self.give_up(consumer, &given);
    }
}

impl State {
    fn joined(&mut self) {
        self.member = true;
        self.rejoining_since = None;
    }

    fn report_member(&mut self) {
        self.joined();
        self.buffer.push_event(SourceEvent::Assigned(vec![]));
    }

    /// The membership is lost, and with it all partitions.
    fn lost(&mut self, now: Instant) {
        let all = self.owned.keys().cloned().collect();
        self.unreleased.clear();
        self.lost_partitions(all, now);
    }

    fn lost_partitions(&mut self, partitions: Vec<Partition>, now: Instant) {
        for partition in &partitions {
            self.owned.remove(partition);
            self.buffer.forget_records(partition);
        }
        if self.member || !partitions.is_empty() {
            let lost = true;
            self.buffer.push_event(SourceEvent::Revoked { partitions, lost });
        }
        self.member = false;
        self.rejoining_since = Some(now);
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = record::partitions(list, &self.topics);
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, partitions),
            _ => self.revoked(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let error_of_all = result.err().map(|error| error.to_string());
        let mut answers: BTreeMap<Option<String>, Vec<Commit>> = BTreeMap::new();
        for entry in record::entries(native::elements(offsets), &self.topics) {
            let Some(committed) = entry.committed else { continue };
            let error = entry
                .error
                .map(|code| code.to_string())
                .or_else(|| error_of_all.clone());
            let partition = entry.partition;
            answers.entry(error).or_default().push(Commit { partition, committed });
        }
        for (error, commits) in answers {
            self.report(SourceEvent::CommitAnswered { commits, error });
        }
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if let Some((topic, id)) = topic_ids::parse(text) {
            let mut changed = self.changed_ids.lock().unwrap_or_else(PoisonError::into_inner);
            changed.push((topic.to_owned(), id.to_owned()));
            drop(changed);
            self.wakeup.queued();
        }
        forward_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let is_missing = matches!(
            code,
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::TopicAuthorizationFailed)
        );
        let text = if is_missing {
            let names: Vec<&str> = self.topics.iter().map(Arc::as_ref).collect();
            let named = names.iter().find(|name| reason.contains(*name)).copied();
            let topic = named.unwrap_or(names[0]);
            format!("topic {topic} does not exist or this user may not read it; waiting for it")
        } else {
            reason.to_owned()
        };
        self.broker_error_of(code, text);
    }
}
