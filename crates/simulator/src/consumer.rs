//! A member's side: what librdkafka does for [`stt_core::Source`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use stt_core::{Assignment, Commit, CommittedOffset, Partition, ResetCause, Source, SourceError, SourceEvent, Waker};

use crate::group::{MemberId, Request};
use crate::log::Stored;
use crate::world::{Shared, Time, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    None,
    Joining,
    Member,
}

/// A partition that is owned.
#[derive(Debug)]
pub(crate) struct Owned {
    /// The log that the position is in.
    pub log: u64,
    position: i64,
    buffer: VecDeque<(i64, Arc<Stored>)>,
    paused: bool,
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub member: Option<MemberId>,
    pub generation: u64,
    pub membership: Membership,
    /// Raised with every loss: answers from before are out of date.
    pub epoch: u64,
    /// As the group gave it last.
    pub assignment: BTreeSet<Partition>,
    pub owned: BTreeMap<Partition, Owned>,
    pub unreleased: BTreeSet<Partition>,
    /// To be looked up once what was revoked is released.
    added: BTreeSet<Partition>,
    looked_up: BTreeSet<Partition>,
    events: VecDeque<SourceEvent>,
    pub last_contact: Time,
    told_member: bool,
    pub fenced: bool,
    pub closed: bool,
    /// The partition that delivered last.
    last: Option<Partition>,
}

/// Records that a client fetches ahead, for each partition.
const FETCHED_MAX: usize = 16;

impl Consumer {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            member: None,
            generation: 0,
            membership: Membership::None,
            epoch: 0,
            assignment: BTreeSet::new(),
            owned: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            added: BTreeSet::new(),
            looked_up: BTreeSet::new(),
            events: VecDeque::new(),
            last_contact: now,
            told_member: false,
            fenced: false,
            closed: false,
            last: None,
        }
    }
}

impl World {
    /// A client finds that it is no member any more.
    pub(crate) fn lose(&mut self, id: usize) {
        self.log(|| format!("process {id} lost its membership"));
        self.end_ownership(id, None, "lost its membership");
        let now = self.now;
        let consumer = &mut self.incarnations[id].consumer;
        let partitions: Vec<Partition> = consumer.owned.keys().cloned().collect();
        consumer.owned.clear();
        consumer.unreleased.clear();
        consumer.added.clear();
        consumer.looked_up.clear();
        consumer.assignment.clear();
        consumer.epoch += 1;
        consumer.member = None;
        consumer.membership = Membership::None;
        consumer.told_member = false;
        consumer.last_contact = now;
        consumer
            .events
            .push_back(SourceEvent::Revoked { partitions, lost: true });
        self.wake(id, now);
        if !self.incarnations[id].consumer.fenced && !self.is_blocked(id) {
            self.rejoin(id);
        }
    }

    pub(crate) fn synced(
        &mut self,
        id: usize,
        member: MemberId,
        generation: u64,
        assignment: BTreeSet<Partition>,
        epoch: u64,
    ) {
        let now = self.now;
        let consumer = &mut self.incarnations[id].consumer;
        if epoch != consumer.epoch || consumer.membership != Membership::Joining {
            return;
        }
        consumer.member = Some(member);
        consumer.generation = generation;
        consumer.membership = Membership::Member;
        consumer.last_contact = now;
        let revoked: Vec<Partition> = consumer
            .owned
            .keys()
            .filter(|owned| !assignment.contains(owned))
            .cloned()
            .collect();
        consumer.looked_up.retain(|partition| assignment.contains(partition));
        let is_new = |partition: &&Partition| {
            !consumer.owned.contains_key(*partition) && !consumer.looked_up.contains(*partition)
        };
        let added: BTreeSet<Partition> = assignment.iter().filter(is_new).cloned().collect();
        // One that is taken back while it is looked up is given up at once.
        let gave_up = consumer
            .assignment
            .iter()
            .any(|partition| !assignment.contains(partition));
        consumer.assignment = assignment;
        if revoked.is_empty() {
            if added.is_empty() && !consumer.told_member {
                consumer.events.push_back(SourceEvent::Assigned(vec![]));
            }
            consumer.told_member = true;
            self.look_up(id, added);
            if gave_up {
                self.rejoin(id);
            }
        } else {
            consumer.unreleased.extend(revoked.iter().cloned());
            consumer.added = added;
            let deadline = now + crate::run::LEAVE_WAIT_MS * crate::world::MS;
            self.oracle.revoked(id, &revoked, deadline);
            self.log(|| format!("process {id} is to give up {revoked:?}"));
            let partitions = revoked;
            let consumer = &mut self.incarnations[id].consumer;
            consumer.events.push_back(SourceEvent::Revoked {
                partitions,
                lost: false,
            });
        }
        self.oracle.sure(id);
        self.wake(id, now);
    }

    fn look_up(&mut self, id: usize, partitions: BTreeSet<Partition>) {
        let epoch = self.incarnations[id].consumer.epoch;
        for partition in partitions {
            self.incarnations[id].consumer.looked_up.insert(partition.clone());
            self.request(id, Request::Lookup { partition, epoch });
        }
    }

    pub(crate) fn found(&mut self, id: usize, partition: Partition, committed: Option<CommittedOffset>, epoch: u64) {
        let Some(log) = self.logs.by_partition.get(&partition) else {
            return;
        };
        let (log_id, start, end, cut, truncated) = (log.id, log.start, log.end(), log.cut, log.truncated);
        let stored_log = self.group.offsets.get(&partition).map(|stored| stored.log);
        let consumer = &mut self.incarnations[id].consumer;
        if epoch != consumer.epoch || !consumer.looked_up.remove(&partition) {
            return;
        }
        let mut position = committed.as_ref().map_or(start, |committed| committed.next_offset);
        let assignment = Assignment {
            partition: partition.clone(),
            committed,
        };
        let mut events = vec![SourceEvent::Assigned(vec![assignment])];
        let of_another_log = stored_log.is_some_and(|stored| stored != log_id);
        let is_former = stored_log.is_some_and(|stored| log.former.contains(&stored));
        let of_old_log = is_former && truncated && position > cut;
        // A topic that was created again has nothing by which a client could tell.
        let mistakes = of_another_log && !of_old_log && position <= end;
        if position > end || of_old_log {
            position = start;
            self.oracle.log_reset(id, &partition);
            let cause = ResetCause::NewLog;
            events.push(SourceEvent::LogReset {
                partition: partition.clone(),
                cause,
            });
            self.oracle
                .reread(log, "the log is another one than that of the committed offset");
        } else if position < start {
            let skipped = (start - position) as u64;
            position = start;
            let cause = ResetCause::Retention { skipped };
            events.push(SourceEvent::LogReset {
                partition: partition.clone(),
                cause,
            });
        }
        let owned = Owned {
            log: log_id,
            position,
            buffer: VecDeque::new(),
            paused: false,
        };
        consumer.owned.insert(partition.clone(), owned);
        consumer.events.extend(events);
        self.oracle.assigned(id, &partition);
        if mistakes {
            self.mistake(&partition);
        }
        self.log(|| format!("process {id} owns {partition} from offset {position}"));
        self.wake(id, self.now);
    }

    pub(crate) fn commit_answered(&mut self, id: usize, commits: Vec<Commit>, error: Option<String>) {
        if let Some(error) = &error {
            let error = error.clone();
            self.log(|| format!("commit of process {id} refused: {error}"));
        }
        let event = SourceEvent::CommitAnswered { commits, error };
        self.incarnations[id].consumer.events.push_back(event);
        self.wake(id, self.now);
    }

    /// What a poll of a process returns.
    fn poll_source(&mut self, id: usize) -> Result<SourceEvent, SourceError> {
        self.incarnations[id].polled = true;
        if let Some(event) = self.incarnations[id].consumer.events.pop_front() {
            if matches!(event, SourceEvent::Revoked { lost: true, .. }) {
                self.oracle.told_lost(id);
            }
            if let SourceEvent::CommitAnswered { error, .. } = &event {
                self.oracle.commit_answered(id, self.now, error.is_none());
            }
            return Ok(event);
        }
        if self.incarnations[id].consumer.fenced {
            let message = "FENCED_INSTANCE_ID".to_owned();
            return Err(SourceError { message });
        }
        if let Some(event) = self.fetch(id) {
            return Ok(event);
        }
        self.incarnations[id].polled = false;
        Ok(SourceEvent::Idle)
    }

    fn fetch(&mut self, id: usize) -> Option<SourceEvent> {
        let consumer = &self.incarnations[id].consumer;
        let after = |partition: &&Partition| consumer.last.as_ref().is_none_or(|last| *partition > last);
        let mut order: Vec<Partition> = consumer.owned.keys().filter(after).cloned().collect();
        order.extend(consumer.owned.keys().filter(|partition| !after(partition)).cloned());
        for partition in order {
            if let Some(event) = self.fetch_from(id, &partition) {
                self.incarnations[id].consumer.last = Some(partition);
                return Some(event);
            }
        }
        None
    }

    fn fetch_from(&mut self, id: usize, partition: &Partition) -> Option<SourceEvent> {
        let online = !self.is_blocked(id) && self.has_leader(partition);
        let log = self.logs.by_partition.get(partition)?;
        let (log_id, start, cut) = (log.id, log.start, log.cut);
        let consumer = &mut self.incarnations[id].consumer;
        let revoked = consumer.unreleased.contains(partition);
        let owned = consumer
            .owned
            .get_mut(partition)
            .filter(|owned| !owned.paused && !revoked)?;
        if owned.buffer.is_empty() {
            if !online {
                return None;
            }
            if owned.log != log_id {
                let begins_anew = owned.position > cut;
                owned.log = log_id;
                if begins_anew {
                    owned.position = start;
                    let cause = ResetCause::NewLog;
                    self.oracle
                        .reread(log, "the log is another one than that which was read");
                    self.oracle.log_reset(id, partition);
                    self.log(|| format!("process {id} reads {partition} from the beginning of a new log"));
                    return Some(SourceEvent::LogReset {
                        partition: partition.clone(),
                        cause,
                    });
                }
            }
            if owned.position < start {
                let skipped = (start - owned.position) as u64;
                owned.position = start;
                let cause = ResetCause::Retention { skipped };
                return Some(SourceEvent::LogReset {
                    partition: partition.clone(),
                    cause,
                });
            }
            let mut next = owned.position;
            let mut fetched = VecDeque::new();
            while fetched.len() < FETCHED_MAX
                && let Some((offset, stored)) = self.read(partition, next)
            {
                next = offset + 1;
                fetched.push_back((offset, stored));
            }
            self.incarnations[id].consumer.owned.get_mut(partition)?.buffer = fetched;
        }
        let owned = self.incarnations[id].consumer.owned.get_mut(partition)?;
        let (offset, stored) = owned.buffer.pop_front()?;
        owned.position = offset + 1;
        let delivery = Self::delivery(partition, offset, &stored);
        self.oracle.delivered(id, stored.record);
        Some(SourceEvent::Delivered(delivery))
    }

    fn commit(&mut self, id: usize, commits: &[Commit]) {
        self.oracle.commit_sent(id, self.now);
        let consumer = &self.incarnations[id].consumer;
        let owned = commits
            .iter()
            .filter(|commit| consumer.owned.contains_key(&commit.partition));
        let commits: Vec<Commit> = owned.cloned().collect();
        if commits.is_empty() {
            return;
        }
        let logs = commits
            .iter()
            .map(|commit| consumer.owned[&commit.partition].log)
            .collect();
        let (member, generation) = (consumer.member, consumer.generation);
        self.request(
            id,
            Request::Commit {
                member,
                generation,
                commits,
                logs,
                sent: self.now,
            },
        );
    }

    fn set_paused(&mut self, id: usize, partitions: &[Partition], paused: bool) {
        let stray = self.rng.u32(..8) == 0;
        for partition in partitions {
            if let Some(owned) = self.incarnations[id].consumer.owned.get_mut(partition) {
                owned.paused = paused;
                if !stray {
                    owned.buffer.clear();
                }
            }
        }
        self.wake(id, self.now);
    }

    fn release(&mut self, id: usize, partitions: &[Partition]) {
        for partition in partitions {
            if self.incarnations[id].consumer.unreleased.remove(partition) {
                self.oracle
                    .released(id, self.now, partition, self.group.offsets.get(partition));
                self.end_ownership(id, Some(partition), "gave it up before it was committed");
                self.incarnations[id].consumer.owned.remove(partition);
                self.log(|| format!("process {id} gave up {partition}"));
            }
        }
        let consumer = &mut self.incarnations[id].consumer;
        let is_over = consumer.unreleased.is_empty() && !partitions.is_empty();
        if is_over && consumer.membership == Membership::Member {
            let added = std::mem::take(&mut consumer.added);
            self.look_up(id, added);
            self.rejoin(id);
        }
    }

    /// Leaves the group, unless the member is static.
    pub(crate) fn leave(&mut self, id: usize) {
        let consumer = &mut self.incarnations[id].consumer;
        consumer.closed = true;
        let member = consumer.member;
        if let Some(member) = member.filter(|_| !self.setup.static_members) {
            self.request(id, Request::Leave { member });
        }
    }

    /// What a process owned may be somebody else's from now on: outcomes that it published and that are not committed may be
    /// published again.
    pub(crate) fn end_ownership(&mut self, id: usize, only: Option<&Partition>, how: &'static str) {
        let alive = self.incarnations[id].alive;
        self.oracle.ownership_ended(id, only, how, alive, &self.group.offsets);
    }
}

/// A [`Source`] over a process's consumer.
#[derive(Debug)]
pub(crate) struct SimSource {
    pub world: Shared,
    pub id: usize,
}

impl Source for SimSource {
    fn waker(&self) -> Waker {
        Arc::new(|| {})
    }

    fn poll(&mut self, _wait: Duration) -> Result<SourceEvent, SourceError> {
        self.world.lock().poll_source(self.id)
    }

    fn commit(&mut self, commits: &[Commit]) {
        self.world.lock().commit(self.id, commits);
    }

    fn pause(&mut self, partitions: &[Partition]) {
        self.world.lock().set_paused(self.id, partitions, true);
    }

    fn resume(&mut self, partitions: &[Partition]) {
        self.world.lock().set_paused(self.id, partitions, false);
    }

    fn release(&mut self, partitions: &[Partition]) {
        self.world.lock().release(self.id, partitions);
    }

    fn close(&mut self, _wait: Duration) {
        self.world.lock().leave(self.id);
    }
}
