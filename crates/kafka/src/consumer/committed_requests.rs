//! Asks the group's coordinator what is committed.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use stt_core::Partition;

use crate::close::close_with_timeout;
use crate::context::LastError;
use crate::native::{AdminError, AdminQueue, AdminResult};
use crate::record;

/// How long a request may be without an answer before it is made again, by a new client.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// A client that was told to ask another coordinator is replaced when it is older than this: while a coordinator moves, new
/// clients are told so, too.
const MOVING_WAIT: Duration = Duration::from_secs(2);

/// Makes requests for committed offsets by a client of their own, which is there while something is looked up.
///
/// Two faults of librdkafka 2.12's Admin API make the consumer's own client unfit for it.
///
/// * It remembers a group's coordinator (`rd_kafka_coord_cache`) until it has not been asked for `metadata.max.age.ms`, 15
///   minutes, and looks for another one neither when the broker answers `NOT_COORDINATOR` nor when it does not answer: after a
///   broker was restarted, the lookup of new partitions would fail for ever. Only a new client has an empty memory.
/// * A request that runs out of time before a coordinator is found ends the process ("Assertion `eonce->refcnt > 0' failed",
///   confluentinc/librdkafka issues 3663 and 4605). So requests have more time than any client lives that has one open, and
///   their end by time is decided here.
///
/// `tests/apache/lookup.rs` has a rolling restart.
pub(super) struct CommittedRequests {
    client: Option<Client>,
    config: ClientConfig,
    group_id: CString,
    on_answer: Arc<dyn Fn() + Send + Sync>,
    count: usize,
    /// The requests of `client` without an answer, each with the time when it was made.
    open: VecDeque<(usize, Instant)>,
    /// Requests that will have no answer.
    failed: VecDeque<(usize, AdminError)>,
}

/// The queue is dropped before its client, as it must be.
struct Client {
    queue: AdminQueue,
    /// It joins no group. (rdkafka's own `AdminClient` panics when it cannot start its thread.)
    consumer: BaseConsumer<LastError>,
    created: Instant,
}

impl CommittedRequests {
    /// `on_answer` is called as by [`AdminQueue::new`].
    pub(super) fn new(config: ClientConfig, group_id: CString, on_answer: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            client: None,
            config,
            group_id,
            on_answer,
            count: 0,
            open: VecDeque::new(),
            failed: VecDeque::new(),
        }
    }

    /// The number of the next request.
    pub(super) fn next_number(&self) -> usize {
        self.count + 1
    }

    /// Asks what the group has committed for partitions.
    pub(super) fn request(&mut self, now: Instant, partitions: &[Partition]) {
        self.count += 1;
        if self.client.is_none() {
            match Client::new(&self.config, &self.on_answer, now) {
                Ok(client) => self.client = Some(client),
                // There is no thread or descriptor to spare.
                Err(error) => self.failed.push_back((self.count, error)),
            }
        }
        if let Some(Client { queue, consumer, .. }) = &self.client {
            queue.request_committed(consumer.client(), self.count, &self.group_id, &record::list(partitions));
            self.open.push_back((self.count, now));
        }
    }

    /// The next answer, if one has arrived, or the next request that has had none for too long.
    pub(super) fn next(&mut self, now: Instant) -> Option<AdminResult> {
        if let Some(client) = &self.client {
            // Why it cannot connect comes to its context by this.
            let _ = client.consumer.poll(Duration::ZERO);
        }
        if let Some(client) = &self.client
            && let Some((number, result)) = client.queue.next()
        {
            self.open.retain(|(open, _)| *open != number);
            let has_moved = matches!(result, Err((RDKafkaErrorCode::NotCoordinator, _)));
            if has_moved && now.duration_since(client.created) >= MOVING_WAIT {
                self.close_client();
            }
            return Some((number, result));
        }
        if let Some((_, made)) = self.open.front()
            && now.duration_since(*made) >= ANSWER_WAIT
        {
            self.close_client();
        }
        let (number, error) = self.failed.pop_front()?;
        Some((number, Err(error)))
    }

    /// Nothing is left to look up.
    pub(super) fn finished(&mut self) {
        self.close_client();
        self.failed.clear();
    }

    fn close_client(&mut self) {
        let Some(client) = self.client.take() else { return };
        let cause = client.consumer.context().get();
        for (number, _) in self.open.drain(..) {
            let text = cause
                .clone()
                .unwrap_or_else(|| "the coordinator does not answer".to_owned());
            self.failed
                .push_back((number, (RDKafkaErrorCode::OperationTimedOut, text)));
        }
        close_with_timeout(client, Duration::ZERO);
    }
}

impl Drop for CommittedRequests {
    fn drop(&mut self) {
        self.close_client();
    }
}

impl Client {
    fn new(
        config: &ClientConfig,
        on_answer: &Arc<dyn Fn() + Send + Sync>,
        created: Instant,
    ) -> Result<Self, AdminError> {
        let created_client = config.create_with_context(LastError::default());
        let consumer: BaseConsumer<_> = created_client.map_err(|error| {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            (code, format!("cannot create a client: {error}"))
        })?;
        let queue = AdminQueue::new(consumer.client(), on_answer.clone());
        Ok(Self {
            queue,
            consumer,
            created,
        })
    }
}
