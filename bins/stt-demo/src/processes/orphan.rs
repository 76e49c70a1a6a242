//! No child outlives the demo, not even one killed by SIGKILL, which runs no destructor.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// The kernel sends SIGTERM to what `command` starts when the thread that starts it ends.
pub(super) fn end_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: the closure runs in the child between fork and exec, where only what is async-signal-safe may be done. It
    // makes two system calls (prctl, getppid) through wrappers that neither allocate nor lock, and its errors are plain
    // numbers; it captures one integer.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::TERM))?;
            // The parent may have ended before the line above, and then no signal would come.
            if getppid() == Some(parent) {
                Ok(())
            } else {
                Err(io::Error::from(Errno::SRCH))
            }
        });
    }
}
