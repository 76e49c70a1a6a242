//! The few calls of librdkafka that have no safe wrapper, or whose wrapper panics on data that others control.

#![allow(unsafe_code)]

mod admin;

use std::ffi::{CStr, CString, c_char, c_void};
use std::{ptr, slice};

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, TopicPartitionList, bindings};
use stt_core::Header;

pub(crate) use self::admin::{AdminError, AdminQueue, AdminResult};

/// The headers of a record, in order. rdkafka's own iterator panics on a name that is not UTF-8, which any producer may
/// send; here such a name keeps what can be decoded of it.
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut headers = Vec::new();
    let mut list = ptr::null_mut();
    // SAFETY: `message.ptr()` is valid while `message` is borrowed. The list that is returned belongs to the message.
    let found = unsafe { bindings::rd_kafka_message_headers(message.ptr(), &mut list) };
    if found != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return headers;
    }
    loop {
        let mut name: *const c_char = ptr::null();
        let mut value: *const c_void = ptr::null();
        let mut size = 0;
        // SAFETY: `list` belongs to the message and is not changed meanwhile; past the last header the call returns an
        // error and sets nothing.
        let got = unsafe { bindings::rd_kafka_header_get_all(list, headers.len(), &mut name, &mut value, &mut size) };
        if got != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return headers;
        }
        // SAFETY: on success `name` is a zero-terminated string, and `value` is null or points to `size` bytes; both
        // live as long as the message.
        let (name, value) = unsafe {
            let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), size));
            (CStr::from_ptr(name), value)
        };
        headers.push(Header {
            key: name.to_string_lossy().into_owned(),
            value: value.map(<[u8]>::to_vec),
        });
    }
}

/// Commits offsets without waiting. The answer comes to the consumer's own queue, and from there, while polling, to
/// `ConsumerContext::commit_callback`. (rdkafka's own asynchronous commit gets no answer: librdkafka sends it to a callback
/// in the configuration, which rdkafka does not set.)
pub(crate) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    let client = consumer.client().native_ptr();
    // SAFETY: the client's handle is valid while `consumer` is borrowed. The list is copied. The queue is a reference of
    // its own, given back at once; the commit keeps what it needs of it. There is no callback, so its argument is unused.
    let code = unsafe {
        let queue = bindings::rd_kafka_queue_get_consumer(client);
        if queue.is_null() {
            // Without a queue for the answer the call would wait for it.
            return Err(RDKafkaErrorCode::UnknownGroup);
        }
        let code = bindings::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut());
        bindings::rd_kafka_queue_destroy(queue);
        code
    };
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code),
    }
}

/// Whether the consumer's queue holds something that a poll would serve.
pub(crate) fn has_queued<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    // SAFETY: the client's handle is valid while `consumer` is borrowed. The queue is a reference of its own, given back at
    // once.
    unsafe {
        let queue = bindings::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        if queue.is_null() {
            return false;
        }
        let length = bindings::rd_kafka_queue_length(queue);
        bindings::rd_kafka_queue_destroy(queue);
        length > 0
    }
}

/// The first offset of a partition's log, as the last fetch of it returned it; no request is made.
pub(crate) fn cached_log_start<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client's handle is valid while `consumer` is borrowed, and so are the string and the two numbers for the
    // time of the call.
    let code = unsafe {
        bindings::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (RDKafkaErrorCode::from(code) == RDKafkaErrorCode::NoError && low >= 0).then_some(low)
}

/// One element of a list of partitions.
pub(crate) struct Element {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Negative values are librdkafka's logical offsets.
    pub(crate) offset: i64,
    /// The metadata beside the offset. rdkafka's own reader panics on bytes that are not UTF-8, which any program may have
    /// committed; here such a text keeps what can be decoded of it.
    pub(crate) metadata: String,
    pub(crate) error: Option<RDKafkaErrorCode>,
}

/// The elements of a list, in order.
pub(crate) fn elements(list: &TopicPartitionList) -> Vec<Element> {
    // SAFETY: the list is valid while it is borrowed.
    unsafe { elements_of(list.ptr()) }
}

/// # Safety
/// `list` points to a valid list that nothing changes during the call.
unsafe fn elements_of(list: *const bindings::rd_kafka_topic_partition_list_t) -> Vec<Element> {
    // SAFETY: the caller vouches for `list`; `elems` points to `cnt` elements.
    let elements = unsafe {
        let list = &*list;
        let count = usize::try_from(list.cnt).unwrap_or(0);
        if count == 0 {
            return Vec::new();
        }
        slice::from_raw_parts(list.elems, count)
    };
    let copy = |element: &bindings::rd_kafka_topic_partition_s| {
        // SAFETY: `topic` is a zero-terminated string; `metadata`, when there is one, points to `metadata_size` bytes. Both
        // belong to the list.
        let (topic, metadata) = unsafe {
            let metadata = (!element.metadata.is_null())
                .then(|| slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size));
            (CStr::from_ptr(element.topic), metadata.unwrap_or_default())
        };
        let error = RDKafkaErrorCode::from(element.err);
        Element {
            topic: topic.to_string_lossy().into_owned(),
            partition: element.partition,
            offset: element.offset,
            metadata: String::from_utf8_lossy(metadata).into_owned(),
            error: (error != RDKafkaErrorCode::NoError).then_some(error),
        }
    };
    elements.iter().map(copy).collect()
}

/// Whether a consumer is a member of its group as far as the client knows. After a session timeout, or when the broker does
/// not know the member any more, it is none until it has joined again.
pub(crate) fn is_member<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    let client = consumer.client().native_ptr();
    // SAFETY: the client's handle is valid while `consumer` is borrowed. The text, null when there is none, must be freed by
    // the caller.
    unsafe {
        let id = bindings::rd_kafka_memberid(client);
        if id.is_null() {
            return false;
        }
        let is_member = !CStr::from_ptr(id).is_empty();
        bindings::rd_kafka_mem_free(client, id.cast());
        is_member
    }
}

/// Sets how long the mock brokers of `client` wait for more members before a new group gets its first assignment. Does
/// nothing to a client without mock brokers.
pub(crate) fn set_initial_rebalance_delay<C: ClientContext>(client: &Client<C>, delay_ms: i32) {
    // SAFETY: the client's handle is valid while `client` is borrowed. The cluster belongs to the client and lives as
    // long; both calls take its lock or hand over to its thread.
    unsafe {
        let cluster = bindings::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, delay_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connection, EmbeddedBroker, KafkaSource, SourceConfig, Start, Tail, TailConfig};
    use rdkafka::ClientConfig;
    use rdkafka::bindings::rd_kafka_vtype_t as Type;
    use rdkafka::consumer::CommitMode;
    use rdkafka::producer::{BaseProducer, Producer};
    use rdkafka::topic_partition_list::Offset;
    use std::time::{Duration, Instant};
    use stt_core::{Commit, CommittedOffset, Partition, Source, SourceEvent};

    /// No Rust producer can send such a name; others can, and one such record must not stop the worker.
    #[test]
    fn reads_headers_whose_names_are_not_utf8() {
        let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap_servers())
            .create()
            .unwrap();
        // SAFETY: each type is followed by the arguments that librdkafka's documentation asks for; strings end in zero
        // and are copied, and the list ends with END.
        let code = unsafe {
            bindings::rd_kafka_producev(
                producer.client().native_ptr(),
                Type::RD_KAFKA_VTYPE_TOPIC as i32,
                c"stt.jobs".as_ptr(),
                Type::RD_KAFKA_VTYPE_HEADER as i32,
                c"a\xffb".as_ptr(),
                c"value".as_ptr(),
                5_isize,
                Type::RD_KAFKA_VTYPE_END as i32,
            )
        };
        assert_eq!(RDKafkaErrorCode::from(code), RDKafkaErrorCode::NoError);
        producer.flush(Duration::from_secs(10)).unwrap();
        let config = TailConfig {
            start: Start::Beginning,
            ..TailConfig::new("stt.jobs")
        };
        let mut tail = Tail::open(&Connection::new(broker.bootstrap_servers()), &config).unwrap();
        let record = tail.next(Duration::from_secs(10)).unwrap().unwrap();
        let header = Header {
            key: "a\u{fffd}b".to_owned(),
            value: Some(b"value".to_vec()),
        };
        assert_eq!(record.delivery.headers, [header]);
    }

    /// Any program may commit for the group; the metadata that it wrote must not stop the worker.
    #[test]
    fn reads_commit_metadata_that_is_not_utf8() {
        let broker = EmbeddedBroker::start(&[("stt.jobs", 1)]).unwrap();
        let connection = Connection::new(broker.bootstrap_servers());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("stt.jobs", 0, Offset::Offset(7)).unwrap();
        list.find_partition("stt.jobs", 0).unwrap().set_metadata("a?b\0c");
        // SAFETY: the list has one element, and its metadata is the five bytes above.
        unsafe { *(*(*list.ptr()).elems).metadata.cast::<u8>().add(1) = 0xff };
        let metadata = "a\u{fffd}b\0c";
        assert_eq!(elements(&list)[0].metadata, metadata);
        let foreign: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap_servers())
            .set("group.id", SourceConfig::default().group_id)
            .create()
            .unwrap();
        foreign.commit(&list, CommitMode::Sync).unwrap();

        let mut source = KafkaSource::new(&connection, SourceConfig::default()).unwrap();
        let committed = CommittedOffset {
            next_offset: 7,
            metadata: metadata.to_owned(),
        };
        let assigned = next(&mut source);
        assert!(
            matches!(&assigned, SourceEvent::Assigned(all) if all[0].committed == Some(committed.clone())),
            "{assigned:?}"
        );
        let partition = Partition {
            topic: "stt.jobs".into(),
            id: 0,
        };
        let commit = Commit { partition, committed };
        source.commit(std::slice::from_ref(&commit));
        let answer = next(&mut source);
        assert!(
            matches!(&answer, SourceEvent::CommitAnswered { commits, error: None } if *commits == [commit]),
            "{answer:?}"
        );
    }

    fn next(source: &mut KafkaSource) -> SourceEvent {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            match source.poll(Duration::from_millis(50)).unwrap() {
                SourceEvent::Idle => {}
                SourceEvent::Assigned(assignments) if assignments.is_empty() => {}
                event => return event,
            }
        }
        SourceEvent::Idle
    }
}
