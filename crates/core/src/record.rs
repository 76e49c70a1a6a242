//! What comes from Kafka, and the ticket that ties an outcome to its source.

use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Topic.
    pub topic: Arc<str>,
    /// Number, from 0.
    pub id: i32,
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.topic, self.id)
    }
}

/// A record header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name.
    pub key: String,
    /// Value, if any.
    pub value: Option<Vec<u8>>,
}

/// A record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it came from.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    /// Its key, if any.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}

impl Delivery {
    /// Value of the last header of that name, as text.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&str> {
        let header = self.headers.iter().rev().find(|header| header.key == key)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    }
}

/// The right to settle one offset, once: made by the ledger, used up by publishing. Neither `Copy` nor `Clone`.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) partition: Partition,
    pub(crate) offset: i64,
    pub(crate) epoch: u64,
}

impl Ticket {
    /// The partition of the offset.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }
}
