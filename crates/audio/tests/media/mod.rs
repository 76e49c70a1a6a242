//! Media for tests: the fixtures, and what is made here.
#![allow(dead_code)] // each test binary uses its part

use std::f64::consts::TAU;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use stt_core::Clock;

fn audio() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/audio"))
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    fs::read(audio().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every audio fixture, by name.
pub(crate) fn fixtures() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(audio()).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with(".json") && !name.ends_with(".md"));
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), fixture(&name))).collect()
}

/// The form of a wav file.
#[derive(Clone, Copy)]
pub(crate) struct Wav {
    pub(crate) tag: u16,
    pub(crate) channels: u16,
    pub(crate) rate: u32,
    pub(crate) bits: u16,
    /// Length of the data that the header claims, where it lies.
    pub(crate) claimed: Option<u32>,
}

impl Default for Wav {
    fn default() -> Self {
        Self {
            tag: 1,
            channels: 1,
            rate: 16_000,
            bits: 16,
            claimed: None,
        }
    }
}

impl Wav {
    pub(crate) fn bytes(&self, data: &[u8]) -> Vec<u8> {
        let length = self.claimed.unwrap_or(data.len() as u32);
        let block = self.channels * self.bits / 8;
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36 + length).to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0");
        bytes.extend(self.tag.to_le_bytes());
        bytes.extend(self.channels.to_le_bytes());
        bytes.extend(self.rate.to_le_bytes());
        bytes.extend((self.rate * u32::from(block)).to_le_bytes());
        bytes.extend(block.to_le_bytes());
        bytes.extend(self.bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(length.to_le_bytes());
        bytes.extend(data);
        bytes
    }

    /// 440 Hz at half of full scale, 16 bit.
    pub(crate) fn tone(rate: u32, seconds: f64) -> Vec<u8> {
        let count = (f64::from(rate) * seconds) as u32;
        let sample = |n: u32| (f64::from(n) / f64::from(rate) * 440.0 * TAU).sin() * 16_384.0;
        (0..count)
            .flat_map(|n| (sample(n).round() as i16).to_le_bytes())
            .collect()
    }
}

/// A Matroska file with a video track and no other.
pub(crate) fn silent_film() -> Vec<u8> {
    fn element(id: &[u8], data: &[u8]) -> Vec<u8> {
        let size = 0x1000_0000 | data.len() as u32;
        [id, &size.to_be_bytes(), data].concat()
    }
    let doctype = element(b"\x42\x82", b"webm");
    let size = [element(b"\xb0", &[16]), element(b"\xba", &[16])].concat();
    let track = [
        element(b"\xd7", &[1]),
        element(b"\x73\xc5", &[1]),
        element(b"\x83", &[1]),
        element(b"\x86", b"V_VP8"),
        element(b"\xe0", &size),
    ];
    let tracks = element(b"\x16\x54\xae\x6b", &element(b"\xae", &track.concat()));
    let info = element(
        b"\x15\x49\xa9\x66",
        &element(b"\x2a\xd7\xb1", &1_000_000_u32.to_be_bytes()),
    );
    let block = element(b"\xa3", &[&b"\x81\0\0\x80"[..], &[0; 20]].concat());
    let cluster = element(b"\x1f\x43\xb6\x75", &[element(b"\xe7", &[0]), block].concat());
    let segment = element(b"\x18\x53\x80\x67", &[info, tracks, cluster].concat());
    [element(b"\x1a\x45\xdf\xa3", &doctype), segment].concat()
}

/// A clock on which every look takes a second.
pub(crate) struct Ticks(Instant, AtomicU64);

impl Default for Ticks {
    fn default() -> Self {
        Self(Instant::now(), AtomicU64::new(0))
    }
}

impl Clock for Ticks {
    fn now(&self) -> Instant {
        self.0 + Duration::from_secs(self.1.fetch_add(1, Ordering::Relaxed))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep(&self, _: Duration) {}
}
