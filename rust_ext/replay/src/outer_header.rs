//! A datagram in the IP packet that carries it: what a capture of the outer network would show.

use std::net::{IpAddr, SocketAddr};

use pyfw_core::packet::{checksum, udp};

/// Puts IP and UDP headers before a payload that has `whole` bytes, of which `kept` are the
/// beginning. The checksums are right where all of it was kept; of a beginning there is none.
pub fn outer_packet(
    source: SocketAddr,
    destination: SocketAddr,
    ds: u8,
    kept: &[u8],
    whole: usize,
) -> Vec<u8> {
    let length = udp::HEADER_LENGTH + whole;
    let mut packet = Vec::with_capacity(48 + kept.len());
    let addresses = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend_from_slice(&[0x45, ds]);
            packet.extend_from_slice(&(20 + length as u16).to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, udp::PROTOCOL, 0, 0]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
            let header = checksum::sum(&packet).checksum();
            packet[10..12].copy_from_slice(&header.to_be_bytes());
            12
        }
        (source, destination) => {
            packet.extend_from_slice(&(6u32 << 28 | u32::from(ds) << 20).to_be_bytes());
            packet.extend_from_slice(&(length as u16).to_be_bytes());
            packet.extend_from_slice(&[udp::PROTOCOL, 64]);
            packet.extend_from_slice(&octets(source));
            packet.extend_from_slice(&octets(destination));
            8
        }
    };
    let ip = packet.len();
    let pseudo = checksum::pseudo_header(&packet[addresses..ip], udp::PROTOCOL, length);
    packet.extend_from_slice(&source.port().to_be_bytes());
    packet.extend_from_slice(&destination.port().to_be_bytes());
    packet.extend_from_slice(&(length as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(kept);
    if kept.len() == whole {
        // 0 would mean "no checksum" (RFC 768).
        let sum = match (pseudo + checksum::sum(&packet[ip..])).checksum() {
            0 => 0xffff,
            sum => sum,
        };
        packet[ip + udp::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(v6) => v6.octets(),
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
    }
}
