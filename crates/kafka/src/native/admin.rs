//! Asynchronous requests about a group, by librdkafka's Admin API.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use rdkafka::client::Client;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, TopicPartitionList, bindings};

use super::{Element, elements_of};

/// Where the answers to requests arrive. Must be dropped before the client that it was made with.
pub(crate) struct AdminQueue {
    queue: *mut bindings::rd_kafka_queue_t,
    /// Called by librdkafka's threads whenever an answer has arrived; kept here as long as they may do so.
    _on_answer: Box<OnAnswer>,
}

type OnAnswer = Arc<dyn Fn() + Send + Sync>;

// SAFETY: a queue of librdkafka may be used by any thread, and what is called on an answer is `Send` and `Sync`.
unsafe impl Send for AdminQueue {}

/// Why a request has no answer.
pub(crate) type AdminError = (RDKafkaErrorCode, String);

/// The answer to a request: the number that it was made with, and what the group has committed, partition by partition. Each
/// may have an error of its own.
pub(crate) type AdminResult = (usize, Result<Vec<Element>, AdminError>);

/// The longest that librdkafka takes: an hour.
const TIMEOUT_MS_MAX: c_int = 3_600_000;

impl AdminQueue {
    /// `on_answer` is called on threads of librdkafka, with a lock of the queue held; it must not block.
    pub(crate) fn new<C: ClientContext>(client: &Client<C>, on_answer: OnAnswer) -> Self {
        unsafe extern "C" fn call(_: *mut bindings::rd_kafka_t, on_answer: *mut c_void) {
            // SAFETY: it is the pointer that was given below, which `AdminQueue` keeps valid until callbacks are disabled.
            let on_answer = unsafe { &*on_answer.cast::<OnAnswer>() };
            on_answer();
        }
        let mut on_answer = Box::new(on_answer);
        // SAFETY: the client's handle is valid while it is borrowed; the pointer is valid until `drop` has disabled the
        // callback.
        let queue = unsafe {
            let queue = bindings::rd_kafka_queue_new(client.native_ptr());
            let argument = ptr::from_mut(&mut *on_answer).cast();
            bindings::rd_kafka_queue_cb_event_enable(queue, Some(call), argument);
            queue
        };
        Self {
            queue,
            _on_answer: on_answer,
        }
    }

    /// Asks what a group has committed for partitions. Unlike `rd_kafka_committed`, the answer has an error for each
    /// partition: one for which a transaction is open does not keep back the others. The client should be dropped when there
    /// is no answer in time: the request itself waits for an hour.
    pub(crate) fn request_committed<C: ClientContext>(
        &self,
        client: &Client<C>,
        request: usize,
        group_id: &CStr,
        partitions: &TopicPartitionList,
    ) {
        let client = client.native_ptr();
        let operation = bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        // SAFETY: the client's handle is valid while it is borrowed. Everything made here is copied by the request
        // and destroyed after it.
        unsafe {
            let options = options(client, operation, request);
            let error = bindings::rd_kafka_AdminOptions_set_require_stable_offsets(options, 1);
            if !error.is_null() {
                bindings::rd_kafka_error_destroy(error);
            }
            let mut list = bindings::rd_kafka_ListConsumerGroupOffsets_new(group_id.as_ptr(), partitions.ptr());
            bindings::rd_kafka_ListConsumerGroupOffsets(client, &mut list, 1, options, self.queue);
            bindings::rd_kafka_ListConsumerGroupOffsets_destroy(list);
            bindings::rd_kafka_AdminOptions_destroy(options);
        }
    }

    /// The next answer, if one has arrived.
    pub(crate) fn next(&self) -> Option<AdminResult> {
        // SAFETY: the queue is valid until `drop`. The event is valid until it is destroyed, and what is read of it is copied
        // before.
        unsafe {
            loop {
                let event = bindings::rd_kafka_queue_poll(self.queue, 0);
                if event.is_null() {
                    return None;
                }
                let request = bindings::rd_kafka_event_opaque(event) as usize;
                let is_answer =
                    bindings::rd_kafka_event_type(event) == bindings::RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT;
                let result = is_answer.then(|| (request, committed(event)));
                bindings::rd_kafka_event_destroy(event);
                if result.is_some() {
                    return result;
                }
            }
        }
    }
}

impl Drop for AdminQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is valid, and not used again. Disabling the callback takes the lock under which it is called, so
        // no call of it is under way after that. Answers that come later are dropped by librdkafka.
        unsafe {
            bindings::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            bindings::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// # Safety
/// `client` is a valid handle. The caller destroys the options.
unsafe fn options(
    client: *mut bindings::rd_kafka_t,
    operation: bindings::rd_kafka_admin_op_t,
    request: usize,
) -> *mut bindings::rd_kafka_AdminOptions_t {
    // SAFETY: the caller vouches for `client`. Without room for it, the text of an error is left out.
    unsafe {
        let options = bindings::rd_kafka_AdminOptions_new(client, operation);
        bindings::rd_kafka_AdminOptions_set_request_timeout(options, TIMEOUT_MS_MAX, ptr::null_mut(), 0);
        bindings::rd_kafka_AdminOptions_set_opaque(options, request as *mut c_void);
        options
    }
}

/// # Safety
/// `event` is a valid event.
unsafe fn error(event: *mut bindings::rd_kafka_event_t) -> Result<(), AdminError> {
    // SAFETY: the caller vouches for `event`; its text, when there is one, is a zero-terminated string that belongs to it.
    unsafe {
        let code = RDKafkaErrorCode::from(bindings::rd_kafka_event_error(event));
        if code == RDKafkaErrorCode::NoError {
            return Ok(());
        }
        let text = bindings::rd_kafka_event_error_string(event);
        let text = match text.is_null() {
            true => code.to_string(),
            false => CStr::from_ptr(text).to_string_lossy().into_owned(),
        };
        Err((code, text))
    }
}

/// # Safety
/// `event` is a valid event with the result of `ListConsumerGroupOffsets`.
unsafe fn committed(event: *mut bindings::rd_kafka_event_t) -> Result<Vec<Element>, AdminError> {
    // SAFETY: the caller vouches for `event`, to which everything read here belongs.
    unsafe {
        error(event)?;
        let result = bindings::rd_kafka_event_ListConsumerGroupOffsets_result(event);
        let mut count = 0;
        let groups = bindings::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
        if groups.is_null() || count == 0 {
            return Ok(Vec::new());
        }
        let group = *groups;
        let error = bindings::rd_kafka_group_result_error(group);
        if !error.is_null() {
            let code = RDKafkaErrorCode::from(bindings::rd_kafka_error_code(error));
            return Err((code, code.to_string()));
        }
        let partitions = bindings::rd_kafka_group_result_partitions(group);
        Ok(match partitions.is_null() {
            true => Vec::new(),
            false => elements_of(partitions),
        })
    }
}
