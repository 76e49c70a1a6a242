//! The records that producers write.

use stt_core::Header;

use crate::script::{Class, Kind};

/// What a produced record asks for, and what happened to it so far.
#[derive(Clone, Debug)]
pub(crate) struct JobSpec {
    pub kind: Kind,
    /// Which spec's payload this has: its own number, unless it is a duplicate.
    pub payload_of: usize,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    /// How many times workers ran it.
    pub runs: u64,
    /// How many processes it killed.
    pub kills: u64,
}

/// Number `number` of the records produced; `earlier` are those before it.
pub(crate) fn make(number: usize, kind: Kind, earlier: &[JobSpec]) -> JobSpec {
    let n = kind.n as usize;
    let id = format!("00000000-0000-4000-8000-{number:012x}");
    let header = |key: &str, value: Vec<u8>| Header {
        key: key.to_owned(),
        value: Some(value),
    };
    // Few enough that a site has more jobs than places.
    let site = number * number % 3;
    let job = format!(
        r#"{{"jobId":"{id}","taskId":"{id}","audioUrl":"https://audio{site}.example/{number}","createdAt":"2026-01-02T03:04:05Z","correlationId":"c{number}"}}"#
    );
    let mut spec = JobSpec {
        kind,
        payload_of: number,
        key: Some(format!("k{number}").into_bytes()),
        payload: Some(job.into_bytes()),
        headers: vec![],
        runs: 0,
        kills: 0,
    };
    match kind.class {
        Class::Keyless => spec.key = None,
        Class::LongKey => spec.key = Some(format!("k{number:0>n$}").into_bytes()),
        Class::Junk | Class::ForgedJunk => spec.payload = Some(vec![0xff; n.min(2_000_000)]),
        Class::KeylessJunk => (spec.key, spec.payload) = (None, Some(vec![0xff; n])),
        Class::LargeJson => {
            spec.payload = Some(format!(r#"{{"jobId":"{id}","text":"{}"}}"#, "x".repeat(n)).into_bytes())
        }
        Class::Tombstone => spec.payload = None,
        Class::ForgedOrigin => {
            spec.headers = vec![
                header("original-topic", vec![b'x'; n]),
                header("original-partition", b"0".to_vec()),
                header("original-offset", b"7".to_vec()),
            ];
        }
        Class::Duplicate | Class::Replay => {
            let original = earlier.iter().rev().filter(|spec| is_job(spec)).nth(n);
            if let Some(original) = original {
                (spec.payload, spec.payload_of) = (original.payload.clone(), original.payload_of);
            }
            if kind.class == Class::Replay {
                spec.headers.push(header("dedup", b"off".to_vec()));
            }
        }
        _ => {}
    }
    if matches!(kind.class, Class::ForgedDelay | Class::ForgedJunk) {
        let wait = if kind.class == Class::ForgedJunk { 60_000 } else { n };
        spec.headers = vec![header("retry-delay-ms", wait.to_string().into_bytes())];
        if kind.class == Class::ForgedDelay {
            spec.headers.push(header("attempt", b"2".to_vec()));
        }
    }
    spec
}

fn is_job(spec: &JobSpec) -> bool {
    !spec.kind.class.is_junk() && !matches!(spec.kind.class, Class::Duplicate | Class::Replay)
}
