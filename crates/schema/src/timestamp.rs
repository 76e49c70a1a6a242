//! ISO-8601 moments.

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Iso8601;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// A moment in UTC, written with milliseconds: `2026-01-02T03:04:05.678Z`.
///
/// Reads any ISO-8601 date and time of the years 0000 to 9999 (in UTC), which are those that four digits can write; one
/// without an offset is taken as UTC, as Python's naive `isoformat()` means it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(OffsetDateTime);

/// The text is not an ISO-8601 date and time.
#[derive(Debug, thiserror::Error)]
#[error("{} is not an ISO-8601 date and time", crate::text::quoted(.text))]
pub struct BadTimestamp {
    text: String,
}

impl Timestamp {
    /// Milliseconds since 1970-01-01T00:00:00Z, negative before; as in the written form, what is behind them is cut off.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        i64::try_from(self.0.unix_timestamp_nanos().div_euclid(1_000_000))
            .expect("time's years fit in 64 bits of milliseconds")
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(moment: std::time::SystemTime) -> Self {
        Self(OffsetDateTime::from(moment))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        OffsetDateTime::parse(text, &Iso8601::DEFAULT)
            .or_else(|_| PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc))
            .ok()
            .and_then(|moment| moment.checked_to_offset(UtcOffset::UTC))
            .filter(|moment| (0..=9999).contains(&moment.year()))
            .map(Self)
            .ok_or_else(|| BadTimestamp {
                text: text.chars().take(64).collect(),
            })
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        write!(f, "{:04}-{:02}-{:02}T", date.year(), u8::from(date.month()), date.day())?;
        write!(
            f,
            "{:02}:{:02}:{:02}.{:03}Z",
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_producers_write_and_writes_one_form() {
        for (text, written) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
            ("2026-01-02T03:04:05.678901+00:00", "2026-01-02T03:04:05.678Z"),
            ("2026-01-02T08:34:05+05:30", "2026-01-02T03:04:05.000Z"),
            ("2026-01-02T03:04:05.678901", "2026-01-02T03:04:05.678Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), written, "{text}");
        }
        for text in ["", "yesterday", "1735787045", "2026-13-02T03:04:05Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_that_four_digits_of_a_year_cannot_write_is_refused() {
        for text in [
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "-000001-01-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        for text in ["0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn milliseconds_are_those_that_are_written() {
        for (text, ms) in [("1969-12-31T23:59:59.9995Z", -1), ("1970-01-01T00:00:00.0019Z", 1)] {
            let moment: Timestamp = text.parse().unwrap();
            let written: Timestamp = moment.to_string().parse().unwrap();
            assert_eq!((moment.unix_ms(), written.unix_ms()), (ms, ms), "{text}");
        }
    }
}
