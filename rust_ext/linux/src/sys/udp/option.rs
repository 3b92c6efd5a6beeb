//! Integer socket options, for those that socket2 does not cover.

use std::{io, mem::size_of, os::fd::AsRawFd};

use socket2::Socket;

use crate::sys::check;

pub(super) fn set(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `value`, which outlives the call.
    check(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length)
    })?;
    Ok(())
}

pub(super) fn get(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let (to, length) = ((&raw mut value).cast(), &raw mut length);
    // SAFETY: the kernel writes at most `length` bytes to `value`, and both outlive the call.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, to, length) })?;
    Ok(value)
}
