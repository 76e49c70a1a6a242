//! What is in the topics.

use std::time::Duration;

use stt_kafka::{Connection, Start, Tail, TailConfig, Tailed};

use crate::feed::TOPIC;
use crate::tally::{Tally, Topic};
use crate::trouble::{Trouble, failed};

/// Reads all three topics from their beginning, only what is committed.
pub(crate) struct Watch {
    tails: Vec<(Topic, Tail)>,
}

/// Longest wait for a topic to be opened.
const OPEN_WAIT: Duration = Duration::from_secs(60);
/// Longest wait for the next record before its end, when all is read to the end.
const READ_WAIT: Duration = Duration::from_secs(30);
/// Records of one topic read in a row.
const BATCH: usize = 500;

impl Watch {
    pub(crate) fn open(connection: &Connection) -> Result<Self, Trouble> {
        let open = |(topic, name)| {
            let config = TailConfig {
                start: Start::Beginning,
                timeout: OPEN_WAIT,
                ..TailConfig::new(name)
            };
            let tail = Tail::open(connection, &config).map_err(failed(format_args!("cannot read {name}")))?;
            Ok((topic, tail))
        };
        let topics = [
            (Topic::Jobs, TOPIC),
            (Topic::Results, "stt.results"),
            (Topic::DeadLetters, "stt.jobs.dlq"),
        ];
        let tails = topics.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { tails })
    }

    /// Takes what has come. Whether anything has.
    pub(crate) fn take(&mut self, tally: &mut Tally) -> Result<bool, Trouble> {
        let mut came = false;
        for (topic, tail) in &mut self.tails {
            for _ in 0..BATCH {
                let Some(record) = next(tail, Duration::ZERO)? else {
                    break;
                };
                tally.record(*topic, &record.delivery);
                came = true;
            }
        }
        Ok(came)
    }

    /// Takes everything that was there when the topics were opened.
    pub(crate) fn take_all(mut self, tally: &mut Tally) -> Result<(), Trouble> {
        for (topic, tail) in &mut self.tails {
            while !tail.at_end() {
                match next(tail, READ_WAIT)? {
                    Some(record) => tally.record(*topic, &record.delivery),
                    None if tail.at_end() => {}
                    None => return Err(Trouble::new("the topics cannot be read to their end")),
                }
            }
        }
        Ok(())
    }
}

fn next(tail: &mut Tail, wait: Duration) -> Result<Option<Tailed>, Trouble> {
    tail.next(wait).map_err(failed("cannot read"))
}
