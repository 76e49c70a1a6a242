//! A member of the workers' group.

mod config;
mod group;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stt_core::{Due, Partition, Source, SourceError, SourceEvent};

pub use self::config::SourceConfig;
use self::group::Group;
use crate::farewell::drop_within;
use crate::{ClientError, Connection, native, record};

/// Reads jobs as a member of a consumer group, by the cooperative protocol: partitions change hands one by one, and one
/// that is to be given up stays ours until [`Source::release`], so that its last commits can go out.
///
/// Commits are asynchronous and only for partitions that are owned: a broker accepts a late commit of a live member for
/// a partition that has a new owner, and rewinds it.
///
/// Dropping it leaves the group like [`Source::close`], with up to 2 s of patience.
pub struct KafkaSource {
    /// `None` after closing.
    consumer: Option<BaseConsumer<Group>>,
    topic: Arc<str>,
}

/// How long dropping waits for the broker to hear that we leave.
const DROP_WAIT: Duration = Duration::from_secs(2);

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
            consumer: Some(consumer),
            topic,
        })
    }

    /// Offsets to commit.
    fn list(due: &[Due]) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for due in due {
            let offset = Offset::Offset(due.committed.next_offset);
            list.add_partition_offset(&due.partition.topic, due.partition.id, offset)?;
            if let Some(mut element) = list.find_partition(&due.partition.topic, due.partition.id) {
                element.set_metadata(&due.committed.note);
            }
        }
        Ok(list)
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        let Some(consumer) = &self.consumer else {
            let message = "it was closed".to_owned();
            return Err(SourceError { message });
        };
        let group = consumer.context();
        if let Some(event) = group.next_event() {
            return Ok(event);
        }
        match consumer.poll(wait) {
            Some(Ok(message)) => group.tell(SourceEvent::Delivered(record::delivery(&message, &self.topic))),
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
        Ok(group.next_event().unwrap_or(SourceEvent::Idle))
    }

    fn commit(&mut self, due: &[Due]) {
        let Some(consumer) = &self.consumer else { return };
        let group = consumer.context();
        let due: Vec<Due> = due.iter().filter(|due| group.owns(&due.partition)).cloned().collect();
        if due.is_empty() {
            return;
        }
        let commit = |list| native::commit(consumer, &list).map_err(KafkaError::ConsumerCommit);
        let handed_over = Self::list(&due).and_then(commit);
        if let Err(error) = handed_over {
            let error = Some(error.to_string());
            group.tell(SourceEvent::Committed { due, error });
        }
    }

    fn pause(&mut self, partitions: &[Partition]) {
        let Some(consumer) = &self.consumer else { return };
        let running = consumer.context().running(partitions);
        match consumer.pause(&record::list(&running)) {
            Ok(()) => consumer.context().paused(running),
            Err(error) => consumer
                .context()
                .trouble(format!("could not pause partitions: {error}")),
        }
    }

    fn resume(&mut self, partitions: &[Partition]) {
        let Some(consumer) = &self.consumer else { return };
        consumer.context().resume(consumer, partitions);
    }

    fn release(&mut self, partitions: &[Partition]) {
        let Some(consumer) = &self.consumer else { return };
        consumer.context().release(consumer, partitions);
    }

    fn close(&mut self, wait: Duration) {
        let Some(consumer) = self.consumer.take() else { return };
        consumer.context().close(&consumer);
        if !drop_within(consumer, wait) {
            log::warn!("kafka did not hear within {wait:?} that this worker leaves; its session will run out there");
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.close(DROP_WAIT);
    }
}
