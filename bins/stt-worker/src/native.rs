//! Environment variables that native libraries read before `main`, or once for all.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use stt_settings::Environment;

/// Those that are not set yet: what an operator sets stays.
pub(crate) fn missing(
    wanted: &[(&'static str, &'static str)],
    environment: &Environment,
) -> Vec<(&'static str, &'static str)> {
    let is_missing = |(name, _): &&(&str, &str)| environment.get(name).is_none();
    wanted.iter().filter(is_missing).copied().collect()
}

/// Begins this process anew with these variables. Returns only with the reason why it cannot be done; then this process must
/// end, as its signals are no longer as Rust set them.
pub(crate) fn restart_with(variables: &[(&str, &str)]) -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    again.args(arguments).envs(variables.iter().copied()).exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_stays() {
        let wanted = [("OMP_WAIT_POLICY", "PASSIVE"), ("CT2_FORCE_CPU_ISA", "AVX512")];
        let environment = Environment::from_pairs([("CT2_FORCE_CPU_ISA", "AVX2")]);
        assert_eq!(missing(&wanted, &environment), [("OMP_WAIT_POLICY", "PASSIVE")]);
        let environment = Environment::from_pairs([("OMP_WAIT_POLICY", "ACTIVE"), ("CT2_FORCE_CPU_ISA", "AVX2")]);
        assert_eq!(missing(&wanted, &environment), [], "and nothing begins anew");
    }
}
