//! How far the group has come, and whether it ever goes back.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use stt_core::{Clock as _, SystemClock};
use stt_kafka::{Connection, SourceConfig, committed_offsets};

use crate::feed::TOPIC;
use crate::trouble::{Trouble, failed};

/// Offsets by partition, `None` where nothing is committed.
pub(crate) type Committed = BTreeMap<i32, Option<i64>>;

/// The highest offsets seen.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    highest: Committed,
    /// How often they were looked at.
    pub(crate) looks: usize,
    /// What moved back, as sentences.
    pub(crate) rewinds: Vec<String>,
}

impl Progress {
    /// Looks at what is committed now.
    pub(crate) fn look(&mut self, committed: &Committed) {
        self.looks += 1;
        for (partition, offset) in committed {
            let highest = self.highest.entry(*partition).or_default();
            if offset < highest {
                let text = |offset: &Option<i64>| offset.map_or("nothing".to_owned(), |offset| offset.to_string());
                let rewind = format!("partition {partition} went from {} to {}", text(highest), text(offset));
                self.rewinds.push(rewind);
            }
            *highest = *offset;
        }
    }

    /// How many records of `next` (the offset after the last record of each partition) are not passed yet.
    pub(crate) fn behind(&self, next: &BTreeMap<i32, i64>) -> i64 {
        let passed = |partition| self.highest.get(partition).copied().flatten().unwrap_or(0);
        next.iter()
            .map(|(partition, next)| (next - passed(partition)).max(0))
            .sum()
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Looks on a thread of its own, until nobody listens: while the broker is away, only it waits.
pub(crate) fn follow(connection: &Connection) -> Result<Receiver<Committed>, Trouble> {
    let (found, offsets) = channel();
    let connection = connection.clone();
    let look = move || while look(&connection, &found) {};
    let thread = std::thread::Builder::new().name("offsets".to_owned());
    thread.spawn(look).map_err(failed("cannot start a thread"))?;
    Ok(offsets)
}

fn look(connection: &Connection, found: &Sender<Committed>) -> bool {
    SystemClock.sleep(LOOK_EVERY);
    // Without an answer there is nothing to tell: the broker is away, or a transaction is open.
    now(connection).map_or(true, |committed| found.send(committed).is_ok())
}

/// What is committed now.
pub(crate) fn now(connection: &Connection) -> Result<Committed, Trouble> {
    committed_offsets(connection, &SourceConfig::default().group_id, TOPIC, TIMEOUT)
        .map_err(failed("cannot read the committed offsets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_is_noticed_also_to_nothing_and_standing_is_not() {
        let mut progress = Progress::default();
        for committed in [None, Some(3), Some(3), Some(7)] {
            progress.look(&Committed::from([(0, committed), (1, None)]));
        }
        assert_eq!(progress.rewinds, [""; 0]);
        assert_eq!(progress.behind(&BTreeMap::from([(0, 9), (1, 1)])), 3);
        progress.look(&Committed::from([(0, Some(6))]));
        progress.look(&Committed::from([(0, None)]));
        assert_eq!(
            progress.rewinds,
            ["partition 0 went from 7 to 6", "partition 0 went from 6 to nothing"]
        );
    }
}
