//! What a decoding process says: see [`stt_fuzz::child`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stt_fuzz::child::check(input));
