//! Conversions of records and partitions between librdkafka's types and ours.

use std::sync::Arc;

use rdkafka::Message;
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Header as KafkaHeader, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use stt_core::{Commit, CommittedOffset, Delivery, Header, Partition};

use crate::native::{self, Element};

/// The topics that a client reads, so that their names are shared, not copied.
#[derive(Clone, Debug)]
pub(crate) struct TopicNames(Vec<Arc<str>>);

impl TopicNames {
    pub(crate) fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self(names.into_iter().collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter()
    }

    fn get(&self, name: &str) -> Arc<str> {
        let known = self.0.iter().find(|known| &***known == name);
        known.cloned().unwrap_or_else(|| name.into())
    }

    pub(crate) fn partition(&self, topic: &str, id: i32) -> Partition {
        let topic = self.get(topic);
        Partition { topic, id }
    }
}

/// Copies a record out of librdkafka's buffers.
pub(crate) fn delivery(message: &BorrowedMessage<'_>, topics: &TopicNames) -> Delivery {
    Delivery {
        partition: topics.partition(message.topic(), message.partition()),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: native::headers(message),
    }
}

/// Headers to be sent; `None` when there are none.
pub(crate) fn headers(headers: &[Header]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let list = OwnedHeaders::new_with_capacity(headers.len());
    Some(headers.iter().fold(list, |list, header| {
        list.insert(KafkaHeader {
            key: &header.key,
            value: header.value.as_ref(),
        })
    }))
}

/// Partitions without offsets.
pub(crate) fn list<'a>(partitions: impl IntoIterator<Item = &'a Partition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, partition.id);
    }
    list
}

/// The partitions of a list.
pub(crate) fn partitions(list: &TopicPartitionList, topics: &TopicNames) -> Vec<Partition> {
    let elements = native::elements(list);
    let partition = |element: &Element| topics.partition(&element.topic, element.partition);
    elements.iter().map(partition).collect()
}

/// Offsets to be committed, with their metadata.
pub(crate) fn commits(commits: &[Commit]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for Commit { partition, committed } in commits {
        list.add_partition_offset(&partition.topic, partition.id, Offset::Offset(committed.next_offset))?;
        if let Some(mut element) = list.find_partition(&partition.topic, partition.id) {
            element.set_metadata(&committed.metadata);
        }
    }
    Ok(list)
}

/// What the broker says of the committed offset of a partition.
pub(crate) struct Entry {
    pub(crate) partition: Partition,
    /// `None` when nothing is committed.
    pub(crate) committed: Option<CommittedOffset>,
    pub(crate) error: Option<RDKafkaErrorCode>,
}

/// What a list says of each partition.
pub(crate) fn entries(elements: Vec<Element>, topics: &TopicNames) -> Vec<Entry> {
    let entry = |element: Element| Entry {
        partition: topics.partition(&element.topic, element.partition),
        committed: (element.offset >= 0).then_some(CommittedOffset {
            next_offset: element.offset,
            metadata: element.metadata,
        }),
        error: element.error,
    };
    elements.into_iter().map(entry).collect()
}
