//! Out of the hands of a process: files, the network, other programs and processes.

use std::collections::BTreeMap;
use std::io;
use std::process;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Descriptors: the three standard ones, the socket, the media, and a few to spare.
const DESCRIPTORS_MAX: u64 = 8;

/// What of [`contain`] the kernel offers; the rest holds on every kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Containment {
    /// System calls are those of a list: no file can be opened, no socket made, no program or process started.
    pub seccomp: bool,
    /// The version of Landlock whose rules hold: no file and no port. 0 for none; Linux 6.1 (Debian 12) has 2.
    pub landlock: u8,
}

impl Containment {
    /// What this kernel lacks, for people; empty when all holds.
    #[must_use]
    pub fn lacks(self) -> Vec<&'static str> {
        // By the version of Landlock that brought each. Without it seccomp alone refuses the calls.
        const RIGHTS: [(u8, &str); 6] = [
            (1, "Landlock"),
            (2, "Landlock's rule for links and renames"),
            (3, "Landlock's rule for truncation"),
            (4, "Landlock's rule for TCP ports"),
            (5, "Landlock's rule for devices"),
            (6, "Landlock's rules for signals and abstract sockets"),
        ];
        let rights = RIGHTS.iter().filter(|(version, _)| *version > self.landlock);
        // Without Landlock its rules need not be told one by one.
        let rights = rights.take(if self.landlock == 0 { 1 } else { RIGHTS.len() });
        let seccomp = (!self.seccomp).then_some("seccomp");
        seccomp.into_iter().chain(rights.map(|(_, right)| *right)).collect()
    }
}

/// Shuts this process in, for good: from here on it computes, reads and writes what is open, allocates memory, and can do
/// nothing else. Files are not written (`RLIMIT_FSIZE` 0), at most 8 descriptors are open, no process is started
/// (`RLIMIT_NPROC` 0), nothing is dumped and no other process of the user may look in (`PR_SET_DUMPABLE` 0), no privilege
/// is gained; and, where the kernel has them, no path and no port are reached (Landlock), and system calls beyond a short
/// list fail with `EPERM`, of which those that open files or sockets, start programs or trace processes end it by SIGSYS
/// (seccomp). Everything that is needed must be loaded before. Calls that the list lacks include
/// those that start threads, so it holds for the calling thread, which must be the only one.
///
/// # Errors
/// When a limit cannot be set. Where the kernel lacks seccomp or Landlock the answer says so.
pub fn contain() -> io::Result<Containment> {
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let most = |number| Rlimit {
        current: Some(number),
        maximum: Some(number),
    };
    setrlimit(Resource::Core, most(0))?;
    setrlimit(Resource::Fsize, most(0))?;
    setrlimit(Resource::Nproc, most(0))?;
    let landlock = landlock(); // a descriptor for a while
    setrlimit(Resource::Nofile, most(DESCRIPTORS_MAX))?;
    let filters = filters().map_err(io::Error::other)?;
    let applied = |filter: &BpfProgram| seccompiler::apply_filter(filter).is_ok();
    Ok(Containment {
        seccomp: filters.is_some_and(|filters| filters.iter().all(applied)),
        landlock,
    })
}

/// The version that holds.
fn landlock() -> u8 {
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V7))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V7)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V7)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.restrict_self());
    match rules {
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => landlock_version(),
        _ => 0,
    }
}

/// landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION.
#[allow(unsafe_code)]
fn landlock_version() -> u8 {
    // SAFETY: with this flag the call takes no memory and makes no descriptor; it gives a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            1_u32,
        )
    };
    u8::try_from(version).unwrap_or(0)
}

/// In this order, as the last forbids what applies filters. `None` for a processor that they have no form for.
fn filters() -> Result<Option<[BpfProgram; 2]>, seccompiler::BackendError> {
    let Ok(arch) = std::env::consts::ARCH.try_into() else {
        return Ok(None);
    };
    // Where filters differ the kernel takes the strictest action (seccomp(2)).
    let fatal = fatal().map(|call| (call, vec![])).collect();
    let fatal = SeccompFilter::new(fatal, SeccompAction::Allow, SeccompAction::KillProcess, arch)?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let allowed = SeccompFilter::new(rules()?, refuse, SeccompAction::Allow, arch)?;
    Ok(Some([fatal.try_into()?, allowed.try_into()?]))
}

/// Calls that decoding never makes, and whoever has taken it over makes first.
fn fatal() -> impl Iterator<Item = i64> {
    let calls = [
        libc::SYS_execve,
        libc::SYS_execveat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
    ];
    calls.into_iter()
}

/// What decoding needs.
fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let free = [
        // what is open
        libc::SYS_read,
        libc::SYS_pread64,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_recvmsg,
        libc::SYS_close,
        // memory
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        // time, locks, dice
        libc::SYS_clock_gettime,
        libc::SYS_gettimeofday,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getrandom,
        libc::SYS_restart_syscall,
        // itself, and its end
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let mut rules: BTreeMap<_, _> = free.into_iter().map(|call| (call, vec![])).collect();
    // No memory becomes code.
    let exec = u64::from(libc::PROT_EXEC.unsigned_abs());
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, only(2, SeccompCmpOp::MaskedEq(exec), 0)?);
    }
    // A signal to itself, as `abort` sends it.
    let own = u64::from(process::id());
    rules.insert(libc::SYS_tgkill, only(0, SeccompCmpOp::Eq, own)?);
    Ok(rules)
}

/// Allows calls whose argument of this number compares so.
fn only(argument: u8, compares: SeccompCmpOp, to: u64) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compares, to)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_lacks_has_a_name() {
        let lacks = |seccomp, landlock| Containment { seccomp, landlock }.lacks().join(", ");
        assert_eq!(lacks(true, 6), "");
        assert_eq!(lacks(false, 0), "seccomp, Landlock");
        assert_eq!(
            lacks(true, 4),
            "Landlock's rule for devices, Landlock's rules for signals and abstract sockets"
        );
    }
}
