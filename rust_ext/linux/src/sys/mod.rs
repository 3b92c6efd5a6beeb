//! System calls: TUN, UDP sockets, polling, clocks and randomness.

pub mod clock;
mod cmsg;
pub mod deadline;
pub mod entropy;
pub mod epoll;
#[cfg(test)]
pub(crate) mod namespace;
pub mod signals;
pub mod socket_address;
pub mod tun;
pub mod udp;

/// Turns a negative result of a libc call into the error that errno names.
fn check(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
