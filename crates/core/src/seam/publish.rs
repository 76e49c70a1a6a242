//! Where outcomes go.

use crate::{Cancel, Failure, Outcome, Published};

/// Gives outcomes to the broker.
pub trait Publish: Send + Sync {
    /// Sends every record of the outcome and waits until the broker has acknowledged all of them; then
    /// [`Outcome::acknowledged`] makes the proof. Waits as long as the broker may still answer: a write in doubt is
    /// waited for, not sent again. `cancel` ends the wait.
    ///
    /// # Errors
    /// The outcome back, with why: [`crate::Fault::WorkerLocal`] when it should be tried again here (topic missing,
    /// broker refuses), [`crate::Fault::Permanent`] with [`crate::ErrorCode::ResultTooLarge`] when it never fits,
    /// [`crate::Fault::Transient`] when cancelled, [`crate::Fault::Fatal`] when this process can publish nothing more.
    fn publish(&self, outcome: Outcome, cancel: &Cancel) -> Result<Published, Box<NotPublished>>;
}

/// An outcome that the broker does not have, as far as is known.
#[derive(Debug)]
pub struct NotPublished {
    /// The outcome, to be tried again or replaced.
    pub outcome: Outcome,
    /// Why.
    pub failure: Failure,
}
