//! Receiving: `recvmmsg` of up to four super-packets with all that came beside them.

use std::{
    io,
    mem::{size_of, zeroed},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use pyfw_core::{
    inbound::udp_ingress::Received,
    wireguard::path::{Path, Source},
};

use super::UdpSocket;
use crate::sys::{cmsg::Control, socket_address::Raw};

/// Buffers of one call: the coalescing window is all of them together.
const MESSAGES: usize = 4;
/// The longest super-packet.
const MESSAGE_LENGTH: usize = 65_536;
/// Bytes of buffer that one call wants.
pub const RECEIVE_BUFFER_LENGTH: usize = MESSAGES * MESSAGE_LENGTH;

/// Headers and control memory for one call.
pub struct Receiver {
    addresses: [Raw; MESSAGES],
    controls: [Control; MESSAGES],
    kernel_drops: u32,
}

impl Receiver {
    /// A receiver; use one a thread.
    pub fn new() -> Self {
        Self {
            addresses: [Raw::empty(); MESSAGES],
            controls: [Control::EMPTY; MESSAGES],
            kernel_drops: 0,
        }
    }

    /// Receives what waits, up to four super-packets, and appends them to `out`. Returns how many;
    /// 0 where nothing waits.
    ///
    /// # Errors
    /// The kernel's, where the descriptor is no longer fit to receive. What passes (memory is
    /// short, an ICMP error for an earlier send) is not one.
    ///
    /// # Panics
    /// Where `buffer` is shorter than [`RECEIVE_BUFFER_LENGTH`].
    pub fn receive(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        out: &mut Vec<Received>,
    ) -> io::Result<usize> {
        assert!(buffer.len() >= RECEIVE_BUFFER_LENGTH, "buffer too short");
        // SAFETY: headers of zeros are valid.
        let mut headers: [libc::mmsghdr; MESSAGES] = unsafe { zeroed() };
        let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MESSAGES];
        for (i, chunk) in buffer.chunks_exact_mut(MESSAGE_LENGTH).take(MESSAGES).enumerate() {
            pieces[i] = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() };
            self.addresses[i] = Raw::empty();
            let header = &mut headers[i].msg_hdr;
            header.msg_name = self.addresses[i].as_mut_ptr();
            header.msg_namelen = size_of::<Raw>() as libc::socklen_t;
            header.msg_iov = &raw mut pieces[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].as_mut_ptr();
            header.msg_controllen = crate::sys::cmsg::ROOM;
        }
        // SAFETY: every pointer in the headers is to memory of the length beside it, which
        // outlives the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.raw(),
                headers.as_mut_ptr(),
                MESSAGES as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        self.kernel_drops = 0;
        if count < 0 {
            let error = io::Error::last_os_error();
            return if passes(&error) { Ok(0) } else { Err(error) };
        }
        let now_ns = crate::sys::epoll::unix_ns();
        for (i, message) in headers[..count as usize].iter().enumerate() {
            self.controls[i].set_length(message.msg_hdr.msg_controllen);
            let Some(destination) = self.addresses[i].read() else { continue };
            let mut received = Received {
                offset: (i * MESSAGE_LENGTH) as u32,
                length: message.msg_len,
                segment_size: message.msg_len,
                from: Path { destination, source: None },
                ds: 0,
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                waited_ns: 0,
            };
            for (level, kind, data) in self.controls[i].iter() {
                beside(&mut received, &mut self.kernel_drops, now_ns, level, kind, data);
            }
            out.push(received);
        }
        Ok(count as usize)
    }

    /// The running count of datagrams that the kernel dropped at the socket's full buffer, as it
    /// told with the last call; it wraps. 0 where it told nothing: it does so until the first.
    pub fn kernel_drops(&self) -> u32 {
        self.kernel_drops
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an error says nothing of the socket: none waits, a signal, memory, or what an ICMP
/// message left at the socket and reading it took away (icmp_err_convert in net/ipv4/icmp.c,
/// icmpv6_err_convert in net/ipv6/icmp.c).
fn passes(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EAGAIN
                | libc::EINTR
                | libc::ENOMEM
                | libc::ENOBUFS
                | libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENETUNREACH
                | libc::ENETDOWN
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPROTO
                | libc::EACCES
                | libc::EMSGSIZE
        )
    )
}

/// Reads one control message; one that is too short is as good as none.
fn beside(
    received: &mut Received,
    drops: &mut u32,
    now_ns: u64,
    level: libc::c_int,
    kind: libc::c_int,
    data: &[u8],
) {
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_TOS) => received.ds = data.first().copied().unwrap_or(0),
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => received.ds = int(data).unwrap_or(0) as u8,
        (libc::SOL_UDP, libc::UDP_GRO) => {
            // Linux gives an int; 0 or more than there is means one datagram.
            if let Some(size @ 1..) = int(data) {
                received.segment_size = (size as u32).min(received.length);
            }
        }
        (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
            *drops = int(data).map_or(*drops, |count| count as u32);
        }
        // timespec, wall clock, which may have been set since: then it says nothing.
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) if data.len() >= 16 => {
            let word = |at: usize| i64::from_ne_bytes(std::array::from_fn(|i| data[at + i]));
            let arrived_ns =
                (word(0) as u64).wrapping_mul(1_000_000_000).wrapping_add(word(8) as u64);
            let waited_ns = now_ns.saturating_sub(arrived_ns);
            received.waited_ns = if waited_ns < LONGEST_WAIT_NS { waited_ns } else { 0 };
        }
        // in_pktinfo: ifindex, spec_dst (the address to answer from), addr.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) if data.len() >= 12 => {
            let address: [u8; 4] = [data[4], data[5], data[6], data[7]];
            received.from.source = Some(Source {
                address: IpAddr::V4(Ipv4Addr::from(address)),
                interface: int(data).unwrap_or(0) as u32,
            });
        }
        // in6_pktinfo: addr, ifindex.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if data.len() >= 20 => {
            let mut address = [0; 16];
            address.copy_from_slice(&data[..16]);
            received.from.source = Some(Source {
                address: IpAddr::V6(Ipv6Addr::from(address)),
                interface: int(&data[16..]).unwrap_or(0) as u32,
            });
        }
        _ => {}
    }
}

/// No datagram waits longer: 7 MiB at 100 kB/s are a minute.
const LONGEST_WAIT_NS: u64 = 60_000_000_000;

fn int(data: &[u8]) -> Option<i32> {
    data.get(..4)?.try_into().ok().map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_wrong_beside_a_datagram_leaves_it_one_datagram() {
        let untouched = received();
        let cases: [(libc::c_int, libc::c_int, &[u8]); 9] = [
            (libc::SOL_UDP, libc::UDP_GRO, &[]),
            (libc::SOL_UDP, libc::UDP_GRO, &[1, 0]),
            (libc::SOL_UDP, libc::UDP_GRO, &0i32.to_ne_bytes()),
            (libc::SOL_UDP, libc::UDP_GRO, &(-5i32).to_ne_bytes()),
            (libc::SOL_UDP, libc::UDP_GRO, &70_000i32.to_ne_bytes()),
            (libc::IPPROTO_IP, libc::IP_TOS, &[]),
            (libc::IPPROTO_IP, libc::IP_PKTINFO, &[1; 11]),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &[1; 19]),
            (libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[7; 16]),
        ];
        for (level, kind, data) in cases {
            let (mut read, mut drops) = (received(), 0);
            beside(&mut read, &mut drops, 1, level, kind, data);
            assert_eq!((read, drops), (untouched, 0), "{level} {kind} {data:?}");
        }
    }

    #[test]
    fn a_segment_size_splits_the_buffer() {
        let (mut read, mut drops) = (received(), 0);
        beside(&mut read, &mut drops, 1, libc::SOL_UDP, libc::UDP_GRO, &1200i32.to_ne_bytes());
        assert_eq!(read.segment_size, 1200);
    }

    #[test]
    fn only_a_broken_descriptor_is_an_error() {
        for (errno, passing) in [
            (libc::EAGAIN, true),
            (libc::ENOMEM, true),
            (libc::ECONNREFUSED, true),
            (libc::EBADF, false),
            (libc::ENOTSOCK, false),
            (libc::EFAULT, false),
        ] {
            assert_eq!(passes(&io::Error::from_raw_os_error(errno)), passing, "{errno}");
        }
    }

    fn received() -> Received {
        Received {
            offset: 0,
            length: 5000,
            segment_size: 5000,
            from: Path::to((Ipv4Addr::LOCALHOST, 9).into()),
            ds: 0,
            truncated: false,
            waited_ns: 0,
        }
    }
}
