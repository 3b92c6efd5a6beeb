//! Socket addresses between Rust and the kernel.

use std::{
    ffi::CString,
    mem::{size_of, zeroed},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// Reads "ip:port" or "[ip6]:port". An IPv6 scope is a number, or the name of an interface in the
/// calling thread's network namespace, as getnameinfo(3) writes it and so `wg` sends it.
pub fn parse(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let (address, scope_and_port) = text.split_once('%')?;
        let (scope, port) = scope_and_port.split_once("]:")?;
        let name = CString::new(scope).ok()?;
        // SAFETY: the name ends with a zero byte.
        match unsafe { libc::if_nametoindex(name.as_ptr()) } {
            0 => None,
            index => format!("{address}%{index}]:{port}").parse().ok(),
        }
    })
}

/// A kernel socket address of either family, and its length.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union Raw {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Raw {
    pub(crate) fn empty() -> Self {
        // SAFETY: a socket address of zeros (AF_UNSPEC) is valid.
        unsafe { zeroed() }
    }

    pub(crate) fn new(address: &SocketAddr) -> (Self, libc::socklen_t) {
        let mut raw = Self::empty();
        match address {
            SocketAddr::V4(v4) => {
                raw.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                (raw, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                raw.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                (raw, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    /// The address, where the kernel wrote one of a known family.
    pub(crate) fn read(&self) -> Option<SocketAddr> {
        // SAFETY: every bit pattern is a valid family, and the union was zeroed before the kernel
        // wrote into it, so that the field of that family is initialised.
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
    fn an_address_comes_back_as_it_went_with_port_and_scope() {
        for address in ["192.0.2.1:51820", "[2001:db8::1]:1", "[fe80::1%3]:65535"] {
            let address: SocketAddr = address.parse().unwrap();
            let (raw, length) = Raw::new(&address);
            assert_eq!(raw.read(), Some(address));
            assert_eq!(length, if address.is_ipv4() { 16 } else { 28 });
        }
    }

    #[test]
    fn a_scope_may_be_the_name_of_an_interface() {
        assert_eq!(parse("[fe80::1%lo]:7"), parse("[fe80::1%1]:7"));
        assert_eq!(parse("192.0.2.1:7"), "192.0.2.1:7".parse().ok());
        for wrong in ["[fe80::1%no-such]:7", "[fe80::1%lo]", "192.0.2.1%lo:7", "[fe80::1%]:7"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_family_is_no_address() {
        assert_eq!(Raw::empty().read(), None);
    }
}
