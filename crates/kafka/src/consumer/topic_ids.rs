//! Recognises topics that were deleted and created again.

use std::collections::HashMap;
use std::sync::Arc;

use stt_core::Partition;

use crate::record::TopicNames;

/// The ids of the topics that are read, as librdkafka learns them. A topic that is deleted and created again gets another id.
///
/// librdkafka 2.12 fetches by topic id, so it cannot miss the change; but then it goes on at the old position (see the FIXME
/// in its `rd_kafka_topic_metadata_update`), and when the new log is longer than that, the records before it would be skipped
/// in silence. There is no callback, and no call that returns the id without a request to the controller. What there is, is a
/// line in the debug log, written before the first fetch by the new id: so it is read here. `tests/apache/log_reset.rs`
/// notices when a new version of librdkafka words it differently.
#[derive(Debug, Default)]
pub(super) struct TopicIds {
    current: HashMap<Arc<str>, String>,
    /// For each partition, the id of its topic when this was asked last.
    of_logs: HashMap<Partition, String>,
}

/// What librdkafka must log for this.
pub(super) const DEBUG_CONTEXT: &str = "metadata";

/// The topic and the new id, when a log line says that the id has changed.
pub(super) fn parse(text: &str) -> Option<(&str, &str)> {
    let (before, ids) = text.split_once(" changed id from ")?;
    let (_, topic) = before.rsplit_once("Topic ")?;
    let (_, id) = ids.split_once(" to ")?;
    Some((topic, id))
}

impl TopicIds {
    pub(super) fn changed(&mut self, topics: &TopicNames, topic: &str, id: &str) {
        if let Some(topic) = topics.iter().find(|known| ***known == *topic) {
            self.current.insert(topic.clone(), id.to_owned());
        }
    }

    /// Whether the partition's log is another one than when this was asked last, as far as is known. From now on it is the
    /// known one.
    pub(super) fn is_new_log(&mut self, partition: &Partition) -> bool {
        let Some(current) = self.current.get(&partition.topic) else {
            return false;
        };
        match self.of_logs.get_mut(partition) {
            Some(known) if known == current => false,
            Some(known) => {
                known.clone_from(current);
                true
            }
            None => {
                self.of_logs.insert(partition.clone(), current.clone());
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_id_is_a_new_log_once() {
        let line = |id: &str| format!("[thrd:main]: Topic stt.jobs changed id from TSrqWkNEQDW7VbZzlQOrIw to {id}");
        let topics = TopicNames::new(["stt.jobs".into()]);
        let partition = topics.partition("stt.jobs", 0);
        let mut ids = TopicIds::default();
        assert!(!ids.is_new_log(&partition), "nothing is known");
        for (id, is_new) in [("a", false), ("b", true), ("b", false)] {
            let line = line(id);
            let (topic, id) = parse(&line).unwrap();
            ids.changed(&topics, topic, id);
            assert_eq!(ids.is_new_log(&partition), is_new, "{id}");
        }
        assert_eq!(parse("[thrd:main]: Topic stt.jobs [0] Leader 1 Epoch 0"), None);
    }
}
