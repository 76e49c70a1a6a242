//! Out of the hands of a process: files, the network, other programs and processes.

use std::collections::BTreeMap;
use std::io;
use std::process;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use rustix::process::{Resource, Rlimit, setrlimit};
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
    /// The Landlock rules of no file and no port hold.
    pub landlock: bool,
}

/// Shuts this process in, for good: from here on it computes, reads and writes what is open, allocates memory, and can do
/// nothing else. Files are not written (`RLIMIT_FSIZE` 0), at most 8 descriptors are open, nothing is dumped, no privilege
/// is gained; and, where the kernel has them, no path and no port are reached (Landlock), and system calls beyond a short
/// list fail with `EPERM` (seccomp). Everything that is needed must be loaded before. Calls that the list lacks include
/// those that start threads, so it holds for the calling thread, which must be the only one.
///
/// # Errors
/// When a limit cannot be set. Where the kernel lacks seccomp or Landlock the answer says so.
pub fn contain() -> io::Result<Containment> {
    set_no_new_privs(true)?;
    let most = |number| Rlimit {
        current: Some(number),
        maximum: Some(number),
    };
    setrlimit(Resource::Core, most(0))?;
    setrlimit(Resource::Fsize, most(0))?;
    let landlock = landlock(); // a descriptor for a while
    setrlimit(Resource::Nofile, most(DESCRIPTORS_MAX))?;
    let filter = filter().map_err(io::Error::other)?;
    Ok(Containment {
        seccomp: filter.is_some_and(|filter| seccompiler::apply_filter(&filter).is_ok()),
        landlock,
    })
}

fn landlock() -> bool {
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V7))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V7)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V7)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.restrict_self());
    rules.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
}

/// `None` for a processor that the filter has no form for.
fn filter() -> Result<Option<BpfProgram>, seccompiler::BackendError> {
    let Ok(arch) = std::env::consts::ARCH.try_into() else {
        return Ok(None);
    };
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules()?, refuse, SeccompAction::Allow, arch)?;
    BpfProgram::try_from(filter).map(Some)
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
