//! Bytes as audio: see [`stt_fuzz::decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stt_fuzz::decode::check(input));
