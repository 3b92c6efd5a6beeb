//! Both sides of the cipher in one pcapng: what was sent, and how the wire delivered it.
//!
//! In: packets as they are sealed, datagrams as they arrive or are dropped on the way. Out: the
//! packet on interface `inner`, the datagram on interface `outer`, both with the same packet id
//! (twice, where the wire doubled it); a fate is a comment. Directions are the hub's. With secrets,
//! Wireshark opens the file by itself. Order: of virtual time; on `outer` that of arrival. What
//! cannot be written is kept as an error until the end.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use pyfw_core::{device::KeyLog, packet::checksum};

use crate::{
    capture::LinkType,
    outer::key_log_text,
    pcapng::PcapngWriter,
    wire::{InFlight, Label},
};

/// The record's interfaces: inside the tunnel, and outside.
pub const INNER: &str = "inner";
/// See [`INNER`].
pub const OUTER: &str = "outer";
/// Their numbers.
const INNER_NUMBER: u32 = 0;
const OUTER_NUMBER: u32 = 1;
const UDP: u8 = 17;

pub(crate) struct Recorder {
    writer: PcapngWriter<Box<dyn Write + Send>>,
    with_secrets: bool,
    id: u64,
    failed: Option<io::Error>,
}

impl Recorder {
    pub(crate) fn new(output: Box<dyn Write + Send>, with_secrets: bool) -> io::Result<Self> {
        let interfaces = [(INNER, LinkType::Raw), (OUTER, LinkType::Raw)];
        let writer = PcapngWriter::new(output, &interfaces, None)?;
        Ok(Self { writer, with_secrets, id: 0, failed: None })
    }

    pub(crate) fn secrets(&mut self, log: &KeyLog) {
        if self.with_secrets {
            let written = self.writer.secrets(&key_log_text(log));
            self.note(written);
        }
    }

    /// Writes the packet in a datagram, if there is one; returns the number of both.
    pub(crate) fn inner(&mut self, time_ns: u64, packet: Option<&[u8]>, by_hub: bool) -> u64 {
        self.id += 1;
        if let Some(packet) = packet {
            let written = self.writer.packet(INNER_NUMBER, time_ns, packet, self.id, !by_hub, None);
            self.note(written);
        }
        self.id
    }

    /// Writes a datagram.
    pub(crate) fn outer(&mut self, time_ns: u64, datagram: &InFlight) {
        let Label { id, by_hub, ref fates } = datagram.label;
        let comment = (!fates.is_empty()).then(|| fates.join(", "));
        let packet = outer_packet(datagram);
        let written =
            self.writer.packet(OUTER_NUMBER, time_ns, &packet, id, !by_hub, comment.as_deref());
        self.note(written);
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.writer.finish().map(drop),
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        if let (None, Err(error)) = (&self.failed, written) {
            self.failed = Some(error);
        }
    }
}

/// The datagram in an IP packet, as the wire would have carried it.
fn outer_packet(datagram: &InFlight) -> Vec<u8> {
    let length = 8 + datagram.bytes.len();
    let mut packet = Vec::with_capacity(48 + datagram.bytes.len());
    match (datagram.source.ip(), datagram.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend_from_slice(&[0x45, datagram.ds]);
            packet.extend_from_slice(&(20 + length as u16).to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, UDP, 0, 0]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
            let header = checksum::sum(&packet).checksum();
            packet[10..12].copy_from_slice(&header.to_be_bytes());
        }
        (source, destination) => {
            packet.extend_from_slice(&(6u32 << 28 | u32::from(datagram.ds) << 20).to_be_bytes());
            packet.extend_from_slice(&(length as u16).to_be_bytes());
            packet.extend_from_slice(&[UDP, 64]);
            for address in [source, destination] {
                let octets = match address {
                    IpAddr::V6(v6) => v6.octets(),
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                };
                packet.extend_from_slice(&octets);
            }
        }
    }
    let ip = packet.len();
    let addresses = if ip == 20 { 12 } else { 8 };
    let pseudo = checksum::pseudo_header(&packet[addresses..ip], UDP, length);
    packet.extend_from_slice(&datagram.source.port().to_be_bytes());
    packet.extend_from_slice(&datagram.destination.port().to_be_bytes());
    packet.extend_from_slice(&(length as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(&datagram.bytes);
    // 0 would mean "no checksum" (RFC 768).
    let sum = match (pseudo + checksum::sum(&packet[ip..])).checksum() {
        0 => 0xffff,
        sum => sum,
    };
    packet[ip + 6..ip + 8].copy_from_slice(&sum.to_be_bytes());
    packet
}
