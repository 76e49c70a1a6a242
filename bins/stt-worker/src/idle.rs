//! Threads of native computations that sleep when they have nothing to do.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use stt_settings::Environment;

/// What OpenMP reads once, when it is loaded: before `main`.
const VARIABLE: &str = "OMP_WAIT_POLICY";

/// Unless the variable is set, begins this process anew with idle threads told to sleep. By default they spin: twice the
/// processor time, and on cores that others use too several times the wall time (docs/benchmarks.md). Returns only when
/// nothing is to be done, or with the reason why it cannot be done; then this process must end, as its signals are no longer
/// as Rust set them.
pub(crate) fn threads_sleep(environment: &Environment) -> Option<io::Error> {
    if environment.get(VARIABLE).is_some() {
        return None;
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Some(error),
    };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    Some(again.args(arguments).env(VARIABLE, "PASSIVE").exec())
}
