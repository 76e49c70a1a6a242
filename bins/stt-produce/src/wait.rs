//! Shows the results of jobs as they come.

use std::io;
use std::time::Instant;

use stt_consume::{Exit, Failure, Format, Kind, Message, Show, follow, note, trouble};
use stt_kafka::Tail;

use crate::TOOL;
use crate::job::Outgoing;
use crate::pending::Pending;

/// Waits until each job has its result, or until the deadline.
pub(crate) fn wait(results: &mut Tail, jobs: &[Outgoing], deadline: Instant, format: Format) -> Result<Exit, Failure> {
    let mut pending = Pending::of(jobs);
    let mut show = Show::new(format, Kind::Results);
    if pending.len() > 0 {
        follow(results, Some(deadline), |tailed| {
            let message = Message::of(Kind::Results, tailed);
            let Some(label) = pending.take(&message) else {
                return Ok(false);
            };
            if let Err(why) = &message.report {
                note(TOOL, why);
            }
            show.write(&mut io::stdout().lock(), &message, label.as_deref())?;
            Ok(pending.len() == 0)
        })?;
    }
    let exit = pending.exit();
    if exit == Exit::TimedOut {
        let (missing, trouble) = (pending.len(), trouble(results));
        note(
            TOOL,
            &format!("the time is over, results still to come: {missing}{trouble}"),
        );
    }
    Ok(exit)
}
