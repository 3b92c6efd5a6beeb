//! Builds the IP and UDP headers of a datagram, as a capture of the outer network shows them.

use std::net::{IpAddr, SocketAddr};

use pyfw_core::packet::{checksum, udp};

/// Returns an outer IP packet whose UDP payload has `length` bytes and starts with `payload`. A truncated
/// payload gets no UDP checksum.
pub fn outer_packet(
    source: SocketAddr,
    destination: SocketAddr,
    ds: u8,
    payload: &[u8],
    length: usize,
) -> Vec<u8> {
    let udp_length = udp::HEADER_LENGTH + length;
    let mut packet = Vec::with_capacity(48 + payload.len());
    let addresses = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend_from_slice(&[0x45, ds]);
            packet.extend_from_slice(&(20 + udp_length as u16).to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, udp::PROTOCOL, 0, 0]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
            let header = checksum::sum(&packet).checksum();
            packet[10..12].copy_from_slice(&header.to_be_bytes());
            12
        }
        (source, destination) => {
            packet.extend_from_slice(&(6u32 << 28 | u32::from(ds) << 20).to_be_bytes());
            packet.extend_from_slice(&(udp_length as u16).to_be_bytes());
            packet.extend_from_slice(&[udp::PROTOCOL, 64]);
            packet.extend_from_slice(&octets(source));
            packet.extend_from_slice(&octets(destination));
            8
        }
    };
    let header_length = packet.len();
    let pseudo =
        checksum::pseudo_header(&packet[addresses..header_length], udp::PROTOCOL, udp_length);
    packet.extend_from_slice(&source.port().to_be_bytes());
    packet.extend_from_slice(&destination.port().to_be_bytes());
    packet.extend_from_slice(&(udp_length as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(payload);
    if payload.len() == length {
        // 0 means "no checksum" (RFC 768).
        let sum = match (pseudo + checksum::sum(&packet[header_length..])).checksum() {
            0 => 0xffff,
            sum => sum,
        };
        packet[header_length + udp::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(v6) => v6.octets(),
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
    }
}
