//! Packets for tests, and their checksums by the plain loop of RFC 1071.

use std::net::Ipv4Addr;

/// Bytes of IPv4 and TCP header of [`tcp`].
pub const HEADERS: usize = 40;

/// Returns a TCP/IPv4 packet.
pub fn tcp(
    from: [u8; 4],
    to: [u8; 4],
    ports: (u16, u16),
    seq: u32,
    ecn: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut p = ip(from, to, 6, ecn, 20 + payload.len());
    p.extend_from_slice(&ports.0.to_be_bytes());
    p.extend_from_slice(&ports.1.to_be_bytes());
    p.extend_from_slice(&seq.to_be_bytes());
    p.extend_from_slice(&[0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    p.extend_from_slice(payload);
    let sum = transport_checksum(&p);
    p[36..38].copy_from_slice(&sum.to_be_bytes());
    p
}

/// Returns a UDP/IPv4 packet.
pub fn udp(from: [u8; 4], to: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut p = ip(from, to, 17, 0, 8 + payload.len());
    p.extend_from_slice(&ports.0.to_be_bytes());
    p.extend_from_slice(&ports.1.to_be_bytes());
    p.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    p.extend_from_slice(&[0, 0]);
    p.extend_from_slice(payload);
    let sum = transport_checksum(&p);
    p[26..28].copy_from_slice(&sum.to_be_bytes());
    p
}

/// Returns a read from the TUN with a single packet, its checksum complete.
pub fn plain(packet: &[u8]) -> Vec<u8> {
    [&[0; 10], packet].concat()
}

/// Returns a read from the TUN with a TCP super-packet: segments of `mss`, and one checksum to complete.
pub fn tso(packet: &[u8], mss: u16) -> Vec<u8> {
    let mut frame = vec![1, 1, 40, 0];
    frame.extend_from_slice(&mss.to_le_bytes());
    frame.extend_from_slice(&[20, 0, 16, 0]);
    let mut packet = packet.to_vec();
    let partial = !fold(pseudo_sum(&packet));
    packet[36..38].copy_from_slice(&(!partial).to_be_bytes());
    frame.extend_from_slice(&packet);
    frame
}

/// Whether both checksums of a packet are right.
pub fn checksums_are_right(packet: &[u8]) -> bool {
    let transport = pseudo_sum(packet) + sum(&packet[20..]);
    fold(sum(&packet[..20])) == 0xffff && fold(transport) == 0xffff
}

/// Parses an IPv4 address.
pub fn address(text: &str) -> [u8; 4] {
    text.parse::<Ipv4Addr>().unwrap().octets()
}

fn ip(from: [u8; 4], to: [u8; 4], protocol: u8, ecn: u8, payload: usize) -> Vec<u8> {
    let mut p = vec![0x45, ecn];
    p.extend_from_slice(&(20 + payload as u16).to_be_bytes());
    p.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
    p.extend_from_slice(&from);
    p.extend_from_slice(&to);
    let checksum = !fold(sum(&p));
    p[10..12].copy_from_slice(&checksum.to_be_bytes());
    p
}

fn transport_checksum(packet: &[u8]) -> u16 {
    !fold(pseudo_sum(packet) + sum(&packet[20..]))
}

fn pseudo_sum(packet: &[u8]) -> u32 {
    sum(&packet[12..20]) + u32::from(packet[9]) + (packet.len() - 20) as u32
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
