//! Receiving: `recvmmsg` of up to four super-packets with their control messages.

use std::{
    io,
    mem::{size_of, zeroed},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use pyfw_core::{
    inbound::udp_ingress::Received,
    time::SECOND_NS,
    wireguard::path::{Path, Source},
};

use super::UdpSocket;
use crate::sys::{
    clock,
    cmsg::{self, ControlBuffer},
    socket_address::SockAddr,
};

/// Buffers of one call; together they are the coalescing window.
const MESSAGES: usize = 4;
/// The longest super-packet.
const MESSAGE_LENGTH: usize = 65_536;
/// Length of the buffer that one call needs.
pub const RECEIVE_BUFFER_LENGTH: usize = MESSAGES * MESSAGE_LENGTH;

/// Addresses and control messages for one call.
pub struct Receiver {
    addresses: [SockAddr; MESSAGES],
    controls: [ControlBuffer; MESSAGES],
    kernel_drops: u32,
}

impl Receiver {
    /// Creates a receiver, for use by one thread.
    pub fn new() -> Self {
        Self {
            addresses: [SockAddr::empty(); MESSAGES],
            controls: [ControlBuffer::EMPTY; MESSAGES],
            kernel_drops: 0,
        }
    }

    /// Receives up to four super-packets without waiting and appends them to `received`. Returns how many.
    ///
    /// # Errors
    /// The kernel's, if the descriptor is broken. Transient errors (short memory, an ICMP error for an
    /// earlier send) count as nothing received.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`RECEIVE_BUFFER_LENGTH`].
    pub fn receive(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
        received: &mut Vec<Received>,
    ) -> io::Result<usize> {
        assert!(buffer.len() >= RECEIVE_BUFFER_LENGTH, "buffer too short");
        // SAFETY: mmsghdr holds integers and raw pointers, for which zeros are valid.
        let mut headers: [libc::mmsghdr; MESSAGES] = unsafe { zeroed() };
        let mut iovecs = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MESSAGES];
        for (i, chunk) in buffer.chunks_exact_mut(MESSAGE_LENGTH).take(MESSAGES).enumerate() {
            iovecs[i] = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() };
            self.addresses[i] = SockAddr::empty();
            let header = &mut headers[i].msg_hdr;
            header.msg_name = self.addresses[i].as_mut_ptr();
            header.msg_namelen = size_of::<SockAddr>() as libc::socklen_t;
            header.msg_iov = &raw mut iovecs[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].as_mut_ptr();
            header.msg_controllen = cmsg::CAPACITY;
        }
        // SAFETY: each pointer in the headers refers to memory that outlives the call and has the length
        // beside it; the chunks of `buffer` do not overlap.
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
            return if is_transient(&error) { Ok(0) } else { Err(error) };
        }
        let now_ns = clock::unix_ns();
        for (i, header) in headers[..count as usize].iter().enumerate() {
            self.controls[i].set_length(header.msg_hdr.msg_controllen);
            let Some(destination) = self.addresses[i].read() else { continue };
            let mut message = Received {
                offset: (i * MESSAGE_LENGTH) as u32,
                length: header.msg_len,
                segment_size: header.msg_len,
                from: Path { destination, source: None },
                ds: 0,
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                waited_ns: 0,
            };
            for (level, kind, data) in self.controls[i].iter() {
                read_control(&mut message, &mut self.kernel_drops, now_ns, level, kind, data);
            }
            received.push(message);
        }
        Ok(count as usize)
    }

    /// Returns the running count of datagrams that the kernel dropped at the socket's full buffer
    /// (SO_RXQ_OVFL), which wraps. 0 if the last call did not report it, as before the first drop.
    pub fn kernel_drops(&self) -> u32 {
        self.kernel_drops
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an error leaves the socket usable: nothing to read, a signal, short memory, or an ICMP error for
/// an earlier send, which reading it cleared (icmp_err_convert in net/ipv4/icmp.c, icmpv6_err_convert in
/// net/ipv6/icmp.c).
fn is_transient(error: &io::Error) -> bool {
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

/// Reads one control message; ignores one that is too short.
fn read_control(
    message: &mut Received,
    drops: &mut u32,
    now_ns: u64,
    level: libc::c_int,
    kind: libc::c_int,
    data: &[u8],
) {
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_TOS) => message.ds = data.first().copied().unwrap_or(0),
        (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => message.ds = int(data).unwrap_or(0) as u8,
        (libc::SOL_UDP, libc::UDP_GRO) => {
            // An int; 0, or more than the message's length, means one datagram.
            if let Some(size @ 1..) = int(data) {
                message.segment_size = (size as u32).min(message.length);
            }
        }
        (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
            *drops = int(data).map_or(*drops, |count| count as u32);
        }
        // A timespec of the wall clock. If that was set since, the difference is meaningless.
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) if data.len() >= 16 => {
            let long = |at: usize| i64::from_ne_bytes(std::array::from_fn(|i| data[at + i]));
            let arrived_ns = (long(0) as u64).wrapping_mul(SECOND_NS).wrapping_add(long(8) as u64);
            let waited_ns = now_ns.saturating_sub(arrived_ns);
            message.waited_ns = if waited_ns < LONGEST_WAIT_NS { waited_ns } else { 0 };
        }
        // in_pktinfo: ifindex, spec_dst (the address to reply from), addr.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) if data.len() >= 12 => {
            let address: [u8; 4] = [data[4], data[5], data[6], data[7]];
            message.from.source = Some(Source {
                address: IpAddr::V4(Ipv4Addr::from(address)),
                interface: int(data).unwrap_or(0) as u32,
            });
        }
        // in6_pktinfo: addr, ifindex.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if data.len() >= 20 => {
            let mut address = [0; 16];
            address.copy_from_slice(&data[..16]);
            message.from.source = Some(Source {
                address: IpAddr::V6(Ipv6Addr::from(address)),
                interface: int(&data[16..]).unwrap_or(0) as u32,
            });
        }
        _ => {}
    }
}

/// Longer waits are taken for a clock that was set: 7 MiB at 100 kB/s are a minute.
const LONGEST_WAIT_NS: u64 = 60 * SECOND_NS;

fn int(data: &[u8]) -> Option<i32> {
    data.get(..4)?.try_into().ok().map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_control_messages_are_ignored() {
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
            read_control(&mut read, &mut drops, 1, level, kind, data);
            assert_eq!((read, drops), (untouched, 0), "{level} {kind} {data:?}");
        }
    }

    #[test]
    fn udp_gro_sets_the_segment_size() {
        let (mut read, mut drops) = (received(), 0);
        read_control(
            &mut read,
            &mut drops,
            1,
            libc::SOL_UDP,
            libc::UDP_GRO,
            &1200i32.to_ne_bytes(),
        );
        assert_eq!(read.segment_size, 1200);
    }

    #[test]
    fn only_a_broken_descriptor_is_an_error() {
        for (errno, transient) in [
            (libc::EAGAIN, true),
            (libc::ENOMEM, true),
            (libc::ECONNREFUSED, true),
            (libc::EBADF, false),
            (libc::ENOTSOCK, false),
            (libc::EFAULT, false),
        ] {
            assert_eq!(is_transient(&io::Error::from_raw_os_error(errno)), transient, "{errno}");
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
