//! Records between librdkafka's form and ours.

use std::sync::Arc;

use rdkafka::Message;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Header as KafkaHeader, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use stt_core::{Assignment, Committed, Delivery, Due, Header, Partition};

use crate::native;

/// Takes a record out of librdkafka's buffers. `topic` is the one that is read: its name is shared, not copied.
pub(crate) fn delivery(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Delivery {
    Delivery {
        partition: Partition {
            topic: topic.clone(),
            id: message.partition(),
        },
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

/// The partitions of a list of one topic.
pub(crate) fn partitions(list: &TopicPartitionList, topic: &Arc<str>) -> Vec<Partition> {
    let partition = |element: &TopicPartitionListElem<'_>| Partition {
        topic: topic.clone(),
        id: element.partition(),
    };
    list.elements().iter().map(partition).collect()
}

/// What is to be committed: offsets and the notes beside them.
pub(crate) fn commits(due: &[Due]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for Due { partition, committed } in due {
        list.add_partition_offset(&partition.topic, partition.id, Offset::Offset(committed.next_offset))?;
        if let Some(mut element) = list.find_partition(&partition.topic, partition.id) {
            element.set_metadata(&committed.note);
        }
    }
    Ok(list)
}

/// Where to begin reading: behind what is committed, or, where nothing is, wherever the client is configured to.
pub(crate) fn starts(assignments: &[Assignment]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for Assignment { partition, committed } in assignments {
        let committed = committed.as_ref().map(|committed| committed.next_offset);
        let offset = committed.map_or(Offset::Invalid, Offset::Offset);
        list.add_partition_offset(&partition.topic, partition.id, offset)?;
    }
    Ok(list)
}

/// What a list says of a partition.
pub(crate) struct Entry {
    pub(crate) partition: Partition,
    /// Its offset, where it has a number, and the note beside it.
    pub(crate) committed: Option<Committed>,
    pub(crate) error: Option<KafkaError>,
}

/// What a list of one topic says of each partition.
pub(crate) fn entries(list: &TopicPartitionList, topic: &Arc<str>) -> Vec<Entry> {
    let entry = |(element, note): (&TopicPartitionListElem<'_>, String)| Entry {
        partition: Partition {
            topic: topic.clone(),
            id: element.partition(),
        },
        committed: number(element.offset()).map(|next_offset| Committed { next_offset, note }),
        error: element.error().err(),
    };
    list.elements().iter().zip(native::notes(list)).map(entry).collect()
}

/// An offset that is a number.
pub(crate) fn number(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(number) => Some(number),
        _ => None,
    }
}
