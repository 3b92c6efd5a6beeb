//! Sending: `sendmmsg` of up to 64 messages, each one datagram or a GSO batch.

use std::{
    io::{self, IoSlice},
    mem::zeroed,
    net::{IpAddr, SocketAddr},
};

use pyfw_core::wireguard::path::Path;
use socket2::MsgHdr;

use super::UdpSocket;
use crate::sys::{cmsg::ControlBuffer, socket_address::SockAddr};

/// Messages of one call.
const MESSAGES: usize = 64;

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Its destination and source.
    pub path: Path,
    /// The outer DS byte.
    pub ds: u8,
    /// Length of each datagram but the last; 0 for one datagram (no UDP_SEGMENT). At most 65,535.
    pub segment_size: usize,
    /// The payload.
    pub bytes: &'a [u8],
}

impl Outgoing<'_> {
    /// Returns the number of datagrams that the kernel sends for it.
    pub fn datagrams(&self) -> usize {
        if self.segment_size == 0 { 1 } else { self.bytes.len().div_ceil(self.segment_size) }
    }
}

/// Headers and control messages for one call.
pub struct Sender {
    headers: Box<[libc::mmsghdr; MESSAGES]>,
    iovecs: Box<[libc::iovec; MESSAGES]>,
    addresses: Box<[SockAddr; MESSAGES]>,
    controls: Box<[ControlBuffer; MESSAGES]>,
}

// SAFETY: `send` rewrites the pointers in the headers and iovecs before the kernel follows them, and nothing
// follows them outside of that call; they point to memory that this object owns or the call borrows.
unsafe impl Send for Sender {}

impl Sender {
    /// Creates a sender, for use by one thread.
    pub fn new() -> Self {
        // SAFETY: mmsghdr and iovec hold integers and raw pointers, for which zeros are valid.
        let (header, iovec) = unsafe { (zeroed(), zeroed()) };
        Self {
            headers: Box::new([header; MESSAGES]),
            iovecs: Box::new([iovec; MESSAGES]),
            addresses: Box::new([SockAddr::empty(); MESSAGES]),
            controls: Box::new([ControlBuffer::EMPTY; MESSAGES]),
        }
    }

    /// Sends up to 64 messages in order. Returns how many the kernel took, at least one.
    ///
    /// # Errors
    /// The kernel's, for the first message.
    pub fn send(&mut self, socket: &UdpSocket, messages: &[Outgoing<'_>]) -> io::Result<usize> {
        let count = messages.len().min(MESSAGES);
        for (i, message) in messages[..count].iter().enumerate() {
            let (address, length) = SockAddr::new(&message.path.destination);
            self.addresses[i] = address;
            self.iovecs[i] = libc::iovec {
                iov_base: message.bytes.as_ptr().cast_mut().cast(),
                iov_len: message.bytes.len(),
            };
            let control = &mut self.controls[i];
            control.clear();
            write_control(control, message);
            let header = &mut self.headers[i].msg_hdr;
            header.msg_name = self.addresses[i].as_mut_ptr();
            header.msg_namelen = length;
            header.msg_iov = &raw mut self.iovecs[i];
            header.msg_iovlen = 1;
            header.msg_control = match control.length() {
                0 => std::ptr::null_mut(),
                _ => control.as_mut_ptr(),
            };
            header.msg_controllen = control.length();
        }
        // SAFETY: in the first `count` headers each pointer refers to memory that outlives the call and has
        // the length beside it; the kernel only reads the payload.
        let sent = unsafe {
            libc::sendmmsg(
                socket.raw(),
                self.headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

impl UdpSocket {
    /// Sends one datagram.
    ///
    /// # Errors
    /// The kernel's.
    pub fn send_one(&self, path: &Path, ds: u8, bytes: &[u8]) -> io::Result<()> {
        let mut control = ControlBuffer::EMPTY;
        write_control(&mut control, &Outgoing { path: *path, ds, segment_size: 0, bytes });
        let address = path.destination.into();
        let buffers = [IoSlice::new(bytes)];
        let message =
            MsgHdr::new().with_addr(&address).with_buffers(&buffers).with_control(control.bytes());
        self.socket.sendmsg(&message, libc::MSG_DONTWAIT).map(drop)
    }
}

fn write_control(control: &mut ControlBuffer, message: &Outgoing<'_>) {
    let ipv4 = message.path.destination.is_ipv4();
    if message.datagrams() > 1 {
        let size = message.segment_size as u16;
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }
    if message.ds != 0 {
        let ds = libc::c_int::from(message.ds).to_ne_bytes();
        let (level, kind) = match ipv4 {
            true => (libc::IPPROTO_IP, libc::IP_TOS),
            false => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        control.push(level, kind, &ds);
    }
    match (message.path.source.map(|source| source.address), message.path.destination) {
        (Some(IpAddr::V4(address)), SocketAddr::V4(_)) => {
            // in_pktinfo: ifindex, spec_dst, addr. Only the address is pinned, as in Linux's WireGuard: the
            // route may lead through another interface than the one that receives the peer's datagrams.
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&address.octets());
            control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        (Some(IpAddr::V6(address)), SocketAddr::V6(_)) => {
            // in6_pktinfo: addr, ifindex. For link-local addresses the destination's scope id names the
            // interface.
            let mut info = [0; 20];
            info[..16].copy_from_slice(&address.octets());
            control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        _ => {}
    }
}

/// Why the kernel refused a send. With GSO it reports a segment above the route's MTU as EMSGSIZE or as
/// EINVAL: only the route's MTU tells `PathMtu` from `GsoRefused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// The socket's buffer is full: wait until it is writable.
    WouldBlock,
    /// A datagram exceeds the path MTU, and was not fragmented because of GSO.
    PathMtu,
    /// The kernel or the device cannot segment.
    GsoRefused,
    /// No route from this source: the address may have been removed (Linux 6.18: EINVAL on IPv6,
    /// ENETUNREACH on IPv4), or the destination is unreachable from any source.
    SourceGone,
    /// A queue below the socket is full.
    NoBuffers,
    /// A firewall refused it.
    Refused,
    /// The destination is unreachable.
    Unreachable,
    /// Anything else.
    Other,
}

/// Classifies an error of `sendmmsg` or `sendmsg`, whose meaning depends on GSO and on a pinned source.
pub fn classify_send_failure(error: &io::Error, had_gso: bool, had_source: bool) -> SendFailure {
    match error.raw_os_error().unwrap_or(0) {
        libc::EAGAIN | libc::EINTR => SendFailure::WouldBlock,
        libc::EMSGSIZE => SendFailure::PathMtu,
        libc::EIO | libc::EINVAL if had_gso => SendFailure::GsoRefused,
        libc::EINVAL
        | libc::EADDRNOTAVAIL
        | libc::ENODEV
        | libc::ENETUNREACH
        | libc::EHOSTUNREACH
            if had_source =>
        {
            SendFailure::SourceGone
        }
        libc::ENOBUFS | libc::ENOMEM => SendFailure::NoBuffers,
        libc::EPERM | libc::EACCES => SendFailure::Refused,
        libc::ENETUNREACH
        | libc::EHOSTUNREACH
        | libc::EHOSTDOWN
        | libc::ENETDOWN
        | libc::ENODEV
        | libc::ECONNREFUSED => SendFailure::Unreachable,
        _ => SendFailure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gso_and_a_source_change_what_an_error_means() {
        use SendFailure::*;
        // errno: plain, with GSO, with a source, with both.
        for (errno, meanings) in [
            (libc::EAGAIN, [WouldBlock; 4]),
            (libc::EINTR, [WouldBlock; 4]),
            (libc::EMSGSIZE, [PathMtu; 4]),
            (libc::EINVAL, [Other, GsoRefused, SourceGone, GsoRefused]),
            (libc::EIO, [Other, GsoRefused, Other, GsoRefused]),
            (libc::EADDRNOTAVAIL, [Other, Other, SourceGone, SourceGone]),
            (libc::ENODEV, [Unreachable, Unreachable, SourceGone, SourceGone]),
            (libc::ENOBUFS, [NoBuffers; 4]),
            (libc::ENOMEM, [NoBuffers; 4]),
            (libc::EPERM, [Refused; 4]),
            (libc::EACCES, [Refused; 4]),
            (libc::ENETUNREACH, [Unreachable, Unreachable, SourceGone, SourceGone]),
            (libc::EHOSTUNREACH, [Unreachable, Unreachable, SourceGone, SourceGone]),
            (libc::ENETDOWN, [Unreachable; 4]),
            (libc::EBADF, [Other; 4]),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            let read = [(false, false), (true, false), (false, true), (true, true)]
                .map(|(gso, source)| classify_send_failure(&error, gso, source));
            assert_eq!(read, meanings, "{error}");
        }
    }

    #[test]
    fn a_shorter_last_datagram_counts_as_one() {
        let path = Path::to((std::net::Ipv4Addr::LOCALHOST, 9).into());
        let datagrams = |segment_size, length| {
            Outgoing { path, ds: 0, segment_size, bytes: &[0; 3000][..length] }.datagrams()
        };
        assert_eq!(datagrams(1000, 3000), 3);
        assert_eq!(datagrams(1000, 2001), 3);
        assert_eq!(datagrams(1000, 1000), 1);
        assert_eq!(datagrams(0, 3000), 1);
    }
}
