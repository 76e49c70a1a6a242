//! What comes from Kafka.

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
    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let header = |header: &Header| header.key.len() + header.value.as_ref().map_or(0, Vec::len);
        let parts = [&self.key, &self.payload].map(|part| part.as_ref().map_or(0, Vec::len));
        parts.iter().sum::<usize>() + self.headers.iter().map(header).sum::<usize>()
    }

    /// Value of the last header of that name, as text.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&str> {
        let header = self.headers.iter().rev().find(|header| header.key == key)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    }
}

/// Identifies an admitted record within a process; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);
