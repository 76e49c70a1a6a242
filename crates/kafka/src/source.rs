//! A member of the workers' group.

mod config;
mod group;
mod incoming;
mod membership;
mod shared;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use stt_core::{Due, Partition, Source, SourceError, SourceEvent};

pub use self::config::SourceConfig;
use self::group::Group;
pub use self::membership::Membership;
use self::shared::{Leaving, Shared};
use crate::farewell::drop_within;
use crate::{ClientError, Connection, native, record};

/// Reads jobs as a member of a consumer group, by the cooperative protocol: partitions change hands one by one, and one
/// that is to be given up stays ours until [`Source::release`], so that its last commits can go out.
///
/// Before a partition is told as assigned, what is committed for it is looked up, the note included. That takes a round
/// trip, or as long as a transaction is open that commits for it; polling goes on meanwhile, and delivers nothing.
///
/// Commits are asynchronous and only for partitions that are owned: a broker accepts a late commit of a live member for
/// a partition that has a new owner, and rewinds it.
///
/// Dropping it leaves the group like [`Source::close`], with up to 2 s of patience.
pub struct KafkaSource {
    /// `None` after closing.
    consumer: Option<Shared>,
    topic: Arc<str>,
}

/// How long dropping waits for the broker to hear that we leave.
const DROP_WAIT: Duration = Duration::from_secs(2);

/// How often the answer to a lookup is looked for: it does not end the client's own wait.
const LOOKUP_TICK: Duration = Duration::from_millis(20);

impl KafkaSource {
    /// Joins the group; partitions come with [`SourceEvent::Assigned`]. Does not wait for a broker.
    ///
    /// # Errors
    /// Bad properties or configuration, all of them named.
    pub fn new(connection: &Connection, config: SourceConfig) -> Result<Self, ClientError> {
        let client = config.client(connection)?;
        let topic: Arc<str> = config.topic.into();
        let consumer: BaseConsumer<Group> = client
            .create_with_context(Group::new(topic.clone()))
            .map_err(|error| ClientError::Create(error.to_string()))?;
        consumer
            .subscribe(&[&topic])
            .map_err(|error| ClientError::Create(error.to_string()))?;
        Ok(Self {
            consumer: Some(Shared::new(consumer)),
            topic,
        })
    }

    /// A hold on this membership, for [`crate::KafkaTransact`]. After closing there is none.
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
}

fn poll(
    consumer: &BaseConsumer<Group>,
    shared: &Shared,
    topic: &Arc<str>,
    wait: Duration,
) -> Result<SourceEvent, SourceError> {
    let group = consumer.context();
    let started = Instant::now();
    loop {
        group.look_up(consumer, shared);
        if let Some(event) = group.next_event() {
            return Ok(event);
        }
        let left = wait.saturating_sub(started.elapsed());
        let left = if group.is_looking_up() {
            left.min(LOOKUP_TICK)
        } else {
            left
        };
        match consumer.poll(left) {
            Some(Ok(message)) => group.tell(SourceEvent::Delivered(record::delivery(&message, topic))),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let told = consumer.client().fatal_error();
                let message = told.map_or_else(|| code.to_string(), |(code, text)| format!("{code}: {text}"));
                return Err(SourceError { message });
            }
            // The group's context has heard of it already, with more words.
            Some(Err(_)) => {}
            // Nothing, or callbacks were run.
            None => {}
        }
        if let Some(event) = group.next_event() {
            return Ok(event);
        }
        if started.elapsed() >= wait {
            return Ok(SourceEvent::Idle);
        }
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        let polled = |shared: &Shared| shared.with(|consumer| poll(consumer, shared, &self.topic, wait));
        self.consumer.as_ref().and_then(polled).unwrap_or_else(|| {
            let message = "it was closed".to_owned();
            Err(SourceError { message })
        })
    }

    fn commit(&mut self, due: &[Due]) {
        self.with(|consumer| {
            let group = consumer.context();
            let due: Vec<Due> = due.iter().filter(|due| group.owns(&due.partition)).cloned().collect();
            if due.is_empty() {
                return;
            }
            let commit = |list| native::commit(consumer, &list).map_err(KafkaError::ConsumerCommit);
            if let Err(error) = record::commits(&due).and_then(commit) {
                let error = Some(error.to_string());
                group.tell(SourceEvent::Committed { due, error });
            }
        });
    }

    fn pause(&mut self, partitions: &[Partition]) {
        self.with(|consumer| {
            let group = consumer.context();
            let running = group.running(partitions);
            match consumer.pause(&record::list(&running)) {
                Ok(()) => group.paused(running),
                Err(error) => group.trouble(format!("could not pause partitions: {error}")),
            }
        });
    }

    fn resume(&mut self, partitions: &[Partition]) {
        self.with(|consumer| consumer.context().resume(consumer, partitions));
    }

    fn release(&mut self, partitions: &[Partition]) {
        self.with(|consumer| consumer.context().release(consumer, partitions));
    }

    fn close(&mut self, wait: Duration) {
        let Some(consumer) = self.consumer.take() else { return };
        consumer.with(|consumer| consumer.context().close(consumer));
        if !drop_within(Leaving(consumer), wait) {
            log::warn!("kafka did not hear within {wait:?} that this worker leaves; its session will run out there");
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.close(DROP_WAIT);
    }
}
