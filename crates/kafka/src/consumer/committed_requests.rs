//! Asks the group's coordinator what is committed.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::types::RDKafkaErrorCode;
use stt_core::Partition;

use super::group::Group;
use crate::close::close_with_timeout;
use crate::context::LastError;
use crate::native::{AdminQueue, AdminResult};
use crate::record;

/// How long a request for committed offsets may take before it is made again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of their own is replaced no sooner than after this.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(5);

/// Makes requests for committed offsets on the consumer's connections, as long as these lead to the coordinator.
///
/// librdkafka 2.12's Admin API remembers a group's coordinator (`rd_kafka_coord_cache`) until it has not been asked for
/// `metadata.max.age.ms`, 15 minutes, and asks for another one neither when the broker answers `NOT_COORDINATOR` nor when
/// it does not answer: after a broker was restarted, the lookup of new partitions would fail for ever. Only a new client has
/// an empty memory, so after such an answer the requests are made by one of their own, until nothing is left to look up.
/// `tests/apache/lookup.rs` has a rolling restart.
pub(super) struct CommittedRequests {
    queue: AdminQueue,
    own: Option<OwnClient>,
    config: ClientConfig,
    on_answer: Arc<dyn Fn() + Send + Sync>,
    count: usize,
}

/// The queue is dropped before its client, as it must be.
struct OwnClient {
    queue: AdminQueue,
    client: BaseConsumer<LastError>,
    created: Instant,
}

impl CommittedRequests {
    /// `config` is that of `consumer`; `on_answer` is called as by [`AdminQueue::new`]. To be dropped before the consumer.
    pub(super) fn new(
        consumer: &BaseConsumer<Group>,
        mut config: ClientConfig,
        on_answer: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        // For the group's name alone: it does not join. It needs none of what the consumer reads in the debug log.
        config.remove("debug");
        Self {
            queue: AdminQueue::new(consumer, on_answer.clone()),
            own: None,
            config,
            on_answer,
            count: 0,
        }
    }

    /// The number of the next request.
    pub(super) fn next_number(&self) -> usize {
        self.count + 1
    }

    /// Asks what the group has committed for partitions.
    pub(super) fn request(&mut self, consumer: &BaseConsumer<Group>, group_id: &CStr, partitions: &[Partition]) {
        self.count += 1;
        let list = record::list(partitions);
        let (queue, number) = (&self.queue, self.count);
        match &self.own {
            Some(own) => own
                .queue
                .request_committed(&own.client, number, group_id, &list, REQUEST_TIMEOUT),
            None => queue.request_committed(consumer, number, group_id, &list, REQUEST_TIMEOUT),
        }
    }

    /// The next answer, if one has arrived.
    pub(super) fn next(&mut self, now: Instant) -> Option<AdminResult> {
        let result = match &self.own {
            Some(own) => {
                let _ = own.client.poll(Duration::ZERO); // errors of its connections would pile up
                own.queue.next().or_else(|| self.queue.next())
            }
            None => self.queue.next(),
        };
        if let Some((_, Err((RDKafkaErrorCode::NotCoordinator | RDKafkaErrorCode::OperationTimedOut, _)))) = &result {
            self.renew(now);
        }
        result
    }

    /// Nothing is left to look up: the client of their own, if there is one, is closed.
    pub(super) fn finished(&mut self) {
        if let Some(own) = self.own.take() {
            close_with_timeout(own, Duration::ZERO);
        }
    }

    fn renew(&mut self, now: Instant) {
        let is_new = |own: &OwnClient| now.duration_since(own.created) < RENEWAL_INTERVAL;
        if self.own.as_ref().is_some_and(is_new) {
            return;
        }
        self.finished();
        match self
            .config
            .create_with_context::<_, BaseConsumer<_>>(LastError::default())
        {
            Ok(client) => {
                let queue = AdminQueue::new(&client, self.on_answer.clone());
                let created = now;
                self.own = Some(OwnClient { queue, client, created });
            }
            // Without a thread or a descriptor to spare; the next answer tries again.
            Err(error) => log::warn!("cannot create a client to look up committed offsets: {error}"),
        }
    }
}
