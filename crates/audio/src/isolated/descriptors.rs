//! What a process was started with and does not want.
#![allow(unsafe_code)]

use std::io;

/// Closes every descriptor but the three standard ones. Libraries that open theirs without `O_CLOEXEC` hand them to every
/// process that is started: sockets, files of other jobs.
pub(super) fn close_inherited() -> io::Result<()> {
    let first: libc::c_uint = 3;
    // SAFETY: only a process that began just now calls this, as the first thing it does with descriptors, before any value
    // of it owns one above the standard three; so none is closed beneath its owner. The call takes three plain numbers.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Linux before 5.9, or a sandbox that does not know it.
        Some(libc::ENOSYS | libc::EPERM) => close_one_by_one(),
        _ => Err(error),
    }
}

fn close_one_by_one() -> io::Result<()> {
    let entries = std::fs::read_dir("/proc/self/fd")?.map_while(Result::ok);
    let numbers: Vec<i32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // SAFETY: as above. The directory that was read is closed by now, and a number that is not open is refused.
        unsafe { libc::close(number) };
    }
    Ok(())
}
