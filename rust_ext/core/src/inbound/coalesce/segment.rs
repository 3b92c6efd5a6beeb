//! A packet as a candidate for merging.
//!
//! A packet does not merge if it is not plain data (SYN, FIN, RST, URG or CWR; no ACK; no payload), has IP options or
//! a UDP length that differs from its packet's, or is UDP without a checksum. Checksums are verified only when it
//! is about to be merged.

use crate::{
    frame::{Frame, Slice, flags},
    packet::{
        checksum::{Sum, sum},
        ip, tcp, u16_at, udp,
    },
};

#[derive(Clone, Copy)]
pub(super) struct Segment {
    offset: u32,
    header_length: u32,
    /// Bytes of payload, at least 1.
    pub(super) payload_length: u32,
    /// TCP's sequence number; 0 for UDP.
    pub(super) sequence: u32,
    /// IPv4's identification; 0 for IPv6.
    pub(super) identification: u16,
    pub(super) psh: bool,
}

impl Segment {
    /// Returns `None` if the packet cannot merge.
    pub(super) fn read(frame: &Frame, buffer: &[u8]) -> Option<Self> {
        let excluded = flags::IP_OPTIONS | flags::PARTIAL_CHECKSUM;
        let header_length = u32::from(frame.header_length);
        if frame.flags & excluded != 0 || frame.segments != 1 || frame.length <= header_length {
            return None;
        }
        let bytes = frame.bytes(buffer);
        let transport = &bytes[usize::from(frame.transport_offset)..];
        let is_tcp = frame.protocol == tcp::PROTOCOL;
        let is_plain = if is_tcp {
            frame.tcp_flags & !(tcp::PSH | tcp::ECE) == tcp::ACK
        } else {
            u16_at(transport, udp::CHECKSUM_OFFSET) != 0
                && udp::length(transport) == transport.len()
        };
        is_plain.then(|| Self {
            offset: frame.offset,
            header_length,
            payload_length: frame.length - header_length,
            sequence: if is_tcp { tcp::sequence(transport) } else { 0 },
            identification: if frame.version == 4 { ip::identification(bytes) } else { 0 },
            psh: frame.tcp_flags & tcp::PSH != 0,
        })
    }

    /// The payload in the buffer.
    pub(super) fn payload(&self) -> Slice {
        Slice { offset: self.offset + self.header_length, length: self.payload_length }
    }
}

/// Whether two headers of one flow and one length agree in all fields that a merged header has only once, flow label,
/// window and acknowledgement number included (Linux's inet_gro_receive, ipv6_gro_receive and tcp_gro_receive). The
/// caller checks IPv4's identification and TCP's sequence number.
pub(super) fn headers_agree(first: &[u8], next: &[u8], frame: &Frame) -> bool {
    let ip_agrees = if frame.version == 4 {
        // Version, IHL, DS; flags and fragment offset, TTL.
        first[..2] == next[..2] && first[6..9] == next[6..9]
    } else {
        // Version, DS, flow label; hop limit.
        first[..4] == next[..4] && first[7] == next[7]
    };
    if frame.protocol != tcp::PROTOCOL {
        return ip_agrees;
    }
    let first = &first[usize::from(frame.transport_offset)..];
    let next = &next[usize::from(frame.transport_offset)..];
    ip_agrees
        // Acknowledgement number, data offset and reserved bits.
        && first[8..13] == next[8..13]
        && (first[tcp::FLAGS_OFFSET] ^ next[tcp::FLAGS_OFFSET]) & !tcp::PSH == 0
        // Window; urgent pointer and options.
        && first[14..16] == next[14..16]
        && first[18..] == next[18..]
}

/// Whether the checksums of IPv4 and transport header are right. `shared` is the sum of the flow's addresses and
/// protocol.
pub(super) fn checksums_are_right(bytes: &[u8], frame: &Frame, shared: Sum) -> bool {
    let transport = &bytes[usize::from(frame.transport_offset)..];
    let header_is_right = frame.version != 4 || sum(&bytes[..ip::V4_HEADER_LENGTH]).checksum() == 0;
    header_is_right && (shared + Sum::of(transport.len() as u16) + sum(transport)).checksum() == 0
}
