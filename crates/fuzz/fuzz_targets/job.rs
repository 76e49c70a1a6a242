//! A record on its way in: see [`stt_fuzz::job`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stt_fuzz::job::check(input));
