//! The value of a record, read as a job.

use serde_json::{Value, json};
use stt_schema::{ErrorCode, Job, JobError, is_hidden};

/// What parsing may say (docs/wire.md).
const CODES: [ErrorCode; 4] = [
    ErrorCode::InvalidJson,
    ErrorCode::InvalidJob,
    ErrorCode::InvalidAudioUrl,
    ErrorCode::UnsupportedLanguage,
];

/// Most characters of a reason: six fields, of which two quote up to 64 characters, each written as `\u{10ffff}` at worst.
const REASON_MAX: usize = 2048;

/// What no message to people may have in it; no input comes to it by chance.
const SECRET: &str = "q7Zx9KwPu3";

pub(super) fn check(payload: &[u8]) {
    match Job::parse(payload) {
        Ok(job) => {
            assert!(
                payload.trim_ascii_start().starts_with(b"{"),
                "taken for a job, and no object"
            );
            reads_back(&job);
        }
        Err(error) => refused(&error),
    }
    if !String::from_utf8_lossy(payload).contains(SECRET) {
        keeps_secrets(payload);
    }
}

/// A job that is written again is the same job; its moment to the millisecond, as it is written.
fn reads_back(job: &Job) {
    let written = json!({
        "jobId": job.job_id.to_string(),
        "taskId": job.task_id.to_string(),
        "audioUrl": job.audio_url.expose().to_string(),
        "languageHint": job.language_hint,
        "createdAt": job.created_at,
        "correlationId": job.correlation_id,
    });
    let again = Job::parse(written.to_string().as_bytes());
    let again = again.unwrap_or_else(|error| panic!("{written} is refused: {error}"));
    assert_eq!(again.created_at.unix_ms(), job.created_at.unix_ms(), "{written}");
    let created_at = job.created_at;
    assert_eq!(Job { created_at, ..again }, *job);
}

fn refused(error: &JobError) {
    assert!(CODES.contains(&error.code), "{}", error.code);
    let length = error.reason.chars().count();
    assert!(length <= REASON_MAX, "a reason of {length} characters");
    assert!(!error.reason.contains(is_hidden), "{:?}", error.reason);
    let salvaged = &error.salvaged;
    for text in [&salvaged.job_id, &salvaged.task_id, &salvaged.correlation_id]
        .into_iter()
        .flatten()
    {
        assert!((1..=128).contains(&text.len()) && !text.contains(is_hidden));
    }
}

/// A secret put where producers put secrets, by right or by mistake, is not told.
fn keeps_secrets(payload: &[u8]) {
    let text = String::from_utf8_lossy(payload);
    let mut messages = vec![
        json!(format!("{text}?sig={SECRET}")),
        json!([json!(format!("https://media.example/?sig={SECRET}")), text]),
    ];
    if let Ok(Value::Object(job)) = serde_json::from_slice(payload) {
        let url = job.get("audioUrl").and_then(Value::as_str).unwrap_or_default();
        for url in [
            format!("https://media.example/note.ogg?sig={SECRET}"),
            format!("https://user:{SECRET}@media.example/"),
            format!("https://media.example/file/bot1:{SECRET}/note.ogg"),
            format!("https://media.example/#{SECRET}"),
            format!("{url}?sig={SECRET}"),
        ] {
            let mut job = job.clone();
            job.insert("audioUrl".into(), json!(url));
            let encoded_twice = json!(json!(job).to_string());
            messages.extend([json!([job]), encoded_twice, json!(job)]);
            // A producer that mixes its fields up. (A correlationId is passed on as it is, whatever it is.)
            for key in ["jobId", "taskId", "languageHint", "createdAt"] {
                let mut job = job.clone();
                job.insert(
                    key.into(),
                    json!(format!("https://media.example/file/bot1:{SECRET}/note.ogg")),
                );
                messages.push(json!(job));
            }
        }
    }
    for message in messages {
        let message = message.to_string();
        let half = message.len() / 2;
        for bytes in [message.as_bytes(), &message.as_bytes()[..half]] {
            let told = match Job::parse(bytes) {
                Ok(job) => format!("{job:?}"),
                Err(error) => error.reason,
            };
            assert!(!told.contains(SECRET), "{message} makes it tell {told}");
        }
    }
}
