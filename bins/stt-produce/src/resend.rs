//! A dead letter's record as the record that puts its job back.

use stt_core::{Delivery, Header, RETRY_HEADERS};

/// Tells workers to do the job though they may have done its twin.
const DEDUP: &str = "dedup";
/// Where the dead letter is, for people who want to know where a job comes from.
const REPLAYED_FROM: &str = "replayed-from";

/// Where a record is: `topic/partition/offset`.
pub(crate) fn place(delivery: &Delivery) -> String {
    let partition = &delivery.partition;
    format!("{}/{}/{}", partition.topic, partition.id, delivery.offset)
}

/// The headers of the job put back: those of the dead letter without what a worker wrote there for a retry, so that the
/// job starts at its first try; and where it comes from, this time.
pub(crate) fn headers(letter: &Delivery) -> Vec<Header> {
    let ours = [(DEDUP, "off".to_owned()), (REPLAYED_FROM, place(letter))];
    let is_kept = |header: &&Header| {
        let key = header.key.as_str();
        !RETRY_HEADERS.contains(&key) && ours.iter().all(|(our, _)| *our != key)
    };
    let kept: Vec<Header> = letter.headers.iter().filter(is_kept).cloned().collect();
    let ours = ours.into_iter().map(|(key, value)| Header {
        key: key.to_owned(),
        value: Some(value.into_bytes()),
    });
    kept.into_iter().chain(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stt_core::Partition;

    fn header(key: &str, value: Option<&str>) -> Header {
        Header {
            key: key.to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
        }
    }

    #[test]
    fn a_job_replayed_before_tells_its_last_letter_and_starts_at_its_first_try() {
        let letter = Delivery {
            partition: Partition {
                topic: "dead".into(),
                id: 3,
            },
            offset: 17,
            key: None,
            payload: None,
            headers: vec![
                header("traceparent", Some("00-1")),
                header("attempt", Some("3")),
                header("original-topic", Some("stt.jobs")),
                header("original-partition", Some("0")),
                header("original-offset", Some("4")),
                header("dedup", Some("off")),
                header("flag", None),
                header("retry-not-before", Some("1")),
                header("retry-delay-ms", Some("1")),
                header("last-error", Some("DOWNLOAD_FAILED")),
                header("replayed-from", Some("dead/0/1")),
                header("traceparent", Some("00-2")),
            ],
        };
        assert_eq!(
            headers(&letter),
            [
                header("traceparent", Some("00-1")),
                header("flag", None),
                header("traceparent", Some("00-2")),
                header("dedup", Some("off")),
                header("replayed-from", Some("dead/3/17")),
            ]
        );
    }
}
