//! The group membership that transactions commit for.

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use stt_core::Commit;

use super::shared::Shared;
use crate::native;

/// The group membership of a [`crate::KafkaSource`], for which transactions commit. It does not keep the source open; after
/// closing there is no membership, and nothing is committed.
#[derive(Clone)]
pub struct Membership(Shared);

impl Membership {
    pub(super) fn new(consumer: Shared) -> Self {
        Self(consumer)
    }

    /// This member, in this generation of the group, when it may make all of these commits. Must be called by the thread
    /// that polls, so that no rebalance comes between the decision to commit and this.
    pub(crate) fn for_commits(&self, commits: &[Commit]) -> Result<ConsumerGroupMetadata, String> {
        let current = self.0.try_with(|consumer| {
            // Brokers check generations only: they would take a commit for a partition of another member.
            if let Some(commit) = commits
                .iter()
                .find(|commit| !consumer.context().owns(&commit.partition))
            {
                return Err(format!("partition {} is not owned any more", commit.partition));
            }
            // A client without a member id may commit for the group like one outside of it: no broker would refuse that. As a
            // member id is received during a poll only, one that is there before and after was there in between.
            let before = native::is_member(consumer);
            let metadata = consumer
                .group_metadata()
                .filter(|_| before && native::is_member(consumer));
            let metadata = metadata.ok_or_else(|| "this worker is not a member of its group now".to_owned())?;
            consumer.context().committing(commits);
            Ok(metadata)
        });
        current.unwrap_or_else(|| Err("the source was closed".to_owned()))
    }
}
