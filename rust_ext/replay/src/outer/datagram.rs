//! The UDP datagram in an IP packet.
//!
//! In: a packet from its IP header on. Out: addresses and payload. Fragments are not put together:
//! WireGuard avoids them, and half a message cannot be opened.

use std::net::SocketAddr;

use pyfw_core::{
    frame::flags,
    packet::{self, Invalid, udp},
};

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'p> {
    /// Where it came from.
    pub source: SocketAddr,
    /// Where it went.
    pub destination: SocketAddr,
    /// The DS byte of its IP header.
    pub ds: u8,
    /// What it carries.
    pub payload: &'p [u8],
}

/// Why a packet holds no datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUdp {
    /// No IP header that could be read.
    Invalid,
    /// Less is there than the packet says.
    Cut,
    /// A part of a packet.
    Fragment,
    /// Another protocol, or a UDP header that is wrong.
    Other,
}

/// Finds the datagram in a packet.
pub fn datagram(packet: &[u8]) -> Result<Datagram<'_>, NotUdp> {
    let frame = packet::parse(packet, 0).map_err(|invalid| match invalid {
        Invalid::Length => NotUdp::Cut,
        Invalid::Version | Invalid::Header => NotUdp::Invalid,
    })?;
    let (start, transport) =
        (usize::from(frame.header_length), usize::from(frame.transport_offset));
    // The core says by this that it has read a transport header.
    if frame.protocol != udp::PROTOCOL || start == transport {
        let is_fragment = frame.flags & flags::NO_FLOW != 0 && is_fragment(packet, frame.version);
        return Err(if is_fragment { NotUdp::Fragment } else { NotUdp::Other });
    }
    let length_at = transport + udp::LENGTH_OFFSET;
    let length = usize::from(u16::from_be_bytes([packet[length_at], packet[length_at + 1]]));
    Ok(Datagram {
        source: SocketAddr::new(frame.source_ip(), frame.source_port),
        destination: SocketAddr::new(frame.destination_ip(), frame.destination_port),
        ds: frame.ds,
        payload: &packet[start..transport + length],
    })
}

/// Whether a packet whose flow is not known is one: IPv4 says so in its header (RFC 791 §3.1), IPv6
/// in a header of its own (RFC 8200 §4.5), here only looked for where it comes first.
fn is_fragment(packet: &[u8], version: u8) -> bool {
    const MORE_OR_OFFSET: u16 = 0x3fff;
    const FRAGMENT_HEADER: u8 = 44;
    match version {
        4 => u16::from_be_bytes([packet[6], packet[7]]) & MORE_OR_OFFSET != 0,
        _ => packet[6] == FRAGMENT_HEADER,
    }
}
