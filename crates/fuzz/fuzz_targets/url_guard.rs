//! Whom a stranger's URL leads to: see [`stt_fuzz::url_guard`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stt_fuzz::url_guard::check(input));
