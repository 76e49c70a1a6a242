//! What anyone sends to a port: see [`stt_fuzz::ports`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stt_fuzz::ports::check(input));
