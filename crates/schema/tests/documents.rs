//! The documents about the wire say what the code does: `docs/schema`, `fixtures/wire` and `docs/wire.md`.

#![allow(clippy::unwrap_used)] // all of this is tests, also what stands outside of #[test]

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};
use stt_schema::{AudioUrl, DeadLetter, ErrorCode, Job, JobResult, Language};

const JOB: &str = include_str!("../../../fixtures/wire/job.json");
const COMPLETED: &str = include_str!("../../../fixtures/wire/result-completed.json");
const DETAIL: &str = include_str!("../../../fixtures/wire/result-detail.json");
const FAILED: &str = include_str!("../../../fixtures/wire/result-failed.json");
const LETTER: &str = include_str!("../../../fixtures/wire/dead-letter.json");
const JUNK: &str = include_str!("../../../fixtures/wire/dead-letter-junk.json");

const JOB_SCHEMA: &str = include_str!("../../../docs/schema/job.schema.json");
const RESULT_SCHEMA: &str = include_str!("../../../docs/schema/result.schema.json");
const LETTER_SCHEMA: &str = include_str!("../../../docs/schema/dead-letter.schema.json");

fn validator(schema: &str) -> Validator {
    let schema: Value = serde_json::from_str(schema).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// The golden message with some keys replaced, or removed when the value is `"-"`.
fn with(golden: &str, changes: &[(&str, Value)]) -> Value {
    let mut message: Value = serde_json::from_str(golden).unwrap();
    let keys = message.as_object_mut().unwrap();
    for (key, value) in changes {
        match value.as_str() {
            Some("-") => drop(keys.remove(*key)),
            _ => drop(keys.insert((*key).to_owned(), value.clone())),
        }
    }
    message
}

#[test]
fn wrong_jobs_are_refused_by_the_schema_and_by_the_worker() {
    let schema = validator(JOB_SCHEMA);
    let too_long = format!("https://h/{}", "a".repeat(AudioUrl::BYTES_MAX));
    for (key, value) in [
        ("jobId", json!("-")),
        ("jobId", json!("job-1")),
        ("jobId", json!(7)),
        ("taskId", json!(null)),
        ("audioUrl", json!("-")),
        ("audioUrl", json!("note.ogg")),
        ("audioUrl", json!("file:///etc/passwd")),
        ("audioUrl", json!("https://user:password@host/a")),
        ("audioUrl", json!("https:///a")),
        ("audioUrl", json!("https://ho st/a")),
        ("audioUrl", json!(too_long)),
        ("languageHint", json!("tlh-QO")),
        ("languageHint", json!("english")),
        ("languageHint", json!("mr IN")),
        ("languageHint", json!("")),
        ("languageHint", json!(["mr"])),
        ("createdAt", json!("-")),
        ("createdAt", json!("yesterday")),
        ("createdAt", json!(1_767_323_045)),
        ("correlationId", json!("")),
        ("correlationId", json!("a b")),
        ("correlationId", json!("x".repeat(129))),
    ] {
        let job = with(JOB, &[(key, value)]);
        assert!(!schema.is_valid(&job), "the schema takes {job}");
        assert!(
            Job::parse(job.to_string().as_bytes()).is_err(),
            "the worker takes {job}"
        );
    }
    assert!(!schema.is_valid(&json!([])));
}

#[test]
fn jobs_that_the_schema_takes_are_taken_by_the_worker() {
    let schema = validator(JOB_SCHEMA);
    let longest = format!("https://h/{}", "a".repeat(AudioUrl::BYTES_MAX - 10));
    for (key, value) in [
        ("audioUrl", json!("http://media.internal:8080/a?b=c")),
        ("audioUrl", json!("https://media.example")),
        ("audioUrl", json!(longest)),
        ("languageHint", json!("-")),
        ("languageHint", json!(null)),
        ("languageHint", json!("hi-IN")),
        ("languageHint", json!("yue-Hant-HK")),
        ("createdAt", json!("2026-01-02T03:04:05.678901")),
        ("createdAt", json!("2026-01-02T08:34:05+05:30")),
        ("correlationId", json!("7d8a3c1e-5a52-4a3c-9c0a-0d7f2a6a1b03")),
        ("jobId", json!("7D8A3C1E-5A52-4A3C-9C0A-0D7F2A6A1B01")),
        ("priority", json!({ "of": "somebody else" })),
    ] {
        let job = with(JOB, &[(key, value)]);
        assert!(schema.is_valid(&job), "the schema refuses {job}");
        Job::parse(job.to_string().as_bytes()).unwrap();
    }
}

#[test]
fn hints_in_the_schema_are_the_subtags_that_the_worker_knows() {
    let schema: Value = serde_json::from_str(JOB_SCHEMA).unwrap();
    let pattern = schema["properties"]["languageHint"]["pattern"].as_str().unwrap();
    let (subtags, _) = pattern.strip_prefix("^(").unwrap().split_once(')').unwrap();
    let letters = || (b'a'..=b'z').map(char::from);
    let pairs = || letters().flat_map(|one| letters().map(move |other| format!("{one}{other}")));
    let triples = pairs().flat_map(|pair| letters().map(move |letter| format!("{pair}{letter}")));
    let known: Vec<_> = pairs()
        .chain(triples)
        .filter(|tag| Language::from_tag(tag).is_ok())
        .collect();
    let known: BTreeSet<_> = known.iter().map(String::as_str).collect();
    assert_eq!(subtags.split('|').collect::<BTreeSet<_>>(), known);
}

#[test]
fn wrong_results_are_refused() {
    let schema = validator(RESULT_SCHEMA);
    for (golden, changes) in [
        (COMPLETED, vec![("extra", json!(1))]),
        (COMPLETED, vec![("errorCode", json!("-"))]),
        (COMPLETED, vec![("transcriptText", json!(null))]),
        (COMPLETED, vec![("errorCode", json!("AUDIO_EMPTY"))]),
        (COMPLETED, vec![("status", json!("DONE"))]),
        (COMPLETED, vec![("confidence", json!(1.01))]),
        (COMPLETED, vec![("confidence", json!("0.9"))]),
        (COMPLETED, vec![("engine", json!("whisper.cpp"))]),
        (COMPLETED, vec![("detectedLanguage", json!("mr-IN"))]),
        (COMPLETED, vec![("completedAt", json!("2026-01-02T03:05:06Z"))]),
        (FAILED, vec![("status", json!("COMPLETED"))]),
        (FAILED, vec![("errorCode", json!("OOPS"))]),
        (FAILED, vec![("errorCode", json!(null))]),
        (FAILED, vec![("confidence", json!(0.5))]),
        (FAILED, vec![("transcriptText", json!(""))]),
    ] {
        let result = with(golden, &changes);
        assert!(!schema.is_valid(&result), "{result}");
    }
    let silent = with(
        COMPLETED,
        &[
            ("transcriptText", json!("")),
            ("detectedLanguage", json!(null)),
            ("confidence", json!(0.0)),
        ],
    );
    assert!(schema.is_valid(&silent));
}

#[test]
fn wrong_detail_is_refused_and_less_of_it_is_taken() {
    let schema = validator(RESULT_SCHEMA);
    let detail: Value = serde_json::from_str::<Value>(DETAIL).unwrap()["detail"].take();
    let changed = |golden, pointer: &str, value: Value| {
        let mut detail = detail.clone();
        *detail.pointer_mut(pointer).unwrap() = value;
        with(golden, &[("detail", detail)])
    };
    for (pointer, value) in [
        ("", json!(null)),
        ("", json!({})),
        ("/languageProbability", json!(1.01)),
        ("/durationSec", json!(null)),
        ("/segments", json!(null)),
        ("/segments/0", json!({ "start": 0.0, "end": 1.0, "text": "so" })),
        ("/segments/0/start", json!(-0.001)),
        ("/segments/0/end", json!("00:01")),
        ("/segments/0/confidence", json!(null)),
        ("/segments/0/words", json!(null)),
        ("/segments/0/words/0/word", json!(7)),
        ("/segments/0/words/0/probability", json!(2)),
    ] {
        let result = changed(COMPLETED, pointer, value);
        assert!(!schema.is_valid(&result), "{result}");
    }
    let failed = changed(FAILED, "/segments", json!([]));
    assert!(!schema.is_valid(&failed), "a FAILED result has no detail");

    let mut without_words = detail.clone();
    without_words["segments"][0].as_object_mut().unwrap().remove("words");
    for result in [
        changed(COMPLETED, "/segments", json!([])),
        changed(COMPLETED, "/languageProbability", json!(null)),
        with(COMPLETED, &[("detail", without_words)]),
    ] {
        schema.validate(&result).unwrap();
        let read: JobResult = serde_json::from_value(result.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), result);
    }
}

#[test]
fn wrong_dead_letters_are_refused() {
    let schema = validator(LETTER_SCHEMA);
    for (golden, changes) in [
        (LETTER, vec![("extra", json!(1))]),
        (LETTER, vec![("job", json!("-"))]),
        (LETTER, vec![("originalB64", json!("e30="))]),
        (LETTER, vec![("failureStage", json!("PUBLISH"))]),
        (LETTER, vec![("failureStage", json!("UPLOAD"))]),
        (LETTER, vec![("errorCode", json!(null))]),
        (LETTER, vec![("attempt", json!(0))]),
        (LETTER, vec![("originalPartition", json!(-1))]),
        (LETTER, vec![("originalOffset", json!("41"))]),
        (JUNK, vec![("originalB64", json!("not base64!"))]),
    ] {
        let letter = with(golden, &changes);
        assert!(!schema.is_valid(&letter), "{letter}");
    }
    let tombstone = with(JUNK, &[("originalB64", json!("-"))]);
    assert!(schema.is_valid(&tombstone));
}

#[test]
fn codes_languages_and_stages_are_the_same_lists_everywhere() {
    let [result, letter] = [RESULT_SCHEMA, LETTER_SCHEMA].map(|text| serde_json::from_str::<Value>(text).unwrap());
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| json!(code)).collect();
    assert_eq!(letter["properties"]["errorCode"]["enum"], json!(codes));
    let or_null = |mut list: Vec<Value>| {
        list.push(Value::Null);
        Value::from(list)
    };
    assert_eq!(result["properties"]["errorCode"]["enum"], or_null(codes));
    let languages = Language::all().map(|language| json!(language)).collect();
    assert_eq!(result["properties"]["detectedLanguage"]["enum"], or_null(languages));
    let letters = validator(LETTER_SCHEMA);
    for code in ErrorCode::ALL {
        let letter = with(
            LETTER,
            &[("errorCode", json!(code)), ("failureStage", json!(code.stage()))],
        );
        assert!(letters.is_valid(&letter), "{letter}");
    }
}

/// That the worker writes these very bytes is tested where it writes them, in stt-core.
#[test]
fn golden_messages_fit_their_schemas_and_are_written_as_they_are_read() {
    fn check(schema: &str, goldens: &[&str], written: impl Fn(&str) -> Vec<u8>) {
        let schema = validator(schema);
        for golden in goldens {
            schema.validate(&serde_json::from_str(golden).unwrap()).unwrap();
            assert_eq!(String::from_utf8(written(golden)).unwrap(), golden.trim_end());
        }
    }
    check(RESULT_SCHEMA, &[COMPLETED, DETAIL, FAILED], |golden| {
        serde_json::to_vec(&serde_json::from_str::<JobResult>(golden).unwrap()).unwrap()
    });
    check(LETTER_SCHEMA, &[LETTER, JUNK], |golden| {
        DeadLetter::parse(golden.as_bytes()).unwrap().to_json()
    });
    validator(JOB_SCHEMA)
        .validate(&serde_json::from_str(JOB).unwrap())
        .unwrap();
    Job::parse(JOB.as_bytes()).unwrap();
}

#[test]
fn the_table_of_codes_in_the_docs_is_the_list() {
    let docs = include_str!("../../../docs/wire.md");
    let rows: Vec<_> = docs
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 5)
        .collect();
    let expected = ErrorCode::ALL
        .iter()
        .map(|code| format!("| `{code}` | {} | {} |", code.stage(), code.meaning()));
    let expected: Vec<_> = expected.collect();
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(row.starts_with(expected), "docs/wire.md has {row}, not {expected}");
    }
}
