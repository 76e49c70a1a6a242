//! The consumer, in several hands.

use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use rdkafka::consumer::BaseConsumer;

use super::group::Group;

/// A consumer that several threads use, each for a moment, and one of them closes. The hold on it does not keep it alive.
#[derive(Clone)]
pub(super) struct Shared(Arc<RwLock<Option<BaseConsumer<Group>>>>);

impl Shared {
    pub(super) fn new(consumer: BaseConsumer<Group>) -> Self {
        Self(Arc::new(RwLock::new(Some(consumer))))
    }

    /// Uses the consumer; `None` when it was taken. Whoever takes it waits meanwhile.
    pub(super) fn with<T>(&self, action: impl FnOnce(&BaseConsumer<Group>) -> T) -> Option<T> {
        let consumer = self.0.read().unwrap_or_else(PoisonError::into_inner);
        consumer.as_ref().map(action)
    }

    /// As [`Shared::with`], but `None` also when somebody waits to take the consumer.
    pub(super) fn try_with<T>(&self, action: impl FnOnce(&BaseConsumer<Group>) -> T) -> Option<T> {
        match self.0.try_read() {
            Ok(consumer) => consumer.as_ref().map(action),
            Err(TryLockError::Poisoned(consumer)) => consumer.get_ref().as_ref().map(action),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Takes the consumer out, once nobody uses it any more.
    pub(super) fn take(&self) -> Option<BaseConsumer<Group>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Drops the consumer, once nobody uses it any more.
pub(super) struct Leaving(pub(super) Shared);

impl Drop for Leaving {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}
