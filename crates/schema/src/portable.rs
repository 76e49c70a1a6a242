//! JSON that every reader takes, and takes for the same.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deepest nesting, counting the value itself. With the object around it that is 64, the least that a common reader takes by
/// default (System.Text.Json; Python and Java have about 1,000, jq 256).
pub(crate) const DEPTH_MAX: usize = 63;

/// Whether readers of JSON agree on these bytes: a single value, nested no deeper than [`DEPTH_MAX`], no key of an object
/// twice (of which some readers take the first, others the last), no lone surrogate, no number beyond those of 64-bit
/// floating point.
pub(crate) fn is_portable(json: &[u8]) -> bool {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Depth(DEPTH_MAX).deserialize(&mut reader).is_ok() && reader.end().is_ok()
}

/// Takes a value of at most so many levels.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.0 {
            0 => Err(E::custom("nested too deeply")),
            levels => Ok(Self(levels - 1)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while list.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        let mut keys = HashSet::new();
        while let Some(key) = object.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("a key twice"));
            }
            object.next_value_seed(deeper)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_disagree_on_is_not_portable() {
        let nested = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        for (json, portable) in [
            (
                &br#"{"a":{"a":1,"b":[{"a":"\u0061\ud83d\ude00"}]},"b":-1.5e300}"#[..],
                true,
            ),
            (b"[123456789012345678901234567890,-0,0.10000000000000000000001]", true),
            (b" 7\n", true),
            (b"null", true),
            (&nested(DEPTH_MAX), true),
            (&nested(DEPTH_MAX + 1), false),
            (&nested(1_000_000), false),
            (br#"{"a":1,"a":1}"#, false),
            (br#"[{"b":{"a":1,"\u0061":2}}]"#, false),
            (br#""\ud800""#, false),
            (br#"{"\udc00":1}"#, false),
            (b"1E+4000", false),
            (b"{}{}", false),
            (b"", false),
            (b"\"\xff\"", false),
        ] {
            assert_eq!(is_portable(json), portable, "{:.80}", String::from_utf8_lossy(json));
        }
    }
}
