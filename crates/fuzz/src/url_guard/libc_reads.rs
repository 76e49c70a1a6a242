//! Which hosts the C library takes for addresses: it is what resolves them.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

unsafe extern "C" {
    /// inet(3): reads every spelling of an IPv4 address, into network byte order; 0 when it is none.
    fn inet_aton(text: *const c_char, address: *mut u32) -> c_int;
}

/// The address that the host of a URL is, without anything being looked up.
pub(super) fn address(host: &str) -> Option<IpAddr> {
    if let Some(inner) = host.strip_prefix('[') {
        let v6: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(v6.into());
    }
    let text = CString::new(host).ok()?;
    let mut address = 0;
    // SAFETY: `text` is a C string and `address` an `in_addr`, which is four bytes; both live through the call, which keeps
    // neither.
    let is_read = unsafe { inet_aton(text.as_ptr(), &mut address) } != 0;
    is_read.then(|| Ipv4Addr::from(address.to_ne_bytes()).into())
}
