//! TUN to UDP and back without a tunnel between, for benchmarks: the kernel's share of any tunnel's cost.
//!
//! A frame leaves as one GSO batch, its virtio-net header in front, and arrives as one, because a veth keeps
//! a batch together: nothing is split, summed, sealed or merged. Frames above 65,507 B, datagrams that are no
//! frame, and what the socket has no room for are dropped.

use std::{convert::Infallible, io, net::SocketAddr, os::fd::AsFd};

use pyfw_core::{
    frame::Slice, inbound::udp_ingress::Received, packet::virtio::VIRTIO_HEADER_LENGTH,
    wireguard::path::Path,
};

use crate::sys::{
    epoll::{Epoll, EventFlags},
    tun::Tun,
    udp::{Outgoing, RECEIVE_BUFFER_LENGTH, Receiver, Sender, UdpSocket},
};

/// The longest UDP payload on IPv4 (RFC 768, RFC 791).
const PAYLOAD_LENGTH: usize = 65_507;
/// Frames read before the socket is, as in a tunnel's drain.
const FRAMES: usize = 4;

/// Forwards in both directions until a descriptor fails.
///
/// `segment_size`: length of each datagram but a frame's last.
///
/// # Errors
/// The kernel's; EBADFD if the TUN's link was deleted.
pub fn forward(
    tun: &Tun,
    socket: &UdpSocket,
    peer: SocketAddr,
    segment_size: usize,
) -> io::Result<Infallible> {
    let epoll = Epoll::new()?;
    epoll.add(tun.as_fd(), 0, EventFlags::IN)?;
    epoll.add(socket.as_fd(), 1, EventFlags::IN)?;
    let (mut sender, mut receiver) = (Sender::new(), Receiver::new());
    let mut frame = vec![0; PAYLOAD_LENGTH + 1];
    let mut buffer = vec![0; RECEIVE_BUFFER_LENGTH];
    let (mut ready, mut received) = (Vec::new(), Vec::new());
    loop {
        ready.clear();
        epoll.wait(None, &mut ready)?;
        for _ in 0..FRAMES {
            let Some(length) = tun.read(&mut frame)? else { break };
            if length <= PAYLOAD_LENGTH {
                let bytes = &frame[..length];
                let message = Outgoing { path: Path::to(peer), ds: 0, segment_size, bytes };
                // What the socket refuses is lost, as on any link.
                let _ = sender.send(socket, &[message]);
            }
        }
        received.clear();
        receiver.receive(socket, &mut buffer, &mut received)?;
        for datagrams in &received {
            write(tun, &buffer, datagrams)?;
        }
    }
}

fn write(tun: &Tun, buffer: &[u8], datagrams: &Received) -> io::Result<()> {
    let (start, length) = (datagrams.offset as usize, datagrams.length as usize);
    let Some(header) = buffer[start..start + length].first_chunk() else { return Ok(()) };
    let rest = VIRTIO_HEADER_LENGTH as u32;
    let slice =
        Slice { offset: datagrams.offset + rest, length: datagrams.length.saturating_sub(rest) };
    match tun.write(header, buffer, &[slice]) {
        Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Err(error),
        // The TUN refuses a datagram that is no frame.
        _ => Ok(()),
    }
}
