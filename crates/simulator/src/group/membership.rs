//! The membership protocol, as a member follows it.

use super::{Beat, Request, Response};
use crate::consumer::Membership;
use crate::world::{Event, MS, SECOND, World};

impl World {
    /// The heartbeat of a process, as long as it lives.
    pub(crate) fn heartbeat(&mut self, id: usize) {
        let incarnation = &self.incarnations[id];
        if !incarnation.alive || incarnation.consumer.closed {
            return;
        }
        if incarnation.paused_until > self.now {
            let at = incarnation.paused_until + self.rng.u64(MS..SECOND);
            return self.push(at, Event::Heartbeat(id));
        }
        let interval = self.session() / 4;
        self.push(self.now + interval, Event::Heartbeat(id));
        let session = self.session();
        let blocked = self.is_blocked(id);
        let consumer = &mut self.incarnations[id].consumer;
        let (epoch, generation) = (consumer.epoch, consumer.generation);
        match consumer.membership {
            Membership::Joining if blocked && self.now > consumer.last_contact + session => self.lose(id),
            Membership::Joining => {}
            Membership::None => {
                if !blocked {
                    self.rejoin(id);
                }
            }
            Membership::Member => {
                if self.now > consumer.last_contact + session {
                    self.lose(id);
                } else if !blocked && let Some(member) = consumer.member {
                    self.request(
                        id,
                        Request::Heartbeat {
                            member,
                            generation,
                            epoch,
                        },
                    );
                }
            }
        }
    }

    pub(crate) fn rejoin(&mut self, id: usize) {
        let consumer = &mut self.incarnations[id].consumer;
        consumer.membership = Membership::Joining;
        let request = Request::Join {
            member: consumer.member,
            claims: consumer.assignment.clone(),
            epoch: consumer.epoch,
        };
        self.request(id, request);
    }

    pub(crate) fn answer_arrives(&mut self, id: usize, response: Response) {
        let incarnation = &self.incarnations[id];
        if !incarnation.alive {
            return;
        }
        if incarnation.paused_until > self.now {
            let at = incarnation.paused_until + 2 * MS;
            return self.push(at, Event::Response(id, response));
        }
        let blocked = self.blocked_until(id);
        if blocked > self.now {
            match response {
                Response::Heartbeat { .. } => {}
                Response::Synced { epoch, .. } => {
                    // The answer is lost with its connection; the member joins again.
                    let consumer = &mut self.incarnations[id].consumer;
                    if epoch == consumer.epoch && consumer.membership == Membership::Joining {
                        consumer.membership = if consumer.member.is_some() {
                            Membership::Member
                        } else {
                            Membership::None
                        };
                    }
                }
                other => {
                    let at = blocked + self.latency();
                    self.push(at, Event::Response(id, other));
                }
            }
            return;
        }
        match response {
            Response::Synced {
                member,
                generation,
                assignment,
                epoch,
            } => self.synced(id, member, generation, assignment, epoch),
            Response::Heartbeat { beat, epoch } => {
                let now = self.now;
                let consumer = &mut self.incarnations[id].consumer;
                if epoch != consumer.epoch || consumer.membership == Membership::None {
                    return;
                }
                match beat {
                    Beat::Ok => {
                        consumer.last_contact = now;
                        self.oracle.sure(id);
                    }
                    Beat::Rebalancing => {
                        consumer.last_contact = now;
                        let can_join = consumer.unreleased.is_empty() && consumer.membership == Membership::Member;
                        self.oracle.sure(id);
                        if can_join {
                            self.rejoin(id);
                        }
                    }
                    Beat::UnknownMember => self.lose(id),
                }
            }
            Response::Committed { commits, error } => self.commit_answered(id, commits, error),
            Response::Found {
                partition,
                committed,
                epoch,
            } => self.found(id, partition, committed, epoch),
            Response::Written { outcome, record } => self.written(id, outcome, record),
            Response::Transacted { sequence } => self.transacted(id, sequence),
            Response::JoinAgain { epoch } => {
                let consumer = &self.incarnations[id].consumer;
                if epoch == consumer.epoch && consumer.membership == Membership::Joining {
                    self.rejoin(id);
                }
            }
            Response::Fenced => {
                self.incarnations[id].consumer.fenced = true;
                self.lose(id);
                self.wake(id, self.now);
            }
        }
    }
}
