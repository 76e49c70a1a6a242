//! Which records of held outcomes the brokers have already.

use std::collections::VecDeque;

use stt_core::{Partition, Ticket};

/// Outcomes of which a part was acknowledged and a part refused. Without it, every new try of an outcome whose dead
/// letter finds no topic would write its result once more.
#[derive(Default)]
pub(super) struct Acked {
    /// Oldest first; each with the fingerprints of its acknowledged records.
    held: VecDeque<(Partition, i64, Vec<u64>)>,
}

/// Outcomes remembered. Only jobs that are being held need to be, and a worker holds a few; older ones were given up.
const HELD_MAX: usize = 1024;

impl Acked {
    /// Forgets an outcome, and tells what was acknowledged of it.
    pub(super) fn take(&mut self, ticket: &Ticket) -> Vec<u64> {
        let same = |held: &(Partition, i64, _)| held.0 == *ticket.partition() && held.1 == ticket.offset();
        let place = self.held.iter().position(same);
        place
            .and_then(|place| self.held.remove(place))
            .map(|held| held.2)
            .unwrap_or_default()
    }

    /// Remembers an outcome.
    pub(super) fn keep(&mut self, ticket: &Ticket, fingerprints: Vec<u64>) {
        if self.held.len() == HELD_MAX {
            self.held.pop_front();
        }
        self.held
            .push_back((ticket.partition().clone(), ticket.offset(), fingerprints));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stt_core::Ledger;

    #[test]
    fn an_outcome_is_remembered_until_taken_and_the_oldest_goes_when_there_are_too_many() {
        let partition = Partition {
            topic: "stt.jobs".into(),
            id: 0,
        };
        let mut ledger = Ledger::default();
        ledger.assign(partition.clone().into());
        let tickets: Vec<_> = (0..=HELD_MAX as i64)
            .map(|offset| ledger.admit(&partition, offset).ticket().unwrap())
            .collect();
        let mut acked = Acked::default();
        for ticket in &tickets {
            acked.keep(ticket, vec![ticket.offset() as u64]);
        }
        assert_eq!(acked.take(&tickets[0]), [0_u64; 0], "the oldest is forgotten");
        assert_eq!(acked.take(&tickets[1]), [1]);
        assert_eq!(acked.take(&tickets[1]), [0_u64; 0], "taken already");
        assert_eq!(acked.take(&tickets[HELD_MAX]), [HELD_MAX as u64]);
    }
}
