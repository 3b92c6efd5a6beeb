//! Socket addresses between Rust and the kernel.

use std::{
    ffi::CString,
    io,
    mem::{size_of, zeroed},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// Parses "ip:port" or "[ip6]:port". An IPv6 scope is a number, or the name of an interface in the calling
/// thread's network namespace, as getnameinfo(3) and therefore `wg` write it.
pub fn parse(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let (address, scope_and_port) = text.split_once('%')?;
        let (scope, port) = scope_and_port.split_once("]:")?;
        let index = interface_index(scope).ok()?;
        format!("{address}%{index}]:{port}").parse().ok()
    })
}

/// Returns the index of an interface in the calling thread's network namespace.
///
/// # Errors
/// ENODEV if there is none of this name.
pub(crate) fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: `name` is NUL-terminated and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// A sockaddr of either family, as sendmmsg(2) and recvmmsg(2) take it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union SockAddr {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl SockAddr {
    pub(crate) fn empty() -> Self {
        // SAFETY: all fields are integers, so that zeros (AF_UNSPEC) are valid.
        unsafe { zeroed() }
    }

    /// Converts an address; returns its length as well.
    pub(crate) fn new(address: &SocketAddr) -> (Self, libc::socklen_t) {
        let mut sockaddr = Self::empty();
        match address {
            SocketAddr::V4(v4) => {
                sockaddr.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                (sockaddr, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                sockaddr.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                (sockaddr, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    /// Returns the address that the kernel wrote; `None` if its family is not IP.
    pub(crate) fn read(&self) -> Option<SocketAddr> {
        // SAFETY: all fields are integers, for which every bit pattern is valid, and the union was zeroed
        // before the kernel wrote into it, so that each field is initialised.
        unsafe {
            match libc::c_int::from(self.family) {
                libc::AF_INET => {
                    let ip = Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes());
                    Some(SocketAddrV4::new(ip, u16::from_be(self.v4.sin_port)).into())
                }
                libc::AF_INET6 => {
                    let ip = Ipv6Addr::from(self.v6.sin6_addr.s6_addr);
                    let (port, scope) = (u16::from_be(self.v6.sin6_port), self.v6.sin6_scope_id);
                    Some(SocketAddrV6::new(ip, port, 0, scope).into())
                }
                _ => None,
            }
        }
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut *self).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_with_port_and_scope() {
        for address in ["192.0.2.1:51820", "[2001:db8::1]:1", "[fe80::1%3]:65535"] {
            let address: SocketAddr = address.parse().unwrap();
            let (sockaddr, length) = SockAddr::new(&address);
            assert_eq!(sockaddr.read(), Some(address));
            assert_eq!(length, if address.is_ipv4() { 16 } else { 28 });
        }
    }

    #[test]
    fn a_scope_may_be_an_interface_name() {
        assert_eq!(parse("[fe80::1%lo]:7"), parse("[fe80::1%1]:7"));
        assert_eq!(parse("192.0.2.1:7"), "192.0.2.1:7".parse().ok());
        for wrong in ["[fe80::1%no-such]:7", "[fe80::1%lo]", "192.0.2.1%lo:7", "[fe80::1%]:7"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn other_families_are_not_addresses() {
        assert_eq!(SockAddr::empty().read(), None);
    }
}
