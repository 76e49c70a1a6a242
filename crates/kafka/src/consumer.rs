//! A member of the workers' consumer group.

mod buffer;
mod committed_requests;
mod config;
mod group;
mod membership;
mod offset_lookup;
mod shared;
mod topic_ids;
mod wakeup;

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use stt_core::{Commit, Partition, Source, SourceError, SourceEvent, Waker};

use self::committed_requests::CommittedRequests;
pub use self::config::SourceConfig;
use self::group::Group;
pub use self::membership::Membership;
use self::shared::{Closing, Shared};
use self::wakeup::Wakeup;
use crate::close::close_with_timeout;
use crate::record::TopicNames;
use crate::{ClientError, Connection, native, record};

/// Reads jobs as a member of a consumer group with cooperative rebalancing: partitions change owners one by one, and a
/// revoked one stays owned until [`Source::release`], so that its last commits can be made.
///
/// A partition is reported as assigned when it is known what is committed for it, the metadata included. That takes a round
/// trip, or as long as a transaction is open that commits for it; other partitions do not wait for that.
///
/// Where nothing is committed, reading starts at the beginning of the log. A position that the log does not have any more is
/// reported as [`SourceEvent::LogReset`]:
/// * Records that retention deleted before they were read are counted when the first record behind them is delivered.
/// * A topic that was deleted and created again is recognised by its id before any record of it is delivered. (Brokers before
///   2.8 have no ids: there it is recognised when a record of a lower offset is delivered, so not when the new log is longer
///   than the position.) Kafka removes commits when a topic is deleted, so one that was created again while no worker ran is
///   read from its beginning. What cannot be recognised: a commit that was sent before the deletion and arrives after the
///   creation, by a worker that is killed before it reads on.
/// * A log that lost its end in an unclean leader election is read again from where it was cut off, as librdkafka finds it by
///   leader epochs. When that is not known, or a log is shorter than the position, it is read from its beginning.
///
/// Commits are asynchronous and only for partitions that are owned: a broker accepts a late commit of a live member for
/// a partition that has a new owner, and rewinds it.
///
/// Dropping it leaves the group like [`Source::close`], waiting up to 2 s.
pub struct KafkaSource {
    /// `None` after closing.
    requests: Option<CommittedRequests>,
    /// `None` after closing.
    consumer: Option<Shared>,
    wakeup: Arc<Wakeup>,
    membership_check_at: Instant,
}

/// How long dropping waits for the broker's answer to LeaveGroup.
const DROP_WAIT: Duration = Duration::from_secs(2);

/// How often the membership is compared with what was reported.
const MEMBERSHIP_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl KafkaSource {
    /// Joins the group; partitions come with [`SourceEvent::Assigned`]. Does not wait for a broker.
    ///
    /// # Errors
    /// Bad properties or configuration, all of them named.
    pub fn new(connection: &Connection, config: SourceConfig) -> Result<Self, ClientError> {
        let client = config.client(connection)?;
        let group_id = CString::new(&*config.group_id).map_err(|error| ClientError::Create(error.to_string()))?;
        let names: Vec<Arc<str>> = std::iter::once(config.topic)
            .chain(config.retry_topic)
            .map(Into::into)
            .collect();
        let wakeup = Arc::new(Wakeup::default());
        let mut consumer: BaseConsumer<Group> = client
            .create_with_context(Group::new(TopicNames::new(names.clone()), wakeup.clone()))
            .map_err(|error| ClientError::Create(error.to_string()))?;
        let queued = wakeup.clone();
        consumer.set_nonempty_callback(move || queued.queued());
        let queued = wakeup.clone();
        let requests = CommittedRequests::new(
            connection.client(&[], &[])?,
            group_id,
            Arc::new(move || queued.queued()),
        );
        let subscription: Vec<&str> = names.iter().map(|name| &**name).collect();
        let subscribed = consumer.subscribe(&subscription);
        subscribed.map_err(|error| ClientError::Create(error.to_string()))?;
        Ok(Self {
            requests: Some(requests),
            consumer: Some(Shared::new(consumer)),
            wakeup,
            membership_check_at: Instant::now(),
        })
    }

    /// This membership, for [`crate::KafkaTransactionSink`]. `None` after closing.
    #[must_use]
    pub fn membership(&self) -> Option<Membership> {
        self.consumer.clone().map(Membership::new)
    }

    /// Does something with the consumer, unless it was closed.
    fn with(&self, action: impl FnOnce(&BaseConsumer<Group>)) {
        if let Some(consumer) = &self.consumer {
            consumer.with(action);
        }
    }

    /// Takes answers and makes the requests that are due. Gives the time of the next one.
    fn serve_requests(&mut self, consumer: &BaseConsumer<Group>) -> Instant {
        let now = Instant::now();
        let group = consumer.context();
        if now >= self.membership_check_at {
            self.membership_check_at = now + MEMBERSHIP_CHECK_INTERVAL;
            group.check_membership(consumer);
        }
        group.check_topic_ids(consumer);
        let Some(requests) = &mut self.requests else {
            return self.membership_check_at;
        };
        while let Some(result) = requests.next(now) {
            group.committed_answered(consumer, result);
        }
        let mut state = group.state();
        let due = state.lookup.take_due(now, requests.next_number());
        if !due.is_empty() {
            requests.request(now, &due);
        }
        if state.lookup.is_empty() {
            requests.finished();
        }
        let next_due = state.lookup.next_due();
        next_due.map_or(self.membership_check_at, |due| due.min(self.membership_check_at))
    }

    fn poll_consumer(&mut self, consumer: &BaseConsumer<Group>, wait: Duration) -> Result<SourceEvent, SourceError> {
        let group = consumer.context();
        let deadline = Instant::now() + wait;
        loop {
            self.wakeup.reading_queues();
            let next_request = self.serve_requests(consumer);
            if let Some(event) = group.next_event(consumer) {
                return Ok(event);
            }
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    group.delivered(consumer, record::delivery(&message, group.topics()));
                    continue;
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    let error = consumer.client().fatal_error();
                    let message = error.map_or_else(|| code.to_string(), |(code, text)| format!("{code}: {text}"));
                    return Err(SourceError { message });
                }
                // The context has it already, with more words.
                Some(Err(_)) => continue,
                // Nothing, or callbacks were run.
                None => {}
            }
            if let Some(event) = group.next_event(consumer) {
                return Ok(event);
            }
            if self.wakeup.take_woken() || Instant::now() >= deadline {
                return Ok(SourceEvent::Idle);
            }
            if !native::has_queued(consumer) {
                self.wakeup.wait_until(deadline.min(next_request));
            }
        }
    }
}

impl Source for KafkaSource {
    fn waker(&self) -> Waker {
        let wakeup = self.wakeup.clone();
        Arc::new(move || wakeup.wake())
    }

    fn poll(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        let polled = self
            .consumer
            .clone()
            .and_then(|shared| shared.with(|consumer| self.poll_consumer(consumer, wait)));
        polled.unwrap_or_else(|| {
            let message = "it was closed".to_owned();
            Err(SourceError { message })
        })
    }

    fn commit(&mut self, commits: &[Commit]) {
        self.with(|consumer| {
            let group = consumer.context();
            let is_owned = |commit: &&Commit| group.owns(&commit.partition);
            let commits: Vec<Commit> = commits.iter().filter(is_owned).cloned().collect();
            if commits.is_empty() {
                return;
            }
            group.committing(&commits);
            let commit = |list| native::commit(consumer, &list).map_err(KafkaError::ConsumerCommit);
            if let Err(error) = record::commits(&commits).and_then(commit) {
                let error = Some(error.to_string());
                group.report(SourceEvent::CommitAnswered { commits, error });
            }
        });
    }

    fn pause(&mut self, partitions: &[Partition]) {
        self.with(|consumer| consumer.context().pause(partitions));
    }

    fn resume(&mut self, partitions: &[Partition]) {
        self.with(|consumer| consumer.context().resume(consumer, partitions));
    }

    fn release(&mut self, partitions: &[Partition]) {
        self.with(|consumer| consumer.context().release(consumer, partitions));
    }

    fn close(&mut self, wait: Duration) {
        let Some(consumer) = self.consumer.take() else { return };
        self.requests = None;
        consumer.with(|consumer| consumer.context().close(consumer));
        if !close_with_timeout(Closing(consumer), wait) {
            log::warn!("LeaveGroup not acknowledged within {wait:?}; session timeout will remove this member");
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.close(DROP_WAIT);
    }
}
