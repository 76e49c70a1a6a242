//! Records between librdkafka's form and ours.

use std::sync::Arc;

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header as KafkaHeader, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use stt_core::{Delivery, Header, Partition};

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

/// An offset that is a number.
pub(crate) fn number(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(number) => Some(number),
        _ => None,
    }
}
