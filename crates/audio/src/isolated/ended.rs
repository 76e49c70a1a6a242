//! What the end of a decoder says of the media that it had in hand.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use stt_core::{ErrorCode, Failure};

/// Signals that a process brings upon itself.
const OWN: [(i32, &str); 9] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGSYS, "SIGSYS"),
    (libc::SIGXFSZ, "SIGXFSZ"),
    (libc::SIGPIPE, "SIGPIPE"),
];

/// For good when the media did it: the same bytes do it again. Other signals come from outside, as from a kernel that is
/// out of memory, so that another try is worth its while.
pub(super) fn failure(status: ExitStatus) -> Failure {
    let code = ErrorCode::AudioDecodeFailed;
    let Some(signal) = status.signal() else {
        let exit = status.code().unwrap_or_default();
        return Failure::permanent(code, format!("the decoder ended with exit code {exit}"));
    };
    if signal == libc::SIGXCPU {
        let message = "decoding used more of the processor than a job may";
        return Failure::permanent(ErrorCode::TranscribeTimeout, message);
    }
    match OWN.iter().find(|(own, _)| *own == signal) {
        Some((_, name)) => Failure::permanent(code, format!("the decoder ended by signal {name}")),
        None if signal == libc::SIGKILL => Failure::transient(code, "the decoder was ended by signal SIGKILL"),
        None => Failure::transient(code, format!("the decoder was ended by signal {signal}")),
    }
}

/// Whether the filter of system calls ended it.
pub(super) fn is_violation(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGSYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stt_core::Fault;

    #[test]
    fn a_crash_is_the_medias_and_a_kill_is_not() {
        for (raw, fault, message) in [
            (libc::SIGSEGV, Fault::Permanent, "the decoder ended by signal SIGSEGV"),
            (
                libc::SIGABRT | 0x80,
                Fault::Permanent,
                "the decoder ended by signal SIGABRT",
            ),
            (101 << 8, Fault::Permanent, "the decoder ended with exit code 101"),
            (
                libc::SIGKILL,
                Fault::Transient { after: None },
                "the decoder was ended by signal SIGKILL",
            ),
            (
                libc::SIGTERM,
                Fault::Transient { after: None },
                "the decoder was ended by signal 15",
            ),
        ] {
            let failure = failure(ExitStatus::from_raw(raw));
            assert_eq!((failure.fault, failure.message.as_str()), (fault, message));
        }
    }
}
