//! What the workers promise.

use std::fmt;
use std::str::FromStr;

/// What the workers promise about outcomes, and what the ledger is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guarantee {
    /// No job without an outcome.
    AtLeastOnce,
    /// And no record with two.
    ExactlyOnce,
}

impl Guarantee {
    const ALL: [Self; 2] = [Self::AtLeastOnce, Self::ExactlyOnce];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

impl FromStr for Guarantee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|guarantee| guarantee.as_str() == text);
        found.ok_or_else(|| format!("{text} is neither at-least-once nor exactly-once"))
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
