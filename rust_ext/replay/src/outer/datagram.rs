//! Extracts the UDP datagram from an IP packet. Fragments are not reassembled, as WireGuard avoids them.

use std::net::SocketAddr;

use pyfw_core::{
    frame::flags,
    packet::{self, Invalid, udp},
};

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'p> {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// DS byte of the IP header.
    pub ds: u8,
    /// UDP payload.
    pub payload: &'p [u8],
}

/// Why a packet has no datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUdp {
    /// Invalid IP header.
    Invalid,
    /// Shorter than its headers claim.
    Truncated,
    /// A fragment.
    Fragment,
    /// Another protocol, or an invalid UDP header.
    Other,
}

/// Returns the datagram in a packet.
pub fn datagram(packet: &[u8]) -> Result<Datagram<'_>, NotUdp> {
    let frame = packet::parse(packet, 0).map_err(|invalid| match invalid {
        Invalid::Length => NotUdp::Truncated,
        Invalid::Version | Invalid::Header => NotUdp::Invalid,
    })?;
    let (start, transport) =
        (usize::from(frame.header_length), usize::from(frame.transport_offset));
    // The core parsed a transport header only if the two differ.
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

/// Whether a packet without a known flow is a fragment, by its IPv4 header (RFC 791 §3.1) or an IPv6 fragment
/// header (RFC 8200 §4.5) directly after the IP header.
fn is_fragment(packet: &[u8], version: u8) -> bool {
    const MORE_OR_OFFSET: u16 = 0x3fff;
    const FRAGMENT_HEADER: u8 = 44;
    match version {
        4 => u16::from_be_bytes([packet[6], packet[7]]) & MORE_OR_OFFSET != 0,
        _ => packet[6] == FRAGMENT_HEADER,
    }
}
