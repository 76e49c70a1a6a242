//! Who this worker is in the group.

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use stt_core::Due;

use super::shared::Shared;
use crate::native;

/// A hold on the membership of a [`crate::KafkaSource`], by which transactions commit its offsets. It does not keep the
/// source alive; when that was closed, there is no membership, and nothing is committed.
#[derive(Clone)]
pub struct Membership(Shared);

impl Membership {
    pub(super) fn new(consumer: Shared) -> Self {
        Self(consumer)
    }

    /// This member, in this generation of the group, when it may commit for all of these partitions. Used by the thread
    /// that polls, so that no rebalance comes between what is due and this.
    pub(crate) fn current(&self, due: &[Due]) -> Result<ConsumerGroupMetadata, String> {
        let current = self.0.try_with(|consumer| {
            // The brokers know only generations, and take commits for partitions of others.
            if let Some(due) = due.iter().find(|due| !consumer.context().owns(&due.partition)) {
                return Err(format!("partition {} is not this worker's any more", due.partition));
            }
            // Who has no name in the group may commit for it, as one outside of groups: no broker would stop that. As a
            // name comes with a poll only, who has one before and after has had it in between.
            let before = native::is_member(consumer);
            let metadata = consumer
                .group_metadata()
                .filter(|_| before && native::is_member(consumer));
            metadata.ok_or_else(|| "this worker is no member of its group now".to_owned())
        });
        current.unwrap_or_else(|| Err("the source was closed".to_owned()))
    }
}
