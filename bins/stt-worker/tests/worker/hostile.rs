//! What strangers send, and how each of it ends.

use std::fs;

use stt_testkit::faulty::{
    body, cut, endless_body, endless_headers, gzip_bomb, huge, redirect, silence, site, status, too_short, unavailable,
};

use crate::place::job;
use crate::support::fixture;

/// A job that cannot be done.
pub(crate) struct Hostile {
    /// A URL, or a path of [`Strangers`]; empty for what is no job at all.
    audio: &'static str,
    /// The code of its dead letter.
    pub(crate) code: &'static str,
    /// How often it is tried.
    pub(crate) tries: u32,
}

const fn once(audio: &'static str, code: &'static str) -> Hostile {
    let tries = 1;
    Hostile { audio, code, tries }
}

/// As often as `MAX_ATTEMPTS` is by default: the fault may pass.
const fn again(audio: &'static str, code: &'static str) -> Hostile {
    let tries = 3;
    Hostile { audio, code, tries }
}

const MANY: [Hostile; 20] = [
    once("", "INVALID_JSON"),
    once("ftp://media.example/a.wav", "INVALID_AUDIO_URL"),
    once("http://me:secret@media.example/a.wav", "INVALID_AUDIO_URL"),
    once("http://10.0.0.1/a.wav", "SSRF_BLOCKED"),
    once("http://[::ffff:169.254.169.254]/latest/meta-data", "SSRF_BLOCKED"),
    once("/to-metadata", "SSRF_BLOCKED"),
    once("/to-itself", "DOWNLOAD_FAILED"),
    once("/gone", "DOWNLOAD_HTTP_STATUS"),
    again("/unavailable", "DOWNLOAD_HTTP_STATUS"),
    again("/too-short", "DOWNLOAD_FAILED"),
    again("/cut", "DOWNLOAD_FAILED"),
    again("/endless-headers", "DOWNLOAD_FAILED"),
    once("/huge", "AUDIO_TOO_LARGE"),
    once("/bomb", "AUDIO_UNSUPPORTED_FORMAT"),
    once("/empty", "AUDIO_EMPTY"),
    once("/text", "AUDIO_UNSUPPORTED_FORMAT"),
    once("/list", "AUDIO_UNSUPPORTED_FORMAT"),
    once("/torn", "AUDIO_DECODE_FAILED"),
    once("/noise", "AUDIO_UNSUPPORTED_FORMAT"),
    once("/long", "AUDIO_TOO_LONG"),
];

/// Of those that take the server or a worker long there are few.
const FEW: [(u32, Hostile); 2] = [
    (250, once("/endless", "AUDIO_TOO_LARGE")),
    (500, again("/silent", "DOWNLOAD_TIMEOUT")),
];

/// The hostile job of this number.
pub(crate) fn hostile(number: u32) -> &'static Hostile {
    let few = FEW.iter().find(|(every, _)| number.is_multiple_of(*every));
    few.map_or(&MANY[number as usize % MANY.len()], |(_, hostile)| hostile)
}

/// Their servers.
pub(crate) struct Strangers(String);

impl Strangers {
    pub(crate) fn start() -> Self {
        let read = |name: &str| fs::read(fixture("audio").join(name)).unwrap();
        let (good, long, mut torn) = (read("en-000.wav"), read("en-long-03.m4a"), read("en-003.m4a"));
        torn.truncate(torn.windows(4).position(|tag| tag == b"moov").unwrap());
        let noise: Vec<u8> = (0..4_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        Self(site(move |path| match path {
            "/good" => body(&good),
            "/to-metadata" => redirect("http://169.254.169.254/latest/meta-data"),
            "/to-itself" => redirect("/to-itself"),
            "/unavailable" => unavailable(0),
            "/too-short" => too_short(100_000, &good[..1_000]),
            "/cut" => cut(),
            "/endless-headers" => endless_headers(),
            "/huge" => huge(1 << 40),
            "/bomb" => gzip_bomb(),
            "/empty" => body(b""),
            "/text" => body(&b"Minutes of the meeting.\n".repeat(100)),
            "/list" => body(b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
            "/torn" => body(&torn),
            "/noise" => body(&noise),
            "/long" => body(&long),
            "/endless" => endless_body(),
            "/silent" => silence(""),
            _ => status(404, ""),
        }))
    }

    /// The payload of a hostile job.
    pub(crate) fn bad(&self, number: u32) -> Vec<u8> {
        match hostile(number).audio {
            "" => b"not a job".to_vec(),
            path if path.starts_with('/') => self.at(number, path),
            url => job(number, url),
        }
    }

    /// A job for what lies there.
    pub(crate) fn at(&self, number: u32, path: &str) -> Vec<u8> {
        job(number, &format!("{}{path}", self.0))
    }
}
