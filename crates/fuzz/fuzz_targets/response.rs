//! What a server sends: see [`stt_fuzz::response`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stt_fuzz::response::check(input));
