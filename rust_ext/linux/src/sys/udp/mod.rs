//! UDP sockets: batches out, batches in, with addresses, DS byte and segment size in control messages.
//!
//! `Sender` and `Receiver` move a batch with one system call and allocate only when they are created.

mod offload;
mod option;
mod receive;
mod send;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use socket2::{Domain, Protocol, Socket, Type};

pub use self::{
    offload::{gso_is_sound, max_gso_segments},
    receive::{RECEIVE_BUFFER_LENGTH, Receiver},
    send::{Outgoing, SendFailure, Sender, classify_send_failure},
};

/// Size of the receive and of the send buffer, as wireguard-go's socketBufferSize: with the default size one
/// fast flow loses thousands of datagrams.
const BUFFER_BYTES: usize = 7 << 20;

/// Attempts to find a port that is free in both families.
const PORT_ATTEMPTS: u32 = 100;

/// A socket of one family.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    ipv4: bool,
    port: u16,
}

impl UdpSocket {
    /// Binds a socket of one family to a port on all addresses; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// The kernel's: `AddrInUse`, EAFNOSUPPORT without IPv6, `PermissionDenied` for a mark without
    /// CAP_NET_ADMIN.
    pub fn bind(ipv4: bool, port: u16, fwmark: u32) -> io::Result<Self> {
        let domain = if ipv4 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if !ipv4 {
            socket.set_only_v6(true)?;
        }
        if fwmark != 0 {
            socket.set_mark(fwmark)?;
        }
        let any: SocketAddr = if ipv4 {
            (Ipv4Addr::UNSPECIFIED, port).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, port).into()
        };
        socket.bind(&any.into())?;
        Self::from_fd(socket.into())
    }

    /// Takes over a bound socket.
    ///
    /// # Errors
    /// The kernel's, and `InvalidInput` if it is not a UDP socket.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        let address = socket.local_addr()?.as_socket();
        let is_datagram = socket.r#type()? == Type::DGRAM;
        let Some(address) = address.filter(|_| is_datagram) else {
            let text = "the descriptor is not a UDP socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let socket = Self { socket, ipv4: address.is_ipv4(), port: address.port() };
        socket.configure()?;
        Ok(socket)
    }

    fn configure(&self) -> io::Result<()> {
        if self.ipv4 {
            self.socket.set_recv_tos_v4(true)?;
            self.set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            self.set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_WANT)?;
        } else {
            self.socket.set_recv_tclass_v6(true)?;
            self.set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            self.set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_WANT)?;
        }
        self.set(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        // Above rmem_max and wmem_max with CAP_NET_ADMIN in the initial user namespace, else up to them.
        let size = BUFFER_BYTES as libc::c_int;
        if self.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size).is_err() {
            self.socket.set_recv_buffer_size(BUFFER_BYTES)?;
        }
        if self.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, size).is_err() {
            self.socket.set_send_buffer_size(BUFFER_BYTES)?;
        }
        self.socket.set_nonblocking(true)
    }

    /// Turns UDP_GRO on or off (Linux 5.0): several datagrams of one length may then arrive in one buffer.
    ///
    /// # Errors
    /// The kernel's, if it cannot be turned on.
    pub fn set_gro(&self, on: bool) -> io::Result<()> {
        match self.set(libc::SOL_UDP, libc::UDP_GRO, libc::c_int::from(on)) {
            Err(error) if on => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets the mark of sent packets (0: none).
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_NET_ADMIN.
    pub fn set_fwmark(&self, mark: u32) -> io::Result<()> {
        self.socket.set_mark(mark)
    }

    /// Returns the port that it is bound to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether its family is IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.ipv4
    }

    /// Returns the size of the receive buffer that the kernel granted, without the doubling for its
    /// bookkeeping.
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive_buffer_bytes(&self) -> io::Result<usize> {
        Ok(self.socket.recv_buffer_size()? / 2)
    }

    /// Returns the address that it is bound to; `None` if its family is not IP.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_address(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.socket.local_addr()?.as_socket())
    }

    /// Gives the descriptor away.
    pub fn into_fd(self) -> OwnedFd {
        self.socket.into()
    }

    fn raw(&self) -> libc::c_int {
        self.socket.as_raw_fd()
    }

    fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        option::set(&self.socket, level, option, value)
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds both families to one port, or IPv4 alone if the kernel has no IPv6. Returns the port as well.
///
/// # Errors
/// `AddrInUse` if the port, or for port 0 every port tried, is taken in one of the families.
pub fn bind_pair(port: u16, fwmark: u32) -> io::Result<(UdpSocket, Option<UdpSocket>, u16)> {
    for attempt in 0.. {
        let v4 = UdpSocket::bind(true, port, fwmark)?;
        let bound = v4.port();
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
