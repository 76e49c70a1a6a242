//! Where a redirect leads: see [`stt_fuzz::redirect`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stt_fuzz::redirect::check(input));
