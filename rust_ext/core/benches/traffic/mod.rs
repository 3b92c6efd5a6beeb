//! The input of the benches: traffic as the kernel delivers it, both paths, and the keys of one peer.
//!
//! Bulk traffic is TCP over IPv4 with timestamps, in super-packets; small traffic is one UDP datagram a frame. Inbound
//! datagrams are made by the outbound path. The cipher does nothing, because its cost would hide everything else;
//! pyfw-aead has benches of its own.

#![allow(dead_code, reason = "no bench uses all of it")]

use std::sync::Arc;

use pyfw_core::{
    aead::{Aead, Slot, TransportKey},
    frame::FrameBatch,
    inbound::{
        Inbound,
        coalesce::CoalesceOptions,
        udp_ingress::{Handshake, Received},
    },
    outbound::{Outbound, gso_egress::GsoEgress},
    packet::{self, checksum::sum},
    wireguard::{
        allowed_ips::AllowedIps,
        commands::{InboundCommand, OutboundCommand, ReceiveSession, SendSession},
        path::Path,
        peer::PeerId,
    },
};

/// The default MTU of a tunnel.
pub(crate) const MTU: usize = 1420;
/// TCP payload of a segment: the MTU less 20 bytes of IPv4, 20 of TCP, 12 of timestamps.
pub(crate) const SEGMENT: usize = MTU - HEADERS;
/// Payload of the largest super-packet.
pub(crate) const FULL: usize = 65_535 - HEADERS;
/// Full segments that one UDP send carries over IPv4: 65,507 / (1420 + 32).
pub(crate) const SENT_AT_ONCE: usize = 45;
/// The peer.
pub(crate) const PEER: PeerId = PeerId(1);
/// The boot time of every drain, and of the keys.
pub(crate) const NOW_NS: u64 = 1_000_000_000;

const HEADERS: usize = 52;
const INDEX: u32 = 0x1234_5678;

/// Frames in the buffer of the TUN, each behind its virtio-net header.
#[derive(Default)]
pub(crate) struct Drain {
    pub(crate) buffer: Vec<u8>,
    pub(crate) places: Vec<(usize, usize)>,
}

impl Drain {
    /// Super-packets of one flow, each with `payload` bytes.
    pub(crate) fn bulk(frames: usize, payload: usize) -> Self {
        let mut drain = Self::default();
        for i in 0..frames {
            drain.push([1, 1, 52, 0], SEGMENT, 16, &tcp(i * payload, payload));
        }
        drain
    }

    /// UDP datagrams of 64 bytes, each of a flow of its own.
    pub(crate) fn small(frames: usize) -> Self {
        let mut drain = Self::default();
        for i in 0..frames {
            drain.push([1, 0, 0, 0], 0, 6, &udp(1000 + i as u16));
        }
        drain
    }

    fn push(&mut self, kind: [u8; 4], size: usize, checksum_offset: u8, packet: &[u8]) {
        self.places.push((self.buffer.len(), 10 + packet.len()));
        self.buffer.extend(kind);
        self.buffer.extend((size as u16).to_le_bytes());
        self.buffer.extend([20, 0, checksum_offset, 0]);
        self.buffer.extend(packet);
    }

    /// Returns its parsed frames.
    pub(crate) fn parse(&self) -> FrameBatch {
        let mut batch = FrameBatch { received_ns: NOW_NS, ..FrameBatch::default() };
        for &(offset, length) in &self.places {
            pyfw_core::outbound::tun_ingress::accept(&mut batch, &self.buffer, offset, length)
                .unwrap();
        }
        batch
    }
}

fn tcp(sequence: usize, payload: usize) -> Vec<u8> {
    let mut packet = ip(6, HEADERS - 20 + payload);
    packet.extend([0x9C, 0x40, 0x01, 0xBB]);
    packet.extend((sequence as u32).to_be_bytes());
    packet.extend([0, 0, 0, 77, 0x80, 0x10, 0x02, 0, 0, 0, 0, 0]);
    packet.extend([1, 1, 8, 10, 0, 1, 2, 3, 0, 4, 5, 6]);
    packet.extend((0..payload).map(|i| (i * 7) as u8));
    with_partial_checksum(packet, 36)
}

fn udp(port: u16) -> Vec<u8> {
    let mut packet = ip(17, 8 + 64);
    packet.extend(port.to_be_bytes());
    packet.extend([0x13, 0x88, 0, 72, 0, 0]);
    packet.extend([port as u8; 64]);
    with_partial_checksum(packet, 26)
}

fn ip(protocol: u8, length: usize) -> Vec<u8> {
    let [high, low] = (20 + length as u16).to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0];
    packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    let checksum = sum(&packet).checksum();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

fn with_partial_checksum(mut packet: Vec<u8>, field: usize) -> Vec<u8> {
    let (addresses, protocol) = (&packet[12..20], packet[9]);
    let partial = packet::checksum::pseudo_header(addresses, protocol, packet.len() - 20).fold();
    packet[field..field + 2].copy_from_slice(&partial.to_be_bytes());
    packet
}

/// Datagrams in the receive buffer.
#[derive(Default)]
pub(crate) struct Datagrams {
    pub(crate) buffer: Vec<u8>,
    pub(crate) received: Vec<Received>,
}

impl Datagrams {
    /// Returns the datagrams that the outbound path makes of a drain, one receive per batch.
    pub(crate) fn of(path: &mut Outbound, drain: &Drain) -> Self {
        let mut datagrams = Self::default();
        send(path, drain, &mut FrameBatch::default(), |size, payload| {
            datagrams.received.push(Received {
                offset: datagrams.buffer.len() as u32,
                length: payload.len() as u32,
                segment_size: size as u32,
                from: peer_path(),
                ds: 0,
                truncated: false,
                waited_ns: 0,
            });
            datagrams.buffer.extend_from_slice(payload);
        });
        datagrams
    }

    /// Returns the packets in them, as decrypt does.
    pub(crate) fn parse(&self) -> FrameBatch {
        let mut batch = FrameBatch { received_ns: NOW_NS, ..FrameBatch::default() };
        for from in &self.received {
            let end = from.offset + from.length;
            for offset in (from.offset..end).step_by(from.segment_size as usize) {
                let text =
                    offset as usize + 16..(end.min(offset + from.segment_size) - 16) as usize;
                let frame = packet::parse(&self.buffer[text.clone()], text.start as u32).unwrap();
                batch.frames.push(pyfw_core::frame::Frame { peer: PEER.0, ..frame });
            }
        }
        batch
    }
}

/// Runs one drain of the outbound path, from the TUN's buffer to the completion of each batch; `sent` gets the
/// segment size and payload of each.
pub(crate) fn send(
    path: &mut Outbound,
    drain: &Drain,
    batch: &mut FrameBatch,
    mut sent: impl FnMut(usize, &[u8]),
) {
    batch.clear();
    batch.received_ns = NOW_NS;
    for &(offset, length) in &drain.places {
        path.ingress(batch, &drain.buffer, offset, length);
    }
    path.route(batch, &drain.buffer);
    let encrypted = path.encrypt(batch, &drain.buffer, 0);
    assert_eq!(encrypted, drain.places.len());
    path.finish(NOW_NS);
    while let Some((batch, payload)) = path.gso().oldest() {
        sent(batch.segment_size(), payload);
        path.complete(usize::MAX, None);
    }
    path.publish();
}

/// Runs one drain of the inbound path, from the receive buffer to the completion of each frame.
pub(crate) fn receive(
    path: &mut Inbound,
    datagrams: &mut Datagrams,
    batch: &mut FrameBatch,
    handshakes: &mut Vec<Handshake>,
) {
    batch.clear();
    batch.received_ns = NOW_NS;
    path.process(&datagrams.received, &mut datagrams.buffer, batch, handshakes);
    for frame in &batch.frames {
        path.complete(frame, None);
    }
    path.publish();
}

/// Returns the outbound path with a session to the peer.
pub(crate) fn outbound() -> Outbound {
    let gso = GsoEgress::new(64, 64);
    let mut path = Outbound::new(gso, Box::new(NoCipher), MTU, Arc::default());
    for command in [
        OutboundCommand::AddPeer { peer: PEER, activity: Arc::default() },
        OutboundCommand::SetPath(PEER, Some(peer_path())),
        OutboundCommand::Routes(Arc::new(one_route("10.0.0.2/32"))),
        OutboundCommand::Install { peer: PEER, session: send_session(), confirm: false },
    ] {
        path.handle_command(command, NOW_NS);
    }
    path
}

/// Returns the inbound path with a session from the peer.
pub(crate) fn inbound() -> Inbound {
    let options = CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };
    let mut path = Inbound::new(Box::new(NoCipher), options, 7, Arc::default(), Arc::default());
    for command in [
        InboundCommand::AddPeer { peer: PEER, activity: Arc::default() },
        InboundCommand::SetPath(PEER, Some(peer_path())),
        InboundCommand::Routes(Arc::new(one_route("10.0.0.1/32"))),
        InboundCommand::Install { session: receive_session(), next: None },
    ] {
        path.handle_command(command);
    }
    path
}

/// The path to the peer.
pub(crate) fn peer_path() -> Path {
    Path::to("192.0.2.1:51820".parse().unwrap())
}

/// Returns allowed IPs with a prefix of the peer.
pub(crate) fn one_route(prefix: &str) -> AllowedIps {
    let mut allowed_ips = AllowedIps::default();
    allowed_ips.insert(prefix.parse().unwrap(), PEER);
    allowed_ips
}

/// Returns the sending half of the session.
pub(crate) fn send_session() -> SendSession {
    SendSession {
        key: TransportKey::new([1; 32]),
        remote_index: INDEX,
        local_index: 1,
        created_ns: NOW_NS,
        initiator: true,
    }
}

/// Returns the receiving half of the session.
pub(crate) fn receive_session() -> ReceiveSession {
    ReceiveSession {
        key: TransportKey::new([1; 32]),
        peer: PEER,
        local_index: INDEX,
        created_ns: NOW_NS,
        initiator: false,
    }
}

/// Leaves all bytes unchanged and accepts every tag.
pub(crate) struct NoCipher;

impl Aead for NoCipher {
    fn name(&self) -> &'static str {
        "none"
    }

    fn seal(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot]) {}

    fn open(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot], opened: &mut [bool]) {
        opened.fill(true);
    }
}
