//! A record on its way in, and all that is written about it.
//!
//! An input is the record's value. Behind it may come, each after a byte 0x1E (ASCII's record separator), its key and its
//! headers as `name=value`. So the messages in `fixtures/wire` are inputs as they are.

mod letter;
mod message;
mod record;
mod words;

use stt_core::{Delivery, Header, Partition};

/// The byte between a record's value, key and headers.
const SEPARATOR: u8 = 0x1e;

/// Holds a record to what is promised about jobs, dead letters, headers, timestamps and languages.
///
/// # Panics
/// When a promise is broken.
pub fn check(input: &[u8]) {
    let delivery = delivery(input);
    let payload = delivery.payload.as_deref().unwrap_or_default();
    message::check(payload);
    letter::check(input);
    letter::check(payload);
    words::check(payload);
    record::check(&delivery);
}

fn delivery(input: &[u8]) -> Delivery {
    let mut parts = input.split(|byte| *byte == SEPARATOR);
    let payload = parts.next().filter(|payload| !payload.is_empty());
    let key = parts.next();
    let header = |part: &[u8]| {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        Header {
            key: String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned(),
            value: halves.next().map(<[u8]>::to_vec),
        }
    };
    Delivery {
        partition: Partition {
            topic: "stt.jobs".into(),
            id: 2,
        },
        offset: 41,
        key: key.map(<[u8]>::to_vec),
        payload: payload.map(<[u8]>::to_vec),
        headers: parts.map(header).collect(),
    }
}
