//! Why there is no Kafka.

use std::fmt;

/// What went wrong, in one message: what failed, what to do, and what the program that failed said.
#[derive(Clone, PartialEq, Eq)]
pub struct Trouble(String);

impl Trouble {
    /// With this message.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// For `map_err`: what was tried, before what came of it.
pub(super) fn failed<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Trouble {
    move |error| Trouble(format!("{what}: {error}"))
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As text, for the `unwrap` of a test: lines stay lines.
impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}
