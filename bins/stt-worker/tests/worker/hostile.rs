//! What strangers send, and how each of it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use stt_testkit::faulty::{
    body, cut, endless_body, endless_headers, gzip_bomb, huge, redirect, silence, site, site_at, status, too_short,
    unavailable,
};

use stt_core::{Clock as _, Header, SystemClock};

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

/// What a path may hold: whoever reads logs or results must not see it.
pub(crate) const TOKEN: &str = "bot110201543-AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

const MANY: [Hostile; 22] = [
    once("", "INVALID_JSON"),
    once("ftp://media.example/a.wav", "INVALID_AUDIO_URL"),
    once("http://me:secret@media.example/a.wav", "INVALID_AUDIO_URL"),
    once("http://10.0.0.1/a.wav", "SSRF_BLOCKED"),
    once("http://[::ffff:169.254.169.254]/latest/meta-data", "SSRF_BLOCKED"),
    once("/to-metadata", "SSRF_BLOCKED"),
    once("/to-itself", "DOWNLOAD_FAILED"),
    once("/gone", "DOWNLOAD_HTTP_STATUS"),
    once(FORGED, "DOWNLOAD_HTTP_STATUS"),
    once(
        "/bot110201543-AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/note.ogg",
        "DOWNLOAD_HTTP_STATUS",
    ),
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

/// With headers that are the worker's own.
const FORGED: &str = "/forged";

/// Larger than any job, and no JSON.
const BIG: &str = "big";

/// Of these there are three, as each takes two minutes.
const MINUTE: u32 = 400;

/// Of those that take the server, the broker or a worker long there are few.
const FEW: [(u32, Hostile); 5] = [
    (MINUTE, again("/unavailable-for-a-minute", "DOWNLOAD_HTTP_STATUS")),
    (500, again("/silent", "DOWNLOAD_TIMEOUT")),
    (250, once("/endless", "AUDIO_TOO_LARGE")),
    (110, once(BIG, "INVALID_JSON")),
    (70, again("/reset", "DOWNLOAD_FAILED")),
];

/// The hostile job of this number. What waits for minutes comes early.
pub(crate) fn hostile(number: u32) -> &'static Hostile {
    let is_its_turn =
        |every: u32| number.is_multiple_of(every) && (every != MINUTE || (2_000..3_000).contains(&number));
    let few = FEW.iter().find(|(every, _)| is_its_turn(*every));
    few.map_or(&MANY[number as usize % MANY.len()], |(_, hostile)| hostile)
}

/// Their servers, and one that is not theirs.
pub(crate) struct Strangers {
    base: String,
    resets: String,
    /// Of another host.
    good: String,
}

impl Strangers {
    pub(crate) fn start() -> Self {
        let read = |name: &str| fs::read(fixture("audio").join(name)).unwrap();
        let (good, long, mut torn) = (read("en-000.wav"), read("en-long-03.m4a"), read("en-003.m4a"));
        torn.truncate(torn.windows(4).position(|tag| tag == b"moov").unwrap());
        let noise: Vec<u8> = (0..4_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let (rest, half) = (good.clone(), good[..1_000].to_vec());
        let base = site(move |path| match path {
            "/good" => body(&good),
            "/good-but-slow" => {
                let good = good.clone();
                Box::new(move |stream| {
                    SystemClock.sleep(Duration::from_millis(1_500));
                    body(&good)(stream);
                })
            }
            "/to-metadata" => redirect("http://169.254.169.254/latest/meta-data"),
            "/to-itself" => redirect("/to-itself"),
            "/unavailable" => unavailable(0),
            "/unavailable-for-a-minute" => unavailable(60),
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
            "/long-download" => body(&vec![0; 9_000_000]),
            "/endless" => endless_body(),
            "/silent" => silence(""),
            _ => status(404, ""),
        });
        Self {
            base,
            resets: resets(half),
            good: site_at("127.0.0.2", move |_| body(&rest)),
        }
    }

    /// A good job, whose host is not theirs.
    pub(crate) fn good(&self, number: u32) -> Vec<u8> {
        job(number, &format!("{}/good", self.good))
    }

    /// The payload of a hostile job.
    pub(crate) fn bad(&self, number: u32) -> Vec<u8> {
        match hostile(number).audio {
            "" => b"not a job".to_vec(),
            BIG => vec![0xff; 200_000],
            path if path.starts_with('/') => self.at(number, path),
            url => job(number, url),
        }
    }

    /// The headers of a hostile job: those that say how often it was tried, when it is due, and where it came from.
    pub(crate) fn headers(number: u32) -> Vec<Header> {
        if hostile(number).audio != FORGED {
            return vec![];
        }
        let forged = [
            ("attempt", "4294967295".to_owned()),
            ("retry-delay-ms", "999999999999".to_owned()),
            ("retry-not-before", "9999-12-31T23:59:59Z".to_owned()),
            ("original-topic", "x".repeat(10_000)),
        ];
        let more = (0..50).map(|number| (["original-offset", "last-error"][number % 2], "y".repeat(100)));
        let header = |(key, value): (&str, String)| Header {
            key: key.to_owned(),
            value: Some(value.into_bytes()),
        };
        forged.into_iter().chain(more).map(header).collect()
    }

    /// A job for what lies there.
    pub(crate) fn at(&self, number: u32, path: &str) -> Vec<u8> {
        let base = if path == "/reset" { &self.resets } else { &self.base };
        job(number, &format!("{base}{path}"))
    }
}

/// A server of bodies of no stated length that end by a reset: it leaves a part of the request unread.
fn resets(half: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let half = half.clone();
            std::thread::spawn(move || {
                let _ = stream.read_exact(&mut [0]);
                let _ = stream.write_all(&[b"HTTP/1.1 200 OK\r\n\r\n", &half[..]].concat());
                SystemClock.sleep(Duration::from_millis(20)); // a reset takes back what has not arrived
            });
        }
    });
    url
}
