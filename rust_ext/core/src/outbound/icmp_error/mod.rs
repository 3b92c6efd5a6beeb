//! refusal: what the sender of a frame is told that cannot go into the tunnel.
//!
//! In: a frame that is dropped on its way out, its bytes, why. Out: an ICMP or ICMPv6 error for its
//! sender, to be written to the TUN by the inbound path. Drops: nothing; who may not be answered
//! (RFC 1122 §3.2.2, RFC 4443 §2.4) or was answered enough is not. Order: none is needed.
//! Time: 20 a second and source, five at once, for each kind of error by itself, so that a flood to
//! nowhere does not keep a path MTU from being told.

use std::net::IpAddr;

use crate::{
    frame::{Frame, flags},
    packet::{
        checksum::{pseudo_header, sum},
        ip, set_word,
        split::Segments,
    },
    wireguard::noise::rate_limit::RateLimit,
};

/// Why a frame cannot go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// No peer has its destination, or nobody knows where that peer is. Linux's WireGuard says the same
    /// of both (drivers/net/wireguard/device.c, wg_xmit): host, for IPv6 address, unreachable.
    HostUnreachable,
    /// A segment is longer than the peer's path carries.
    TooBig {
        /// The longest packet that it does carry.
        mtu: usize,
    },
}

/// The errors that wait to be written, and how many may be made.
#[derive(Debug, Default)]
pub struct IcmpErrors {
    unreachable: RateLimit,
    too_big: RateLimit,
    made: Vec<Box<[u8]>>,
}

impl IcmpErrors {
    /// Answers a frame, whose bytes these are, where its sender may be answered now.
    pub fn refuse(&mut self, frame: &Frame, bytes: &[u8], why: IcmpError, now_ns: u64) {
        let limit = match why {
            IcmpError::HostUnreachable => &mut self.unreachable,
            IcmpError::TooBig { .. } => &mut self.too_big,
        };
        if may_be_answered(frame, bytes) && limit.allow(frame.source_ip(), now_ns) {
            self.made.push(packet(frame, bytes, why));
        }
    }

    /// The packets, each whole; the caller drains them.
    pub fn made(&mut self) -> &mut Vec<Box<[u8]>> {
        &mut self.made
    }
}

/// An MTU below this is not told: a host would not go below 576 (Linux takes no less than 552,
/// ip_rt_min_pmtu) or 1280 (RFC 8200 §5), and so never get through; it is fragmented outside instead.
const TOLD_FROM: [usize; 2] = [576, 1280];

/// Whether a segment above `mtu` has to be refused: it may not be fragmented on its way, and its sender
/// will take the hint.
pub fn is_too_big(frame: &Frame, bytes: &[u8], mtu: usize) -> bool {
    match frame.version {
        4 => ip::dont_fragment(bytes) && mtu >= TOLD_FROM[0],
        _ => mtu >= TOLD_FROM[1],
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
        // Errors are those below 128. Where a fragment hides which it is, it counts as one.
        ICMP_V6 => frame.flags & flags::NO_FLOW == 0 && kind.is_some_and(|kind| kind >= 128),
        _ => true,
    }
}

/// The error. It comes from where the frame was going: an address that the sender's host reaches through
/// this TUN, so no filter of reverse paths stops it.
fn packet(frame: &Frame, bytes: &[u8], why: IcmpError) -> Box<[u8]> {
    // What it quotes is what would have been on the wire: the first segment.
    let segments = Segments::new(frame, bytes);
    let mut quoted = vec![0; segments.length(0)];
    segments.write(0, bytes, &mut quoted);
    match frame.version {
        4 => v4(&quoted, why),
        _ => v6(&quoted, why),
    }
}

const ICMP_HEADER_LENGTH: usize = 8;
/// As long as an error may be (RFC 1812 §4.3.2.3, RFC 4443 §3.1).
const LONGEST: [usize; 2] = [576, 1280];
/// Linux's default.
const TTL: u8 = 64;
/// Internetwork control (RFC 1812 §4.3.2.5).
const PRECEDENCE: u8 = 0xC0;

fn v4(quoted: &[u8], why: IcmpError) -> Box<[u8]> {
    let before = ip::V4_HEADER_LENGTH + ICMP_HEADER_LENGTH;
    let quoted = &quoted[..quoted.len().min(LONGEST[0] - before)];
    let length = before + quoted.len();
    let mut packet = vec![0x45, PRECEDENCE, 0, 0, 0, 0, 0x40, 0, TTL, ICMP, 0, 0];
    packet.extend_from_slice(&quoted[16..20]);
    packet.extend_from_slice(&quoted[12..16]);
    let (code, mtu) = match why {
        IcmpError::HostUnreachable => (1, 0),
        IcmpError::TooBig { mtu } => (4, mtu as u16),
    };
    packet.extend_from_slice(&[3, code, 0, 0, 0, 0]);
    packet.extend_from_slice(&mtu.to_be_bytes());
    packet.extend_from_slice(quoted);
    ip::set_length(&mut packet, 4, length);
    let checksum = sum(&packet[ip::V4_HEADER_LENGTH..]).checksum();
    set_word(&mut packet, ip::V4_HEADER_LENGTH + 2, checksum);
    packet.into_boxed_slice()
}

fn v6(quoted: &[u8], why: IcmpError) -> Box<[u8]> {
    let before = ip::V6_HEADER_LENGTH + ICMP_HEADER_LENGTH;
    let quoted = &quoted[..quoted.len().min(LONGEST[1] - before)];
    let length = before + quoted.len();
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, ICMP_V6, TTL];
    packet.extend_from_slice(&quoted[24..40]);
    packet.extend_from_slice(&quoted[8..24]);
    let (kind, code, mtu) = match why {
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
    set_word(&mut packet, ip::V6_HEADER_LENGTH + 2, checksum);
    packet.into_boxed_slice()
}

#[cfg(test)]
mod tests;
