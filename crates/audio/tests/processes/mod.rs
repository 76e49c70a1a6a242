//! What this process has: children, descriptors, threads.
#![allow(dead_code)] // each test binary uses its part

use std::fs;

use rustix::process::{Pid, getpid};

/// Our processes, zombies too.
pub(crate) fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero();
    let entries = fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_ours = |number: &i32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned());
        let parent = after_name.and_then(|rest| rest.split(' ').nth(1)?.parse::<i32>().ok());
        parent == Some(own.get())
    };
    numbers
        .filter(is_ours)
        .map(|number| Pid::from_raw(number).unwrap())
        .collect()
}

pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// The most memory that a process had, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    pub(crate) mapped: u64,
    pub(crate) resident: u64,
}

/// `None` when it is gone.
pub(crate) fn peak(process: Pid) -> Option<Peak> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1_024)
    };
    Some(Peak {
        mapped: field("VmPeak:")?,
        resident: field("VmHWM:")?,
    })
}

/// Most bytes that a process may map; `None` when there is no limit, or no process.
pub(crate) fn mapped_max(process: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.as_raw_nonzero())).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}
