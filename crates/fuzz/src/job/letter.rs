//! Dead letters: written about anything, read from anybody.

use stt_schema::{DeadLetter, ErrorCode, FailureStage, JobResult};

pub(super) fn check(bytes: &[u8]) {
    gives_back(bytes);
    reads_back(bytes);
    // Results are read by our tools, too. Their numbers come back as far as JSON's reader is exact.
    if let Ok(result) = serde_json::from_slice::<JobResult>(bytes) {
        let json = serde_json::to_vec(&result).expect("a result has string keys and finite numbers");
        let again: JobResult = serde_json::from_slice(&json).expect("a result that is written can be read");
        assert_eq!(again.job_id, result.job_id);
        assert_eq!(again.transcript_text, result.transcript_text);
        assert_eq!(again.error_code, result.error_code);
    }
}

/// Whatever was sent is in its dead letter, byte for byte.
fn gives_back(payload: &[u8]) {
    let letter = DeadLetter {
        original_topic: "stt.jobs".into(),
        original_partition: 2,
        original_offset: 41,
        failed_at: std::time::SystemTime::UNIX_EPOCH.into(),
        failure_stage: FailureStage::Validation,
        omitted: None,
        payload: Some(payload.to_vec()),
        error_code: ErrorCode::InvalidJson,
        error_message: String::from_utf8_lossy(payload).into_owned(),
        attempt: 1,
    };
    let json = letter.to_json();
    let again = DeadLetter::parse(&json);
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&json)));
    assert_eq!(again, letter, "{}", String::from_utf8_lossy(&json));
    // Readers that take nothing beyond plain JSON take it too.
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(&json) {
        panic!("{error}: {}", String::from_utf8_lossy(&json));
    }
}

/// A letter that can be read is the same when it is written again; its moment to the millisecond.
fn reads_back(bytes: &[u8]) {
    let Ok(letter) = DeadLetter::parse(bytes) else { return };
    assert!(
        bytes.trim_ascii_start().starts_with(b"{"),
        "taken for a letter, and no object"
    );
    let json = letter.to_json();
    let again = DeadLetter::parse(&json);
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&json)));
    assert_eq!(again.failed_at.unix_ms(), letter.failed_at.unix_ms());
    let failed_at = letter.failed_at;
    assert_eq!(
        DeadLetter { failed_at, ..again },
        letter,
        "{}",
        String::from_utf8_lossy(&json)
    );
}
