//! Builds packets for tests, with the plain checksum loop of RFC 1071 to check the vectorised one.

use super::{ip, tcp, udp};

/// The fields of a packet.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) version: u8,
    pub(crate) protocol: u8,
    pub(crate) source: u8,
    pub(crate) destination: u8,
    pub(crate) ports: (u16, u16),
    pub(crate) ds: u8,
    pub(crate) ttl: u8,
    pub(crate) identification: u16,
    /// IPv4's flags and fragment offset.
    pub(crate) fragment: u16,
    pub(crate) ip_options: Vec<u8>,
    /// IPv6 extension headers with their own number; "next header" bytes are filled in.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) flow_label: u32,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) tcp_flags: u8,
    pub(crate) window: u16,
    pub(crate) tcp_options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    /// Whether the checksum field holds only the pseudo-header's sum.
    pub(crate) partial: bool,
}

impl Build {
    pub(crate) fn new(version: u8, protocol: u8) -> Self {
        Self {
            version,
            protocol,
            source: 1,
            destination: 2,
            ports: (40_000, 443),
            ds: 0,
            ttl: 64,
            identification: 1000,
            fragment: 0x4000,
            ip_options: Vec::new(),
            extensions: Vec::new(),
            flow_label: 0x12345,
            sequence: 1_000_000,
            acknowledgement: 77,
            tcp_flags: tcp::ACK,
            window: 512,
            tcp_options: Vec::new(),
            payload: Vec::new(),
            partial: false,
        }
    }

    pub(crate) fn tcp4() -> Self {
        Self::new(4, tcp::PROTOCOL)
    }

    pub(crate) fn tcp6() -> Self {
        Self::new(6, tcp::PROTOCOL)
    }

    pub(crate) fn udp4() -> Self {
        Self::new(4, udp::PROTOCOL)
    }

    pub(crate) fn udp6() -> Self {
        Self::new(6, udp::PROTOCOL)
    }

    /// Sets a payload of this many bytes, which differ from their neighbours.
    pub(crate) fn payload(mut self, length: usize) -> Self {
        self.payload = (0..length).map(|i| (i * 7 + i / 256) as u8).collect();
        self
    }

    pub(crate) fn flags(mut self, flags: u8) -> Self {
        self.tcp_flags = flags;
        self
    }

    /// Applies any other change.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Returns the next packet of this sender.
    pub(crate) fn next(&self) -> Self {
        let mut next = self.clone();
        next.identification = next.identification.wrapping_add(1);
        next.sequence = next.sequence.wrapping_add(next.payload.len() as u32);
        next
    }

    /// Returns the packet with correct lengths and checksums.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut transport = match self.protocol {
            tcp::PROTOCOL => self.tcp(),
            udp::PROTOCOL => self.udp(),
            _ => Vec::new(),
        };
        transport.extend_from_slice(&self.payload);
        let mut packet = if self.version == 4 { self.v4(&transport) } else { self.v6(&transport) };
        let field = match self.protocol {
            tcp::PROTOCOL => tcp::CHECKSUM_OFFSET,
            udp::PROTOCOL => udp::CHECKSUM_OFFSET,
            _ => transport.len(),
        };
        if field < transport.len() {
            let mut covered = ip::addresses(&packet, self.version).to_vec();
            covered.extend_from_slice(&[0, self.protocol]);
            covered.extend_from_slice(&(transport.len() as u16).to_be_bytes());
            let checksum = if self.partial {
                !naive_checksum(&covered)
            } else {
                covered.extend_from_slice(&transport);
                match naive_checksum(&covered) {
                    0 if self.protocol == udp::PROTOCOL => 0xFFFF,
                    checksum => checksum,
                }
            };
            transport[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
        }
        packet.extend_from_slice(&transport);
        packet
    }

    fn tcp(&self) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend_from_slice(&self.ports.0.to_be_bytes());
        header.extend_from_slice(&self.ports.1.to_be_bytes());
        header.extend_from_slice(&self.sequence.to_be_bytes());
        header.extend_from_slice(&self.acknowledgement.to_be_bytes());
        header.extend_from_slice(&[((20 + self.tcp_options.len()) * 4) as u8, self.tcp_flags]);
        header.extend_from_slice(&self.window.to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&self.tcp_options);
        header
    }

    fn udp(&self) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend_from_slice(&self.ports.0.to_be_bytes());
        header.extend_from_slice(&self.ports.1.to_be_bytes());
        header.extend_from_slice(&((8 + self.payload.len()) as u16).to_be_bytes());
        header.extend_from_slice(&[0; 2]);
        header
    }

    fn v4(&self, transport: &[u8]) -> Vec<u8> {
        let header_length = 20 + self.ip_options.len();
        let mut header = vec![0x40 | (header_length / 4) as u8, self.ds];
        header.extend_from_slice(&((header_length + transport.len()) as u16).to_be_bytes());
        header.extend_from_slice(&self.identification.to_be_bytes());
        header.extend_from_slice(&self.fragment.to_be_bytes());
        header.extend_from_slice(&[self.ttl, self.protocol, 0, 0]);
        header.extend_from_slice(&[10, 0, 0, self.source, 10, 0, 0, self.destination]);
        header.extend_from_slice(&self.ip_options);
        let checksum = naive_checksum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn v6(&self, transport: &[u8]) -> Vec<u8> {
        let extensions: usize = self.extensions.iter().map(|(_, bytes)| bytes.len()).sum();
        let first = 6 << 28 | u32::from(self.ds) << 20 | self.flow_label;
        let mut header = first.to_be_bytes().to_vec();
        header.extend_from_slice(&((extensions + transport.len()) as u16).to_be_bytes());
        let next = self.extensions.first().map_or(self.protocol, |(number, _)| *number);
        header.extend_from_slice(&[next, self.ttl]);
        for host in [self.source, self.destination] {
            header.extend_from_slice(&[0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
        for (i, (_, bytes)) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(i + 1).map_or(self.protocol, |(number, _)| *number);
            header.push(next);
            header.extend_from_slice(&bytes[1..]);
        }
        header
    }
}

/// Returns the checksum by the loop of RFC 1071 §4.1.
pub(crate) fn naive_checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// Whether all checksums of a TCP or UDP packet without extension headers are right.
pub(crate) fn checksums_are_right(packet: &[u8]) -> bool {
    let version = packet[0] >> 4;
    let (header_length, protocol) = match version {
        4 => (usize::from(packet[0] & 15) * 4, packet[9]),
        _ => (40, packet[6]),
    };
    if version == 4 && naive_checksum(&packet[..header_length]) != 0 {
        return false;
    }
    let transport = &packet[header_length..];
    let mut covered = ip::addresses(packet, version).to_vec();
    covered.extend_from_slice(&[0, protocol]);
    covered.extend_from_slice(&(transport.len() as u16).to_be_bytes());
    covered.extend_from_slice(transport);
    naive_checksum(&covered) == 0
}
