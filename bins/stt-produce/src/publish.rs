//! Sends jobs and tells their ids.

use std::io::{self, ErrorKind, Write as _};

use stt_consume::{Failure, note};
use stt_kafka::JobProducer;

use crate::TOOL;
use crate::job::Outgoing;

/// Sends the jobs one after the other. When their results are waited for, stdout is left to those.
pub(crate) fn publish(producer: &JobProducer, topic: &str, jobs: &[Outgoing], wait: bool) -> Result<(), Failure> {
    for (sent, job) in jobs.iter().enumerate() {
        if let Err(error) = producer.produce(topic, job.key.as_bytes(), &job.payload, &[]) {
            note(TOOL, &format!("{sent} of {} jobs were published", jobs.len()));
            return Err(error.into());
        }
        if wait {
            let name = job.label.as_ref().map(|label| format!(": {label}")).unwrap_or_default();
            note(TOOL, &format!("published {}{name}", job.key));
        } else {
            print(&job.key)?;
        }
    }
    Ok(())
}

/// Prints a line. That nobody reads it is no reason to leave the rest of the jobs unpublished.
pub(crate) fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
