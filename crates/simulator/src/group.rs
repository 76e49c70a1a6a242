//! The consumer group: its coordinator at the broker, and the membership protocol of its members (classic protocol, cooperative
//! rebalances).
//!
//! What matters to the workers is as in Kafka: a rebalance completes when every member has rejoined, or its time is over;
//! commits are taken while it is prepared, refused while assignments are handed out, and refused with an old generation; a
//! silent member is removed after its session; a static member that comes back takes its place.

mod membership;
mod messages;
mod offsets;

use std::collections::{BTreeMap, BTreeSet};

use stt_core::Partition;

use crate::world::{Event, MS, SECOND, Time, World};

pub(crate) use messages::{Beat, Request, Response};
pub(crate) use offsets::StoredOffset;

pub(crate) type MemberId = u64;

#[derive(Debug)]
pub(crate) struct Member {
    pub process: usize,
    worker: usize,
    deadline: Time,
    joined: bool,
    epoch: u64,
    claims: BTreeSet<Partition>,
    pub assigned: BTreeSet<Partition>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Stable,
    Preparing {
        since: Time,
    },
    Completing,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub members: BTreeMap<MemberId, Member>,
    next_member: MemberId,
    pub generation: u64,
    pub phase: Phase,
    pub offsets: BTreeMap<Partition, StoredOffset>,
}

/// A member that does not rejoin for so long is left out of a rebalance.
const REBALANCE_TIMEOUT: Time = 60 * SECOND;
/// How long the first members wait for others.
const INITIAL_DELAY: Time = 300 * MS;

impl World {
    pub(crate) fn session(&self) -> Time {
        self.setup.session * MS
    }

    pub(crate) fn request(&mut self, id: usize, request: Request) {
        let at = self.now + self.latency();
        self.push(at, Event::Request(id, request));
    }

    pub(crate) fn respond(&mut self, id: usize, response: Response) {
        let at = self.now + self.latency();
        self.push(at, Event::Response(id, response));
    }

    pub(crate) fn arrive(&mut self, id: usize, request: Request) {
        let (alive, blocked) = (self.incarnations[id].alive, self.blocked_until(id));
        if blocked > self.now {
            // It waits in the client, or is sent again when the connection is there again.
            if alive {
                let at = blocked + self.latency();
                self.push(at, Event::Request(id, request));
            }
            return;
        }
        if !alive && !matches!(request, Request::Leave { .. }) && self.rng.bool() {
            return; // it had not left the machine
        }
        match request {
            Request::Join { member, claims, epoch } => {
                let is_known =
                    |member: &MemberId| self.group.members.get(member).is_some_and(|known| known.process == id);
                if member.is_some_and(|member| !is_known(&member)) {
                    let beat = Beat::UnknownMember;
                    return self.respond(id, Response::Heartbeat { beat, epoch });
                }
                self.join(id, member, claims, epoch);
            }
            Request::Heartbeat {
                member,
                generation,
                epoch,
            } => {
                let known = self.group.members.get_mut(&member).filter(|known| known.process == id);
                let beat = match known {
                    Some(known) => {
                        known.deadline = self.now + self.setup.session * MS;
                        match self.group.phase {
                            Phase::Stable if generation == self.group.generation => Beat::Ok,
                            Phase::Stable => Beat::UnknownMember,
                            _ => Beat::Rebalancing,
                        }
                    }
                    None => Beat::UnknownMember,
                };
                self.respond(id, Response::Heartbeat { beat, epoch });
            }
            Request::Leave { member } => self.remove_member(member, "leaves"),
            Request::Commit {
                member,
                generation,
                commits,
                logs,
                sent,
            } => {
                let error = self.check_membership(id, member, generation);
                let refused = self.faults.refuse_commits_until > self.now;
                let error = error.or_else(|| refused.then(|| "NOT_COORDINATOR".to_owned()));
                if error.is_none() {
                    for (commit, log) in commits.iter().zip(logs) {
                        self.store_offset(id, commit, log, sent);
                    }
                }
                let lost = self.faults.lose_answers_until > self.now;
                let error = error.or_else(|| lost.then(|| "REQUEST_TIMED_OUT".to_owned()));
                self.respond(id, Response::Committed { commits, error });
            }
            Request::Lookup { partition, epoch } => {
                if self.transactions.commits_pending(&partition) {
                    // UNSTABLE_OFFSET_COMMIT: the client asks again.
                    return self.push(
                        self.now + 100 * MS,
                        Event::Request(id, Request::Lookup { partition, epoch }),
                    );
                }
                let committed = self
                    .group
                    .offsets
                    .get(&partition)
                    .map(|stored| stored.committed.clone());
                self.respond(
                    id,
                    Response::Found {
                        partition,
                        committed,
                        epoch,
                    },
                );
            }
            Request::Write { outcome, record } => self.write(id, outcome, record),
            Request::Transact { sequence } => self.transact(id, sequence),
        }
    }

    /// Why a commit of this member is refused, if it is.
    pub(crate) fn check_membership(&self, id: usize, member: Option<MemberId>, generation: u64) -> Option<String> {
        let known = member
            .and_then(|member| self.group.members.get(&member))
            .filter(|known| known.process == id);
        let text = if known.is_none() {
            "UNKNOWN_MEMBER_ID"
        } else if generation != self.group.generation {
            "ILLEGAL_GENERATION"
        } else if self.group.phase == Phase::Completing {
            "REBALANCE_IN_PROGRESS"
        } else {
            return None;
        };
        Some(text.to_owned())
    }

    fn join(&mut self, id: usize, member: Option<MemberId>, claims: BTreeSet<Partition>, epoch: u64) {
        let worker = self.incarnations[id].worker;
        let member = member.or_else(|| {
            let mut members = self.group.members.iter();
            members
                .find(|(_, known)| known.process == id)
                .map(|(member, _)| *member)
        });
        let known = member.filter(|member| self.group.members.get(member).is_some_and(|known| known.process == id));
        let namesake = self.setup.static_members.then(|| {
            let mut members = self.group.members.iter();
            members
                .find(|(_, member)| member.worker == worker && member.process != id)
                .map(|(id, _)| *id)
        });
        let deadline = self.now + self.session();
        if let Some(old) = namesake.flatten() {
            // A static member that comes back takes the place of its former self, without a rebalance.
            let mut place = self.group.members.remove(&old).expect("found just now");
            let former = place.process;
            self.end_ownership(former, None, "fenced by its namesake");
            self.respond(former, Response::Fenced);
            self.group.next_member += 1;
            let member = self.group.next_member;
            (place.process, place.deadline, place.epoch) = (id, deadline, epoch);
            let (generation, assignment) = (self.group.generation, place.assigned.clone());
            let stable = self.group.phase == Phase::Stable;
            (place.joined, place.claims) = (!stable, claims);
            self.group.members.insert(member, place);
            self.push(deadline, Event::SessionCheck(member));
            let assigned: usize = self.group.members.values().map(|member| member.assigned.len()).sum();
            if stable {
                self.respond(
                    id,
                    Response::Synced {
                        member,
                        generation,
                        assignment,
                        epoch,
                    },
                );
                if assigned < self.logs.by_partition.len() {
                    // What its former self gave up last was given to nobody yet.
                    self.start_rebalance("partitions are free");
                }
                return;
            }
            return self.check_rebalance();
        }
        let member = known.unwrap_or_else(|| {
            self.group.next_member += 1;
            self.group.next_member
        });
        let entry = self.group.members.entry(member).or_insert_with(|| Member {
            process: id,
            worker,
            deadline,
            joined: false,
            epoch,
            claims: BTreeSet::new(),
            assigned: BTreeSet::new(),
        });
        (entry.joined, entry.claims, entry.deadline, entry.epoch) = (true, claims, deadline, epoch);
        self.push(deadline, Event::SessionCheck(member));
        self.abandon_round();
        self.start_rebalance("a member joins");
        if let Some(entry) = self.group.members.get_mut(&member) {
            entry.joined = true;
        }
        self.check_rebalance();
    }

    fn abandon_round(&mut self) {
        if self.group.phase != Phase::Completing {
            return;
        }
        self.group.phase = Phase::Stable;
        let members: Vec<(usize, u64)> = self
            .group
            .members
            .values()
            .filter(|member| member.joined)
            .map(|member| (member.process, member.epoch))
            .collect();
        for (process, epoch) in members {
            self.respond(process, Response::JoinAgain { epoch });
        }
    }

    pub(crate) fn start_rebalance(&mut self, why: &str) {
        if matches!(self.group.phase, Phase::Preparing { .. }) || self.group.members.is_empty() {
            return;
        }
        self.abandon_round();
        self.log(|| format!("group: rebalance, {why}"));
        self.group.phase = Phase::Preparing { since: self.now };
        for member in self.group.members.values_mut() {
            member.joined = false;
        }
        self.push(self.now + INITIAL_DELAY, Event::RebalanceCheck);
        self.push(self.now + REBALANCE_TIMEOUT, Event::RebalanceCheck);
    }

    pub(crate) fn check_rebalance(&mut self) {
        let Phase::Preparing { since } = self.group.phase else {
            return;
        };
        if self.now < since + INITIAL_DELAY {
            return;
        }
        if self.now >= since + REBALANCE_TIMEOUT {
            let late = self.group.members.iter().filter(|(_, member)| !member.joined);
            for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
                self.forget_member(id, "did not rejoin in time");
            }
        }
        if self.group.members.is_empty() {
            self.group.phase = Phase::Stable;
            return;
        }
        if self.group.members.values().all(|member| member.joined) {
            self.group.generation += 1;
            self.group.phase = Phase::Completing;
            let wait = if self.rng.u32(..20) == 0 {
                self.rng.u64(300 * MS..3 * SECOND)
            } else {
                self.rng.u64(2 * MS..30 * MS)
            };
            let generation = self.group.generation;
            self.push(self.now + wait, Event::SyncDone(generation));
        }
    }

    pub(crate) fn sync_done(&mut self, generation: u64) {
        if self.group.phase != Phase::Completing || generation != self.group.generation {
            return;
        }
        self.group.phase = Phase::Stable;
        self.assign();
        let deadline = self.now + self.session();
        let mut responses = vec![];
        for (member, state) in &mut self.group.members {
            state.deadline = deadline;
            state.joined = false;
            let (member, assignment, epoch) = (*member, state.assigned.clone(), state.epoch);
            responses.push((
                state.process,
                member,
                Response::Synced {
                    member,
                    generation,
                    assignment,
                    epoch,
                },
            ));
        }
        for (process, member, response) in responses {
            self.push(deadline, Event::SessionCheck(member));
            self.respond(process, response);
        }
    }

    /// Cooperative and sticky: members keep what they own up to their share; what they must give up is given to others in the
    /// next round only.
    fn assign(&mut self) {
        let partitions: Vec<Partition> = self.logs.by_partition.keys().cloned().collect();
        let members = self.group.members.len();
        let (share, mut extra) = (partitions.len() / members, partitions.len() % members);
        let mut claimed = BTreeSet::new();
        for member in self.group.members.values_mut() {
            member.assigned = member
                .claims
                .iter()
                .filter(|claim| claimed.insert((*claim).clone()))
                .cloned()
                .collect();
        }
        let mut by_claims: Vec<MemberId> = self.group.members.keys().copied().collect();
        by_claims.sort_by_key(|id| std::cmp::Reverse(self.group.members[id].assigned.len()));
        let mut quotas = BTreeMap::new();
        for id in by_claims {
            let quota = share + usize::from(extra > 0);
            extra = extra.saturating_sub(1);
            quotas.insert(id, quota);
            if let Some(member) = self.group.members.get_mut(&id) {
                while member.assigned.len() > quota {
                    let place = self.rng.usize(..member.assigned.len()); // withheld in this round
                    let withheld = member.assigned.iter().nth(place).cloned();
                    withheld
                        .iter()
                        .for_each(|partition| drop(member.assigned.take(partition)));
                }
            }
        }
        let mut free: Vec<Partition> = partitions
            .into_iter()
            .filter(|partition| !claimed.contains(partition))
            .collect();
        for (id, quota) in quotas {
            if let Some(member) = self.group.members.get_mut(&id) {
                while member.assigned.len() < quota
                    && let Some(partition) = free.pop()
                {
                    member.assigned.insert(partition);
                }
            }
        }
        let text: Vec<String> = self
            .group
            .members
            .iter()
            .map(|(id, member)| {
                let assigned: Vec<String> = member.assigned.iter().map(ToString::to_string).collect();
                format!("member {id} (process {}): {}", member.process, assigned.join(" "))
            })
            .collect();
        let generation = self.group.generation;
        self.log(|| format!("group: generation {generation}: {}", text.join("; ")));
    }

    pub(crate) fn check_session(&mut self, member: MemberId) {
        let Some(known) = self.group.members.get(&member) else {
            return;
        };
        let waits_for_rebalance = known.joined && self.group.phase != Phase::Stable;
        if known.deadline > self.now || waits_for_rebalance {
            let at = known.deadline.max(self.now + SECOND);
            return self.push(at, Event::SessionCheck(member));
        }
        self.remove_member(member, "was silent for longer than its session");
    }

    fn remove_member(&mut self, member: MemberId, why: &'static str) {
        if self.group.members.contains_key(&member) {
            self.forget_member(member, why);
            self.abandon_round();
            self.start_rebalance(why);
            self.check_rebalance();
        }
    }

    fn forget_member(&mut self, member: MemberId, why: &'static str) {
        if let Some(known) = self.group.members.remove(&member) {
            self.log(|| format!("group: member {member} (process {}) {why}", known.process));
            self.end_ownership(known.process, None, why);
        }
    }
}
