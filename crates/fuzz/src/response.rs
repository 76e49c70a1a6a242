//! What a server sends, from its status line to the end of the connection: held to what is promised about downloads.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use stt_audio::inspect::Echo;
use stt_core::{AudioUrl, Budget, Cancel, ErrorCode, Fault, SystemClock, is_hidden};

const BYTES_MAX: u64 = 64 * 1024;

/// Holds a download to what is promised about it.
///
/// # Panics
/// When a promise is broken.
pub fn check(input: &[u8]) {
    static ECHO: OnceLock<Echo> = OnceLock::new();
    let echo = ECHO.get_or_init(|| {
        let dir = PathBuf::from(format!("/tmp/stt-fuzz-{}", std::process::id()));
        let made = Echo::new(BYTES_MAX, dir.clone()).expect("a directory in /tmp");
        let _ = std::fs::remove_dir(dir); // nothing is ever written to it
        made
    });
    let url: AudioUrl = "http://h.example/s3cret-path?s3cret-query".parse().expect("a URL");
    let cancel = Cancel::default();
    let budget = Budget::new(&SystemClock, &cancel, Duration::from_secs(20));
    match echo.fetch(&url, input, &budget) {
        Ok(media) => assert!(
            media.len() <= BYTES_MAX.min(input.len() as u64),
            "{} bytes",
            media.len()
        ),
        Err(failure) => {
            const CODES: [ErrorCode; 5] = [
                ErrorCode::DownloadFailed,
                ErrorCode::DownloadTimeout,
                ErrorCode::DownloadHttpStatus,
                ErrorCode::AudioTooLarge,
                ErrorCode::SsrfBlocked,
            ];
            assert!(CODES.contains(&failure.code), "{failure:?}");
            let is_the_jobs = matches!(failure.fault, Fault::Permanent | Fault::Transient { .. });
            assert!(
                is_the_jobs,
                "a server's answer is held against this worker: {failure:?}"
            );
            let chain = failure.error_chain();
            assert!(!chain.contains("s3cret"), "{chain}");
            assert!(!chain.contains(is_hidden), "{chain:?}");
        }
    }
}
