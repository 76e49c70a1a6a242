//! The consumer, shared between the polling thread, transactions and the thread that closes it.

use std::sync::{Arc, PoisonError, RwLock, TryLockError};

use rdkafka::consumer::BaseConsumer;

use super::group::Group;

/// A consumer that several threads use, each for a moment, and that one of them closes. A clone does not keep it open.
#[derive(Clone)]
pub(super) struct Shared(Arc<RwLock<Option<BaseConsumer<Group>>>>);

impl Shared {
    pub(super) fn new(consumer: BaseConsumer<Group>) -> Self {
        Self(Arc::new(RwLock::new(Some(consumer))))
    }

    /// Uses the consumer; `None` when it was closed. Closing waits meanwhile.
    pub(super) fn with<T>(&self, action: impl FnOnce(&BaseConsumer<Group>) -> T) -> Option<T> {
        let consumer = self.0.read().unwrap_or_else(PoisonError::into_inner);
        consumer.as_ref().map(action)
    }

    /// As [`Shared::with`], but `None` also while it is being closed.
    pub(super) fn try_with<T>(&self, action: impl FnOnce(&BaseConsumer<Group>) -> T) -> Option<T> {
        match self.0.try_read() {
            Ok(consumer) => consumer.as_ref().map(action),
            Err(TryLockError::Poisoned(consumer)) => consumer.get_ref().as_ref().map(action),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn take(&self) -> Option<BaseConsumer<Group>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Closes the consumer when dropped, once nothing uses it any more.
pub(super) struct Closing(pub(super) Shared);

impl Drop for Closing {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}
