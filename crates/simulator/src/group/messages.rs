//! What processes and the coordinator of the group say to one another.

use std::collections::BTreeSet;

use stt_core::{Commit, CommittedOffset, Partition};

use super::MemberId;
use crate::world::Time;

/// What a process asks the coordinator.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Join {
        member: Option<MemberId>,
        claims: BTreeSet<Partition>,
        epoch: u64,
    },
    Heartbeat {
        member: MemberId,
        generation: u64,
        epoch: u64,
    },
    Leave {
        member: MemberId,
    },
    /// With the logs that the commits are about.
    Commit {
        member: Option<MemberId>,
        generation: u64,
        commits: Vec<Commit>,
        logs: Vec<u64>,
        sent: Time,
    },
    /// What is committed for a partition?
    Lookup {
        partition: Partition,
        epoch: u64,
    },
    /// A record is written for an outcome; see [`crate::producer`].
    Write {
        outcome: usize,
        record: usize,
    },
    /// The next step of the transaction in flight.
    Transact {
        sequence: u64,
    },
}

/// What a process gets back.
#[derive(Clone, Debug)]
pub(crate) enum Response {
    Synced {
        member: MemberId,
        generation: u64,
        assignment: BTreeSet<Partition>,
        epoch: u64,
    },
    Heartbeat {
        beat: Beat,
        epoch: u64,
    },
    Committed {
        commits: Vec<Commit>,
        error: Option<String>,
    },
    Found {
        partition: Partition,
        committed: Option<CommittedOffset>,
        epoch: u64,
    },
    Written {
        outcome: usize,
        record: usize,
    },
    Transacted {
        sequence: u64,
    },
    /// The round in which it joined is over; it joins the next one.
    JoinAgain {
        epoch: u64,
    },
    Fenced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Ok,
    Rebalancing,
    UnknownMember,
}
