//! IPv4 and IPv6 headers, and the ECN field of both.
//!
//! IPv6 extension headers are walked to find the transport header. Such a packet is flagged and never merged,
//! because extension headers may change what its other fields mean.

use super::{Invalid, checksum, set_u16, u16_at};
use crate::frame::{Frame, NO_PEER, flags};

/// Bytes of an IPv4 header without options.
pub const V4_HEADER_LENGTH: usize = 20;
/// Bytes of an IPv6 header.
pub const V6_HEADER_LENGTH: usize = 40;
/// The longest packet of a TUN, with or without offload (MAX_MTU in Linux's drivers/net/tun.c).
pub const MAX_LENGTH: usize = 65_535;

/// More Fragments and the fragment offset (RFC 791 §3.1).
const V4_FRAGMENT: u16 = 0x3FFF;
/// The fragment offset.
const V4_FRAGMENT_OFFSET: u16 = 0x1FFF;
/// Don't Fragment.
const V4_DONT_FRAGMENT: u16 = 0x4000;

/// A frame whose transport header is not parsed yet.
pub(super) struct Parsed {
    pub(super) frame: Frame,
    /// Whether it is a fragment, which need not contain a transport header.
    pub(super) fragment: bool,
}

/// Parses the IP header.
pub(super) fn parse(bytes: &[u8], offset: u32) -> Result<Parsed, Invalid> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => parse_v4(bytes, offset),
        Some(6) => parse_v6(bytes, offset),
        _ => Err(Invalid::Version),
    }
}

fn parse_v4(bytes: &[u8], offset: u32) -> Result<Parsed, Invalid> {
    let header_length = usize::from(bytes[0] & 0x0F) * 4;
    if header_length < V4_HEADER_LENGTH || header_length > bytes.len() {
        return Err(Invalid::Header);
    }
    let length = usize::from(u16_at(bytes, 2));
    if length < header_length || length > bytes.len() {
        return Err(Invalid::Length);
    }
    let mut frame = blank(4, offset, length);
    frame.source[..4].copy_from_slice(&bytes[12..16]);
    frame.destination[..4].copy_from_slice(&bytes[16..20]);
    frame.protocol = bytes[9];
    frame.ds = bytes[1];
    set_transport_offset(&mut frame, header_length);
    if header_length > V4_HEADER_LENGTH {
        frame.flags |= flags::IP_OPTIONS;
    }
    let fragment = u16_at(bytes, 6) & V4_FRAGMENT != 0;
    if fragment {
        frame.flags |= flags::NO_FLOW;
    }
    Ok(Parsed { frame, fragment })
}

fn parse_v6(bytes: &[u8], offset: u32) -> Result<Parsed, Invalid> {
    if bytes.len() < V6_HEADER_LENGTH {
        return Err(Invalid::Header);
    }
    let length = V6_HEADER_LENGTH + usize::from(u16_at(bytes, 4));
    if length > bytes.len() || length > MAX_LENGTH {
        return Err(Invalid::Length);
    }
    let mut frame = blank(6, offset, length);
    frame.source.copy_from_slice(&bytes[8..24]);
    frame.destination.copy_from_slice(&bytes[24..40]);
    frame.ds = bytes[0] << 4 | bytes[1] >> 4;
    let fragment = walk_extensions(&mut frame, &bytes[..length]);
    Ok(Parsed { frame, fragment })
}

/// Finds the transport header behind the extensions (IANA's IPv6 Extension Header Types, except ESP, behind which
/// all is encrypted). Returns whether there is a fragment header.
fn walk_extensions(frame: &mut Frame, bytes: &[u8]) -> bool {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    const DESTINATION: u8 = 60;
    const MOBILITY: u8 = 135;
    const HIP: u8 = 139;
    const SHIM6: u8 = 140;

    let mut next = bytes[6];
    let mut at = V6_HEADER_LENGTH;
    let mut fragment = false;
    while matches!(
        next,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6
    ) {
        frame.flags |= flags::NO_FLOW;
        let Some(&[following, units]) = bytes.get(at..at + 2) else { break };
        let length = match next {
            FRAGMENT => 8,
            // In units of 4 bytes, minus 2 (RFC 4302 §2.2).
            AUTHENTICATION => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        if at + length > bytes.len() {
            break;
        }
        at += length;
        fragment |= next == FRAGMENT;
        next = following;
        if fragment {
            break;
        }
    }
    frame.protocol = next;
    set_transport_offset(frame, at);
    fragment
}

fn blank(version: u8, offset: u32, length: usize) -> Frame {
    Frame {
        source: [0; 16],
        destination: [0; 16],
        peer: NO_PEER,
        offset,
        length: length as u32,
        first_slice: 0,
        mark: 0,
        slices: 0,
        segments: 1,
        segment_size: 0,
        header_length: 0,
        transport_offset: 0,
        checksum_start: 0,
        checksum_offset: 0,
        source_port: 0,
        destination_port: 0,
        version,
        protocol: 0,
        ds: 0,
        tcp_flags: 0,
        flags: 0,
    }
}

/// Sets the transport offset; `at` lies within the packet, so it fits.
fn set_transport_offset(frame: &mut Frame, at: usize) {
    frame.transport_offset = at as u16;
    frame.header_length = at as u16;
    frame.checksum_start = at as u16;
}

/// Returns both addresses as they lie in the header, for the pseudo-header.
pub(crate) fn addresses(bytes: &[u8], version: u8) -> &[u8] {
    if version == 4 { &bytes[12..20] } else { &bytes[8..40] }
}

/// Returns IPv4's identification.
pub(crate) fn identification(bytes: &[u8]) -> u16 {
    u16_at(bytes, 4)
}

/// Whether an IPv4 packet must not be fragmented; if so, its identification has no meaning (RFC 6864).
pub(crate) fn dont_fragment(bytes: &[u8]) -> bool {
    u16_at(bytes, 6) & V4_DONT_FRAGMENT != 0
}

/// Whether an IPv4 packet is a fragment; IPv6's show in their extension headers.
pub(crate) fn is_fragment(bytes: &[u8]) -> bool {
    bytes[0] >> 4 == 4 && u16_at(bytes, 6) & V4_FRAGMENT != 0
}

/// Whether an IPv4 packet is a fragment other than the first, without a transport header.
pub(crate) fn is_later_fragment(bytes: &[u8]) -> bool {
    u16_at(bytes, 6) & V4_FRAGMENT_OFFSET != 0
}

/// Sets the length of a packet without extension headers: IPv4's total length with a new header checksum, or IPv6's
/// payload length.
pub(crate) fn set_length(bytes: &mut [u8], version: u8, length: usize) {
    if version == 4 {
        let header_length = usize::from(bytes[0] & 0x0F) * 4;
        set_u16(bytes, 2, length as u16);
        set_u16(bytes, 10, 0);
        let checksum = checksum::sum(&bytes[..header_length]).checksum();
        set_u16(bytes, 10, checksum);
    } else {
        set_u16(bytes, 4, (length - V6_HEADER_LENGTH) as u16);
    }
}

/// Not ECN-capable transport (RFC 3168 §5).
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable, code point 1.
pub const ECT_1: u8 = 0b01;
/// ECN-capable, code point 0.
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// The effect of the outer ECN field on a decapsulated packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcnMerge {
    /// The inner field stays.
    Keep,
    /// The inner field becomes this.
    Set(u8),
    /// The packet must be dropped: congestion was signalled, and it is not ECN-capable.
    Drop,
}

/// Merges the ECN fields of datagram and packet (RFC 6040, figure 4).
pub const fn merge_ecn(outer: u8, inner: u8) -> EcnMerge {
    match (outer & 0b11, inner & 0b11) {
        (CE, NOT_ECT) => EcnMerge::Drop,
        (CE, ECT_0 | ECT_1) => EcnMerge::Set(CE),
        (ECT_1, ECT_0) => EcnMerge::Set(ECT_1),
        _ => EcnMerge::Keep,
    }
}

/// Sets the ECN field of a packet and of its frame.
pub fn mark(frame: &mut Frame, packet: &mut [u8], ecn: u8) {
    set_ecn(packet, ecn);
    frame.ds = frame.ds & !0b11 | ecn;
}

/// Sets the ECN field of a parsed packet and updates IPv4's header checksum.
pub fn set_ecn(packet: &mut [u8], ecn: u8) {
    if packet[0] >> 4 == 4 {
        let old = u16_at(packet, 0);
        packet[1] = packet[1] & !0b11 | ecn & 0b11;
        let checksum = checksum::update(u16_at(packet, 10), old, u16_at(packet, 0));
        set_u16(packet, 10, checksum);
    } else {
        packet[1] = packet[1] & !0x30 | (ecn & 0b11) << 4;
    }
}
