//! ICMP and ICMPv6 errors for the senders of frames that cannot be sent; the inbound path writes them to the TUN.
//!
//! No error is made for a packet that must not be answered (RFC 1122 §3.2.2, RFC 4443 §2.4), nor beyond 20 a
//! second and source (five at once). Each kind of error has a limit of its own, so that a flood to an
//! unreachable host does not suppress the report of a path MTU.

use std::net::IpAddr;

use crate::{
    frame::{Frame, flags},
    packet::{
        checksum::{pseudo_header, sum},
        ip, set_u16,
        split::Segments,
    },
    rate_limit::RateLimit,
};

/// Why a frame cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// The destination has no peer, or the peer no endpoint: host (IPv6: address) unreachable, as Linux's
    /// WireGuard reports both (drivers/net/wireguard/device.c, wg_xmit).
    HostUnreachable,
    /// A segment is longer than the path MTU.
    TooBig {
        /// The longest packet that the path carries.
        mtu: usize,
    },
}

/// The errors that wait to be written, and their rate limits.
#[derive(Debug, Default)]
pub struct IcmpErrors {
    unreachable: RateLimit,
    too_big: RateLimit,
    pending: Vec<Box<[u8]>>,
}

impl IcmpErrors {
    /// Makes an error for the sender of a frame, whose bytes these are, unless rules or rate forbid it.
    pub fn push(&mut self, frame: &Frame, bytes: &[u8], error: IcmpError, now_ns: u64) {
        let limit = match error {
            IcmpError::HostUnreachable => &mut self.unreachable,
            IcmpError::TooBig { .. } => &mut self.too_big,
        };
        if may_be_answered(frame, bytes) && limit.allow(frame.source_ip(), now_ns) {
            self.pending.push(packet(frame, bytes, error));
        }
    }

    /// The errors, each an IP packet; the caller drains them.
    pub fn pending(&mut self) -> &mut Vec<Box<[u8]>> {
        &mut self.pending
    }
}

/// The smallest MTU (IPv4, IPv6) that is reported. A host would not go below it (Linux accepts no less than 552,
/// ip_rt_min_pmtu; RFC 8200 §5) and its packets would never get through: their datagrams are fragmented instead.
const MIN_REPORTED_MTU: [usize; 2] = [576, 1280];

/// Whether a segment longer than `mtu` must be reported to its sender: it must not be fragmented, and the sender
/// will comply.
pub fn must_report_too_big(frame: &Frame, bytes: &[u8], mtu: usize) -> bool {
    match frame.version {
        4 => ip::dont_fragment(bytes) && mtu >= MIN_REPORTED_MTU[0],
        _ => mtu >= MIN_REPORTED_MTU[1],
    }
}

const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;

fn may_be_answered(frame: &Frame, bytes: &[u8]) -> bool {
    let is_one_host = |address: IpAddr| match address {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && ip.octets()[0] != 0,
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    };
    if !is_one_host(frame.source_ip())
        || !is_one_host(frame.destination_ip())
        || frame.source_ip().is_loopback()
        || frame.version == 4 && ip::is_later_fragment(bytes)
    {
        return false;
    }
    let kind = bytes.get(usize::from(frame.transport_offset)).copied();
    match frame.protocol {
        // Destination unreachable, source quench, redirect, time exceeded, parameter problem.
        ICMP => !matches!(kind, None | Some(3..=5 | 11 | 12)),
        // Errors are below 128. A fragment that hides its type counts as an error.
        ICMP_V6 => frame.flags & flags::NO_FLOW == 0 && kind.is_some_and(|kind| kind >= 128),
        _ => true,
    }
}

/// Builds the error packet. Its source is the frame's destination, an address that the sender's host routes
/// through this TUN, so that no reverse-path filter drops it.
fn packet(frame: &Frame, bytes: &[u8], error: IcmpError) -> Box<[u8]> {
    // It quotes what would have been on the wire: the first segment.
    let segments = Segments::new(frame, bytes);
    let mut quoted = vec![0; segments.length(0)];
    segments.write(0, bytes, &mut quoted);
    match frame.version {
        4 => v4(&quoted, error),
        _ => v6(&quoted, error),
    }
}

const ICMP_HEADER_LENGTH: usize = 8;
/// The longest error (IPv4, IPv6; RFC 1812 §4.3.2.3, RFC 4443 §3.1).
const MAX_LENGTH: [usize; 2] = [576, 1280];
/// Linux's default.
const TTL: u8 = 64;
/// Internetwork control (RFC 1812 §4.3.2.5).
const PRECEDENCE: u8 = 0xC0;

fn v4(quoted: &[u8], error: IcmpError) -> Box<[u8]> {
    let headers = ip::V4_HEADER_LENGTH + ICMP_HEADER_LENGTH;
    let quoted = &quoted[..quoted.len().min(MAX_LENGTH[0] - headers)];
    let length = headers + quoted.len();
    let mut packet = vec![0x45, PRECEDENCE, 0, 0, 0, 0, 0x40, 0, TTL, ICMP, 0, 0];
    packet.extend_from_slice(&quoted[16..20]);
    packet.extend_from_slice(&quoted[12..16]);
    let (code, mtu) = match error {
        IcmpError::HostUnreachable => (1, 0),
        IcmpError::TooBig { mtu } => (4, mtu as u16),
    };
    packet.extend_from_slice(&[3, code, 0, 0, 0, 0]);
    packet.extend_from_slice(&mtu.to_be_bytes());
    packet.extend_from_slice(quoted);
    ip::set_length(&mut packet, 4, length);
    let checksum = sum(&packet[ip::V4_HEADER_LENGTH..]).checksum();
    set_u16(&mut packet, ip::V4_HEADER_LENGTH + 2, checksum);
    packet.into_boxed_slice()
}

fn v6(quoted: &[u8], error: IcmpError) -> Box<[u8]> {
    let headers = ip::V6_HEADER_LENGTH + ICMP_HEADER_LENGTH;
    let quoted = &quoted[..quoted.len().min(MAX_LENGTH[1] - headers)];
    let length = headers + quoted.len();
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, ICMP_V6, TTL];
    packet.extend_from_slice(&quoted[24..40]);
    packet.extend_from_slice(&quoted[8..24]);
    let (kind, code, mtu) = match error {
        IcmpError::HostUnreachable => (1, 3, 0),
        IcmpError::TooBig { mtu } => (2, 0, mtu as u32),
    };
    packet.extend_from_slice(&[kind, code, 0, 0]);
    packet.extend_from_slice(&mtu.to_be_bytes());
    packet.extend_from_slice(quoted);
    ip::set_length(&mut packet, 6, length);
    let body = &packet[ip::V6_HEADER_LENGTH..];
    let pseudo = pseudo_header(ip::addresses(&packet, 6), ICMP_V6, body.len());
    let checksum = (pseudo + sum(body)).checksum();
    set_u16(&mut packet, ip::V6_HEADER_LENGTH + 2, checksum);
    packet.into_boxed_slice()
}

#[cfg(test)]
mod tests;
