//! Sending: `sendmmsg` of up to 64 messages, each one datagram or a GSO batch.

use std::{
    io,
    mem::zeroed,
    net::{IpAddr, SocketAddr},
};

use pyfw_core::wireguard::path::Path;

use super::UdpSocket;
use crate::sys::{cmsg::Control, socket_address::Raw};

/// Messages of one call.
const MESSAGES: usize = 64;

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where to, and from where.
    pub path: Path,
    /// The outer DS byte.
    pub ds: u8,
    /// Length of each datagram but the last; 0 for one datagram (no UDP_SEGMENT). At most 65,535.
    pub segment_size: usize,
    /// The payload.
    pub bytes: &'a [u8],
}

impl Outgoing<'_> {
    /// How many datagrams it makes.
    pub fn datagrams(&self) -> usize {
        if self.segment_size == 0 { 1 } else { self.bytes.len().div_ceil(self.segment_size) }
    }
}

/// Headers and control memory for one call.
pub struct Sender {
    headers: Box<[libc::mmsghdr; MESSAGES]>,
    pieces: Box<[libc::iovec; MESSAGES]>,
    addresses: Box<[Raw; MESSAGES]>,
    controls: Box<[Control; MESSAGES]>,
}

// SAFETY: the pointers in the headers are written anew by each call, and never followed outside
// of one; they refer to memory that the object owns or the call borrows.
unsafe impl Send for Sender {}

impl Sender {
    /// A sender; use one a thread.
    pub fn new() -> Self {
        // SAFETY: headers and iovecs of zeros are valid.
        let (header, piece) = unsafe { (zeroed(), zeroed()) };
        Self {
            headers: Box::new([header; MESSAGES]),
            pieces: Box::new([piece; MESSAGES]),
            addresses: Box::new([Raw::empty(); MESSAGES]),
            controls: Box::new([Control::EMPTY; MESSAGES]),
        }
    }

    /// Sends up to 64 messages in order. Returns how many the kernel took, at least one.
    ///
    /// # Errors
    /// What the kernel says of the first message.
    pub fn send(&mut self, socket: &UdpSocket, messages: &[Outgoing<'_>]) -> io::Result<usize> {
        let count = messages.len().min(MESSAGES);
        for (i, message) in messages[..count].iter().enumerate() {
            let (address, length) = Raw::new(&message.path.destination);
            self.addresses[i] = address;
            self.pieces[i] = libc::iovec {
                iov_base: message.bytes.as_ptr().cast_mut().cast(),
                iov_len: message.bytes.len(),
            };
            let control = &mut self.controls[i];
            control.clear();
            write_control(control, message);
            let header = &mut self.headers[i].msg_hdr;
            header.msg_name = self.addresses[i].as_mut_ptr();
            header.msg_namelen = length;
            header.msg_iov = &raw mut self.pieces[i];
            header.msg_iovlen = 1;
            header.msg_control = match control.length() {
                0 => std::ptr::null_mut(),
                _ => control.as_mut_ptr(),
            };
            header.msg_controllen = control.length();
        }
        // SAFETY: every pointer in the first `count` headers is to memory of the length beside
        // it, which outlives the call; the kernel only reads the payload.
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
        let message = Outgoing { path: *path, ds, segment_size: 0, bytes };
        let (mut address, length) = Raw::new(&path.destination);
        let mut control = Control::EMPTY;
        write_control(&mut control, &message);
        let mut piece =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: a header of zeros is valid.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_name = address.as_mut_ptr();
        header.msg_namelen = length;
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        if control.length() != 0 {
            header.msg_control = control.as_mut_ptr();
            header.msg_controllen = control.length();
        }
        // SAFETY: every pointer in the header is to memory of the length beside it, which outlives
        // the call; the kernel only reads the payload.
        let sent = unsafe { libc::sendmsg(self.raw(), &raw const header, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn write_control(control: &mut Control, message: &Outgoing<'_>) {
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
            // in_pktinfo: ifindex, spec_dst, addr. Only the address is pinned, as in Linux's
            // WireGuard: the route may lead through another interface than the one the peer's
            // datagrams come in by, and a pinned one would send into the void.
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&address.octets());
            control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        (Some(IpAddr::V6(address)), SocketAddr::V6(_)) => {
            // in6_pktinfo: addr, ifindex. The destination's scope id names the interface where
            // the addresses are link-local.
            let mut info = [0; 20];
            info[..16].copy_from_slice(&address.octets());
            control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        _ => {}
    }
}

/// What a refused send means. With GSO the kernel names a segment above the route's MTU in either
/// way, EMSGSIZE or EINVAL: the route's MTU decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// The socket is full: wait until it is writable.
    WouldBlock,
    /// A datagram is longer than the path carries, and was not fragmented because of GSO.
    PathMtu,
    /// The kernel or the device cannot segment.
    GsoRefused,
    /// There is no way from this source: perhaps it is no longer ours (Linux 6.18 says EINVAL then
    /// for IPv6, ENETUNREACH for IPv4), perhaps there is no way at all.
    SourceGone,
    /// A queue below the socket is full.
    NoBuffers,
    /// A firewall said no.
    Refused,
    /// There is no way there, now.
    Unreachable,
    /// Anything else.
    Other,
}

/// Reads an error of `sendmmsg`: with GSO or without, with a source or without.
pub fn classify_send_failure(error: &io::Error, had_gso: bool, had_source: bool) -> SendFailure {
    match error.raw_os_error().unwrap_or(0) {
        libc::EAGAIN | libc::EINTR => SendFailure::WouldBlock,
        libc::EMSGSIZE => SendFailure::PathMtu,
        libc::EIO if had_gso => SendFailure::GsoRefused,
        libc::EINVAL if had_gso => SendFailure::GsoRefused,
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
    fn an_error_means_another_thing_with_an_offload_or_a_source() {
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
    fn the_last_datagram_of_a_message_may_be_shorter() {
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
