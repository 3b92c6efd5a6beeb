//! UDP sockets as a tunnel wants them: batches out, batches in, addresses and ECN beside them.
//!
//! In: a port or a descriptor. Out: `Sender` and `Receiver` move batches with one system call;
//! everything they need was allocated at the start. Drops: nothing. Order: as given.

mod offload;
mod receive;
mod send;

use std::{
    io,
    mem::size_of,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

pub use self::{
    offload::{gso_is_sound, max_gso_segments},
    receive::{RECEIVE_BUFFER_LENGTH, Receiver},
    send::{Outgoing, SendFailure, Sender, classify_send_failure},
};
use crate::sys::{epoll::check, socket_address::Raw};

/// Receive and send buffer, as wireguard-go's socketBufferSize: a default one loses thousands of
/// datagrams of one fast flow.
const BUFFER_BYTES: libc::c_int = 7 << 20;

/// Attempts at finding a port that is free on both families.
const PORT_ATTEMPTS: u32 = 100;

/// One socket of one family.
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    ipv4: bool,
    port: u16,
}

impl UdpSocket {
    /// Binds a socket of one family to a port on all addresses.
    ///
    /// # Errors
    /// The kernel's: `AddrInUse`, EAFNOSUPPORT without IPv6, `PermissionDenied` for a mark without
    /// CAP_NET_ADMIN.
    pub fn bind(ipv4: bool, port: u16, fwmark: u32) -> io::Result<Self> {
        let family = if ipv4 { libc::AF_INET } else { libc::AF_INET6 };
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the call takes no pointers.
        let fd = check(unsafe { libc::socket(family, kind, 0) })?;
        // SAFETY: the kernel just made the descriptor, and nobody else has it.
        let mut socket = Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, ipv4, port };
        if !ipv4 {
            socket.set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        if fwmark != 0 {
            socket.set_fwmark(fwmark)?;
        }
        let any: SocketAddr = if ipv4 {
            (Ipv4Addr::UNSPECIFIED, port).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, port).into()
        };
        let (mut address, length) = Raw::new(&any);
        // SAFETY: `address` outlives the call and has `length` bytes.
        check(unsafe { libc::bind(socket.raw(), address.as_mut_ptr().cast(), length) })?;
        // Asked for any, the kernel has chosen one.
        socket.port = socket.local_address()?.map_or(port, |address| address.port());
        socket.configure()?;
        Ok(socket)
    }

    /// Takes over a bound socket.
    ///
    /// # Errors
    /// The kernel's, and `InvalidInput` where it is no UDP socket.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = Self { fd, ipv4: true, port: 0 };
        let address = socket.local_address()?;
        let kind = socket.get(libc::SOL_SOCKET, libc::SO_TYPE)?;
        let Some(address) = address.filter(|_| kind == libc::SOCK_DGRAM) else {
            let text = "the descriptor is no UDP socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let socket = Self { ipv4: address.is_ipv4(), port: address.port(), ..socket };
        socket.configure()?;
        Ok(socket)
    }

    fn configure(&self) -> io::Result<()> {
        let (ip, ip6) = (libc::IPPROTO_IP, libc::IPPROTO_IPV6);
        if self.ipv4 {
            self.set(ip, libc::IP_PKTINFO, 1)?;
            self.set(ip, libc::IP_RECVTOS, 1)?;
            self.set(ip, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_WANT)?;
        } else {
            self.set(ip6, libc::IPV6_RECVPKTINFO, 1)?;
            self.set(ip6, libc::IPV6_RECVTCLASS, 1)?;
            self.set(ip6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_WANT)?;
        }
        self.set(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        // Best effort: a user namespace may not force them, and gets what rmem_max allows.
        for (force, plain) in
            [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
        {
            if self.set(libc::SOL_SOCKET, force, BUFFER_BYTES).is_err() {
                self.set(libc::SOL_SOCKET, plain, BUFFER_BYTES)?;
            }
        }
        // SAFETY: the calls take no pointers.
        unsafe {
            let flags = check(libc::fcntl(self.raw(), libc::F_GETFL))?;
            check(libc::fcntl(self.raw(), libc::F_SETFL, flags | libc::O_NONBLOCK))?;
        }
        Ok(())
    }

    /// Whether several datagrams of one length may come in one buffer (UDP_GRO, Linux 5.0).
    ///
    /// # Errors
    /// The kernel's, where it should be on and cannot.
    pub fn set_gro(&self, on: bool) -> io::Result<()> {
        match self.set(libc::SOL_UDP, libc::UDP_GRO, libc::c_int::from(on)) {
            Err(error) if on => Err(error),
            _ => Ok(()),
        }
    }

    /// The mark of what is sent (0: none).
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_NET_ADMIN.
    pub fn set_fwmark(&self, mark: u32) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_MARK, mark as libc::c_int)
    }

    /// The port it is bound to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is IPv4's.
    pub fn is_ipv4(&self) -> bool {
        self.ipv4
    }

    /// Bytes of the receive buffer that the kernel granted (it counts twice what it was asked).
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.get(libc::SOL_SOCKET, libc::SO_RCVBUF)? as usize / 2)
    }

    /// Where it is bound; `None` for another family than IP.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_address(&self) -> io::Result<Option<SocketAddr>> {
        let mut address = Raw::empty();
        let mut length = size_of::<Raw>() as libc::socklen_t;
        // SAFETY: both outlive the call; the kernel writes at most `length` bytes.
        check(unsafe {
            libc::getsockname(self.raw(), address.as_mut_ptr().cast(), &raw mut length)
        })?;
        Ok(address.read())
    }

    /// Gives the descriptor away.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    pub(crate) fn raw(&self) -> libc::c_int {
        self.fd.as_raw_fd()
    }

    pub(crate) fn set(
        &self,
        level: libc::c_int,
        option: libc::c_int,
        value: libc::c_int,
    ) -> io::Result<()> {
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: `value` outlives the call and has `length` bytes.
        check(unsafe {
            libc::setsockopt(self.raw(), level, option, (&raw const value).cast(), length)
        })?;
        Ok(())
    }

    pub(crate) fn get(&self, level: libc::c_int, option: libc::c_int) -> io::Result<libc::c_int> {
        let mut value: libc::c_int = 0;
        let mut length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: both outlive the call; the kernel writes at most `length` bytes.
        check(unsafe {
            libc::getsockopt(self.raw(), level, option, (&raw mut value).cast(), &raw mut length)
        })?;
        Ok(value)
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Binds both families to one port; without IPv6 in the kernel, IPv4 alone.
///
/// # Errors
/// `AddrInUse` where the port, or for port 0 every port tried, is taken on one of them.
pub fn bind_pair(port: u16, fwmark: u32) -> io::Result<(UdpSocket, Option<UdpSocket>, u16)> {
    for attempt in 0.. {
        let v4 = UdpSocket::bind(true, port, fwmark)?;
        let bound = v4.local_address()?.map_or(port, |address| address.port());
        match UdpSocket::bind(false, bound, fwmark) {
            Ok(v6) => return Ok((v4, Some(v6), bound)),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
                ) =>
            {
                return Ok((v4, None, bound));
            }
            Err(error)
                if port == 0
                    && attempt < PORT_ATTEMPTS
                    && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the loop returns")
}

#[cfg(test)]
mod tests;
