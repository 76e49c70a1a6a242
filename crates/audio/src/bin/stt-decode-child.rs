//! A program that only decodes, for services that embed `IsolatedDecode` and cannot begin their own program anew.
//! `stt-worker` needs it not: it is its own decoder.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match stt_audio::decode_child() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "stt-decode-child: {error}");
            ExitCode::FAILURE
        }
    }
}
