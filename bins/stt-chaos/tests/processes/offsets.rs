//! What the group has committed while a story runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use stt_core::{Clock as _, CommittedOffset, SystemClock};
use stt_kafka::{Connection, SourceConfig, committed};

use crate::site::TOPIC;

/// Looks at the group's offsets on a thread of its own, from the start to the end of a story.
pub(crate) struct Observer {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    last: BTreeMap<i32, CommittedOffset>,
    looks: usize,
    /// What moved back, as sentences.
    rewinds: Vec<String>,
}

const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_WAIT: Duration = Duration::from_secs(3);

impl Observer {
    pub(crate) fn start(connection: &Connection) -> Self {
        let (seen, over) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let looking = {
            let (seen, over, connection) = (Arc::clone(&seen), Arc::clone(&over), connection.clone());
            move || {
                while !over.load(Ordering::Relaxed) {
                    look(&connection, &seen);
                    SystemClock.sleep(LOOK_EVERY);
                }
                look(&connection, &seen);
            }
        };
        Self {
            seen,
            over,
            thread: Some(std::thread::spawn(looking)),
        }
    }

    /// What was committed for a partition at the last look.
    pub(crate) fn last(&self, partition: i32) -> Option<CommittedOffset> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last.get(&partition).cloned()
    }

    /// Looks a last time. What ever moved back.
    pub(crate) fn end(&mut self) -> Vec<String> {
        self.stop();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(seen.looks > 0, "the broker never told what is committed");
        seen.rewinds.clone()
    }

    fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a look that panicked is told by its test
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Without an answer there is nothing to be seen: the broker is away, or slow.
fn look(connection: &Connection, seen: &Mutex<Seen>) {
    let Ok(now) = committed(connection, &SourceConfig::default().group_id, TOPIC, LOOK_WAIT) else {
        return;
    };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.looks += 1;
    for (partition, committed) in now {
        let before = seen.last.get(&partition).map(|last| last.next_offset);
        let after = committed.as_ref().map(|committed| committed.next_offset);
        if after < before {
            seen.rewinds
                .push(format!("partition {partition} went from {before:?} to {after:?}"));
        }
        if let Some(committed) = committed {
            seen.last.insert(partition, committed);
        }
    }
}
